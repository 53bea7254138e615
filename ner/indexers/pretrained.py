"""The words of a file of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ner.indexers.base import Arrays, TypeIndexer
from ner.indexers.words import normalise
from ner.vocabulary import UNKNOWN, Vocabulary


class PretrainedIndexer(TypeIndexer):
    """The row of each token's vector.

    A token is looked up as it is written, then in lower case, then with every digit a 0.

    Args:
        words: The words that have a vector.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(words)

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items}

    def place(self, token: str) -> int:
        """The row of a token's vector."""
        known = (self.vocabulary[form] for form in forms(token) if form in self.vocabulary)
        return next(known, UNKNOWN)

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The row of each token's vector, ``(tokens,)``."""
        return (np.fromiter(map(self.place, tokens), np.int64, len(tokens)),)


def forms(token: str) -> tuple[str, str, str]:
    """How a token is looked up, one after the other."""
    return token, token.lower(), normalise(token)
