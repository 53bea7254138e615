"""Tagging: from sentences to spans with their probabilities, by way of a network."""

from ner.inference.plain import PlainEngine

__all__ = ["PlainEngine"]
