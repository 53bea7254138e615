"""A vector per word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import TypeEmbedding, spread, vectors_of
from ner.indexers.words import WordIndexer, normalise
from ner.sentence import Sentence
from ner.vocabulary import PADDING, UNKNOWN, frequent


class WordEmbedding(TypeEmbedding):
    """A learned vector for every word of the training sentences.

    Words seen once in training are replaced by the unknown word half of the time, so that its
    vector learns what unknown words are like (Lample et al. 2016).

    Args:
        words: The words it knows, the frequent ones first.
        singletons: How many of them, at the end of the list, were seen only once.
        width: The width of the vectors.
        singleton_dropout: How often a word seen once becomes the unknown word in training.
        word_dropout: How often any word does.
    """

    indexer: WordIndexer

    def __init__(
        self,
        words: Sequence[str],
        singletons: int = 0,
        *,
        width: int = 100,
        singleton_dropout: float = 0.5,
        word_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.indexer = WordIndexer(words)
        self.singletons = singletons
        self.width = width
        self.singleton_dropout = singleton_dropout
        self.word_dropout = word_dropout
        self.vectors = spread(
            nn.Embedding(len(self.indexer.vocabulary), width, padding_idx=PADDING)
        )

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        min_count: int = 1,
        width: int = 100,
        singleton_dropout: float = 0.5,
        word_dropout: float = 0.1,
    ) -> Self:
        """Build it for the words seen at least ``min_count`` times."""
        counts = Counter(normalise(token) for sentence in sentences for token in sentence.tokens)
        words = frequent(counts.elements(), min_count=min_count)
        singletons = sum(counts[word] == 1 for word in words)
        return cls(
            words,
            singletons,
            width=width,
            singleton_dropout=singleton_dropout,
            word_dropout=word_dropout,
        )

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "singletons": self.singletons,
            "width": self.width,
            "singleton_dropout": self.singleton_dropout,
            "word_dropout": self.word_dropout,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the words, ``(tokens, width)``."""
        if self.training:
            first_singleton = len(self.indexer.vocabulary) - self.singletons
            share = torch.where(
                indices >= first_singleton,
                self.word_dropout + self.singleton_dropout * (1.0 - self.word_dropout),
                self.word_dropout,
            )
            dropped = torch.rand(share.shape, device=share.device) < share
            indices = indices.masked_fill(dropped, UNKNOWN)
        return vectors_of(self.vectors, indices)
