"""The tagger in spaCy's pipelines: the trainable component, and what reads files for its training.

spaCy finds it by way of ``ner.spacy_factory``, which is imported with every pipeline and hence
imports nothing of this.
"""

from ner.spacy_component.component import NerCrf

__all__ = ["NerCrf"]
