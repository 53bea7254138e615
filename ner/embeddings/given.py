"""Vectors that were made outside the network, and come with the sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from torch import Tensor

from ner.embeddings.base import ContextEmbedding
from ner.indexers.given import GivenIndexer
from ner.sentence import Sentence


class GivenEmbedding(ContextEmbedding):
    """The vectors that a sentence brings along, as they are.

    In a spaCy pipeline they are those of a ``tok2vec``, which the network's gradient reaches.

    Args:
        width: The width of the vectors; 0 where sentences bring none.

    Raises:
        ValueError: The width is negative.
    """

    def __init__(self, width: int = 0) -> None:
        super().__init__()
        if width < 0:
            raise ValueError(f"width must be at least 0, got {width}")
        self.indexer = GivenIndexer(width)
        self.width = width

    @classmethod
    def fit(cls, sentences: Iterable[Sentence], *, width: int = 0) -> Self:
        """Build it for vectors of this width."""
        return cls(width)

    def settings(self) -> dict[str, Any]:
        return self.indexer.settings()

    def forward(self, vectors: Tensor) -> Tensor:
        """The vectors of the tokens, ``(batch, length, width)``."""
        return vectors
