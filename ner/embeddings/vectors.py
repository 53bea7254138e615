"""Vectors that were made elsewhere, and stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ner.embeddings.base import TypeEmbedding, check_widths, vectors_of
from ner.indexers.vectors import VectorIndexer
from ner.sentence import Sentence


class VectorEmbedding(TypeEmbedding):
    """A given vector for each word of a list; 0 for other words. Training leaves it as it is.

    A token is looked up as it is written, then in lower case.

    Args:
        words: The words of the list.
        rows: Which vector each of them has, counted from 0; several words may share one.
        count: How many vectors there are.
        width: The width of the vectors.

    Raises:
        ValueError: The width is below 1.
    """

    def __init__(
        self, words: Sequence[str], rows: Sequence[int], *, count: int = 0, width: int = 1
    ) -> None:
        super().__init__()
        check_widths(width=width)
        self.indexer = VectorIndexer(words, rows, count=count)
        self.width = width
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
        return {**self.indexer.settings(), "width": self.width}

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the tokens, ``(tokens, width)``."""
        return vectors_of(self.vectors, indices)
