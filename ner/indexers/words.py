"""A number per word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ner.indexers.base import Arrays, TypeIndexer
from ner.vocabulary import Vocabulary

_DIGIT = re.compile(r"\d")


def normalise(token: str) -> str:
    """The word of a token: lower-cased, every digit a 0."""
    return _DIGIT.sub("0", token.lower())


def normalised(tokens: Sequence[str]) -> list[str]:
    """The word of each token; all are worked on as one text, unless one has a line's end in it."""
    words = normalise("\n".join(tokens)).split("\n")
    return words if len(words) == len(tokens) else list(map(normalise, tokens))


class WordIndexer(TypeIndexer):
    """The number of each token's word.

    Args:
        words: The words it knows.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(words)

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The number of each token's word, ``(tokens,)``."""
        known = map(self.vocabulary.__getitem__, normalised(tokens))
        return (np.fromiter(known, np.int64, len(tokens)),)
