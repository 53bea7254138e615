"""The trainable spaCy component, and readers of files for its training.

spaCy finds it through ``ner.spacy_factory``, which is imported with every pipeline and therefore
imports nothing from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ner.loading import lazily

if TYPE_CHECKING:
    from ner.spacy_component.component import NerCrf

__all__ = ["NerCrf"]


__getattr__ = lazily(__name__, {"NerCrf": "ner.spacy_component.component"})  # imports torch
