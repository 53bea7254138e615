"""Modules that are imported when a name of theirs is first used, or only where they were built."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

INTERFACE = 3  # that of the kernels; a module that was built from other sources is not used


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package (PEP 562), which imports names on first access.

    Args:
        package: The name of the package.
        homes: The module of each name.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get


def built() -> Any:
    """Return the kernels in C; None where they were not built or ``NER_NATIVE=0`` is set."""
    if os.environ.get("NER_NATIVE") == "0":
        return None
    try:
        module = import_module("ner._native")
    except ImportError:
        return None
    return module if getattr(module, "interface", None) == INTERFACE else None


kernels = built()
