"""Tagging: engines that turn sentences into spans with probabilities.

Names are imported on first access, so that modules without torch can be used without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ner.loading import lazily

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


__getattr__ = lazily(__name__, _HOMES)
