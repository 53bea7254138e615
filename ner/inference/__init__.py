"""Tagging: engines that turn sentences into spans with probabilities.

Names are imported on first access, so that modules without torch can be used without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ner.inference.decoding import Decoding as Decoding
    from ner.inference.fast import FastEngine as FastEngine
    from ner.inference.fast import engine_for as engine_for
    from ner.inference.plain import PlainEngine as PlainEngine

MOST_THREADS = 1024  # per process: more than is ever useful; many more crash it
_HOMES = {
    "Decoding": "ner.inference.decoding",
    "FastEngine": "ner.inference.fast",
    "PlainEngine": "ner.inference.plain",
    "engine_for": "ner.inference.fast",
}

__all__ = ["MOST_THREADS", "Decoding", "FastEngine", "PlainEngine", "engine_for"]


def __getattr__(name: str) -> object:
    """Import a public name on first access (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
