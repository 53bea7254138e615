"""A vector per word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ner.batch import Arrays
from ner.embeddings.base import TypeEmbedding, spread, vectors_of
from ner.sentence import Sentence
from ner.vocabulary import PADDING, UNKNOWN, Vocabulary, frequent

_DIGIT = re.compile(r"\d")


def normalise(token: str) -> str:
    """The word of a token: lower-cased, every digit a 0."""
    return _DIGIT.sub("0", token.lower())


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
        self.vocabulary = Vocabulary(words)
        self.singletons = singletons
        self.width = width
        self.singleton_dropout = singleton_dropout
        self.word_dropout = word_dropout
        self.vectors = spread(nn.Embedding(len(self.vocabulary), width, padding_idx=PADDING))

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
            "words": self.vocabulary.items,
            "singletons": self.singletons,
            "width": self.width,
            "singleton_dropout": self.singleton_dropout,
            "word_dropout": self.word_dropout,
        }

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The number of each token's word, ``(tokens,)``."""
        known = (self.vocabulary[normalise(token)] for token in tokens)
        return (np.fromiter(known, np.int64, len(tokens)),)

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the words, ``(tokens, width)``."""
        if self.training:
            first_singleton = len(self.vocabulary) - self.singletons
            share = torch.where(
                indices >= first_singleton,
                self.word_dropout + self.singleton_dropout * (1.0 - self.word_dropout),
                self.word_dropout,
            )
            dropped = torch.rand(share.shape, device=share.device) < share
            indices = indices.masked_fill(dropped, UNKNOWN)
        return vectors_of(self.vectors, indices)
