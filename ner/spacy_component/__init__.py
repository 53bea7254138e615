"""The trainable spaCy component, and readers of files for its training.

spaCy finds it through ``ner.spacy_factory``, which is imported with every pipeline and therefore
imports nothing from here.
"""

from ner.spacy_component.component import NerCrf

__all__ = ["NerCrf"]
