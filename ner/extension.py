"""The extension module in C, where it was built; see ``ner.native``."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

INTERFACE = 3  # that of the module; one that was built from other sources is not used


def loaded() -> Any:
    """Return the module; None without it, and where ``NER_NATIVE=0`` switches it off."""
    if os.environ.get("NER_NATIVE") == "0":
        return None
    try:
        module = import_module("ner._native")
    except ImportError:
        return None
    return module if getattr(module, "interface", None) == INTERFACE else None


kernels = loaded()
