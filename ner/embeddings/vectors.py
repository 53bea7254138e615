"""Vectors that were made elsewhere, and stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ner.batch import Arrays
from ner.embeddings.base import TypeEmbedding, vectors_of
from ner.sentence import Sentence
from ner.vocabulary import Vocabulary


class VectorEmbedding(TypeEmbedding):
    """A given vector for each word of a list; 0 for other words. Training leaves it as it is.

    A token is looked up as it is written, then in lower case.

    Args:
        words: The words of the list.
        rows: Which vector each of them has, counted from 0; several words may share one.
        count: How many vectors there are.
        width: The width of the vectors.
    """

    def __init__(
        self, words: Sequence[str], rows: Sequence[int], *, count: int = 0, width: int = 1
    ) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(words)
        self.rows = tuple(rows)
        if len(self.rows) != len(words) or not all(0 <= row < count for row in self.rows):
            raise ValueError(f"each word needs a row from 0 to {count - 1}")
        self.width = width
        self._places = np.array([0, 0, *(row + 1 for row in self.rows)], dtype=np.int64)
        self.vectors = nn.Embedding(count + 1, width)
        self.vectors.weight.requires_grad_(False).zero_()

    @classmethod
    def fit(cls, sentences: Iterable[Sentence], *, table: Mapping[str, Any] | None = None) -> Self:
        """Take the vectors of a table, whatever the sentences are.

        Args:
            sentences: Not looked at: words may be met that training does not have.
            table: ``words``, ``rows`` and ``vectors (count, width)``; without it no word has one.
        """
        if table is None:
            return cls((), ())
        vectors = np.asarray(table["vectors"], dtype=np.float32)
        count, width = vectors.shape
        part = cls(table["words"], table["rows"], count=count, width=width)
        with torch.no_grad():
            part.vectors.weight[1:] = torch.from_numpy(vectors)
        return part

    def settings(self) -> dict[str, Any]:
        return {
            "words": self.vocabulary.items,
            "rows": self.rows,
            "count": self.vectors.num_embeddings - 1,
            "width": self.width,
        }

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The place of each token's vector, ``(tokens,)``; 0 for tokens without one."""
        known = self.vocabulary
        found = (known[token if token in known else token.lower()] for token in tokens)
        return (self._places[np.fromiter(found, np.int64, len(tokens))],)

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the tokens, ``(tokens, width)``."""
        return vectors_of(self.vectors, indices)
