"""The places of words in a given table of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ner.indexers.base import Arrays, TypeIndexer
from ner.vocabulary import Vocabulary


class VectorIndexer(TypeIndexer):
    """The row of each token's vector; a token is looked up as it is, then in lower case.

    Args:
        words: The words of the list.
        rows: Which vector each of them has, counted from 0; several words may share one.
        count: How many vectors there are.
    """

    def __init__(self, words: Sequence[str], rows: Sequence[int], *, count: int = 0) -> None:
        self.vocabulary = Vocabulary(words)
        self.rows = tuple(rows)
        self.count = count
        if len(self.rows) != len(words) or not all(0 <= row < count for row in self.rows):
            raise ValueError(f"each word needs a row from 0 to {count - 1}")
        self._places = np.array([0, 0, *(row + 1 for row in self.rows)], dtype=np.int64)

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items, "rows": self.rows, "count": self.count}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The place of each token's vector, ``(tokens,)``; 0 for tokens without one."""
        known = self.vocabulary
        found = (known[token if token in known else token.lower()] for token in tokens)
        return (self._places[np.fromiter(found, np.int64, len(tokens))],)
