"""The trainable spaCy component, and readers of files for its training.

spaCy finds it through ``ner.spacy_factory``, which is imported with every pipeline and therefore
imports nothing from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ner.spacy_component.component import NerCrf

__all__ = ["NerCrf"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ner.spacy_component.component import NerCrf  # imports torch

    return NerCrf
