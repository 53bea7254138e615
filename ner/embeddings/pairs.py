"""A vector for each token together with its neighbour.

Where tokens are characters, a pair of them is often the word: the pairs before and after a
character tell the networks of Chinese what bigrams told its CRFs (Zhang and Yang 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import ContextEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.pairs import PairIndexer, pairs_of
from ner.sentence import Sentence
from ner.vocabulary import UNKNOWN, frequent


class PairEmbedding(ContextEmbedding):
    """The vectors of the token with the one before it, and with the one after it.

    Args:
        pairs: The pairs it knows, each as two normalised tokens with a tabulator between them.
        width: The width of either vector.
        pair_dropout: How often a pair becomes the unknown pair in training.

    Raises:
        ValueError: The width is below 1, or the dropout no share.
    """

    tokenwise = True

    def __init__(self, pairs: Sequence[str], *, width: int = 50, pair_dropout: float = 0.1) -> None:
        super().__init__()
        check_widths(width=width)
        check_shares(pair_dropout=pair_dropout)
        self.indexer = PairIndexer(pairs)
        self.pair_width = width
        self.pair_dropout = pair_dropout
        self.width = 2 * width
        self.vectors = spread(nn.Embedding(len(self.indexer.vocabulary), width))

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        min_count: int = 2,
        width: int = 50,
        pair_dropout: float = 0.1,
    ) -> Self:
        """Build it for the pairs seen at least ``min_count`` times."""
        pairs = (pair for sentence in sentences for pair in pairs_of(sentence.tokens))
        return cls(frequent(pairs, min_count=min_count), width=width, pair_dropout=pair_dropout)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.pair_width,
            "pair_dropout": self.pair_dropout,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.pair_dropout > 0.0:
            lost = torch.rand(indices.shape, device=indices.device) < self.pair_dropout
            indices = indices.masked_fill(lost, UNKNOWN)
        return vectors_of(self.vectors, indices).flatten(2)
