"""Vectors of words: learned, from a list, or brought along by a sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ner.embeddings.base import (
    ContextEmbedding,
    TypeEmbedding,
    check_shares,
    check_widths,
    spread,
    vectors_of,
)
from ner.indexers.words import GivenIndexer, VectorIndexer, WordIndexer, normalise
from ner.sentence import Sentence
from ner.vocabulary import PADDING, UNKNOWN, frequent

LEVELS = 50  # documents: words that stand in more are not told apart


class WordEmbedding(TypeEmbedding):
    """A learned vector for every word of the training sentences.

    Words seen once in training are replaced by the unknown word half of the time, so that its
    vector learns what unknown words are like (Lample et al. 2016). A name is seen several times
    in its document and yet as little known elsewhere as any word seen once: with ``rare_dropout``
    it is the documents a word stands in that count (a / (a + documents), after Kiperwasser and
    Goldberg 2016).

    Args:
        words: The words it knows, the frequent ones first.
        singletons: How many of them, at the end of the list, were seen only once.
        width: The width of the vectors.
        singleton_dropout: How often a word seen once becomes the unknown word in training.
        word_dropout: How often any word does.
        rare: How many words, at the end of the list, stand in one document, how many before them
            in two, and so on.
        rare_dropout: With ``a`` above 0, a word that stands in ``d`` documents becomes the unknown
            word with a share of ``a / (a + d)``, in place of the two other shares.

    Raises:
        ValueError: The width is below 1, a dropout no share, or ``rare_dropout`` negative.
    """

    indexer: WordIndexer

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        words: Sequence[str],
        singletons: int = 0,
        *,
        width: int = 100,
        singleton_dropout: float = 0.5,
        word_dropout: float = 0.1,
        rare: Sequence[int] = (),
        rare_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_widths(width=width)
        check_shares(singleton_dropout=singleton_dropout, word_dropout=word_dropout)
        if not 0.0 <= rare_dropout < math.inf:
            raise ValueError(f"rare_dropout must be at least 0, got {rare_dropout}")
        self.indexer = WordIndexer(words)
        self.singletons = singletons
        self.width = width
        self.singleton_dropout = singleton_dropout
        self.word_dropout = word_dropout
        self.rare = tuple(rare)
        self.rare_dropout = rare_dropout
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
        rare_dropout: float = 0.0,
    ) -> Self:
        """Build it for the words seen at least ``min_count`` times."""
        sentences = list(sentences)
        counts = Counter(normalise(token) for sentence in sentences for token in sentence.tokens)
        words = frequent(counts.elements(), min_count=min_count)
        rare: list[int] = []
        if rare_dropout:
            documents = _documents(sentences)
            words.sort(key=documents.__getitem__, reverse=True)
            levels = Counter(documents[word] for word in words)
            rare = [levels[count] for count in range(1, LEVELS + 1)]
        return cls(
            words,
            0 if rare else sum(counts[word] == 1 for word in words),
            width=width,
            singleton_dropout=singleton_dropout,
            word_dropout=word_dropout,
            rare=rare,
            rare_dropout=rare_dropout,
        )

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "singletons": self.singletons,
            "width": self.width,
            "singleton_dropout": self.singleton_dropout,
            "word_dropout": self.word_dropout,
            "rare": list(self.rare),
            "rare_dropout": self.rare_dropout,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the words, ``(tokens, width)``."""
        if self.training:
            share = self._shares(indices)
            dropped = torch.rand(share.shape, device=share.device) < share
            indices = indices.masked_fill(dropped, UNKNOWN)
        return vectors_of(self.vectors, indices)

    def _shares(self, indices: Tensor) -> Tensor:
        """How often each word becomes the unknown word, ``(tokens,)``."""
        size = len(self.indexer.vocabulary)
        if self.rare_dropout:
            ends = torch.tensor(list(accumulate(self.rare)), device=indices.device)
            documents = 1 + torch.bucketize(size - 1 - indices, ends, right=True)
            return self.rare_dropout / (self.rare_dropout + documents)
        return torch.where(
            indices >= size - self.singletons,
            self.word_dropout + self.singleton_dropout * (1.0 - self.word_dropout),
            self.word_dropout,
        )


def _documents(sentences: Iterable[Sentence]) -> Counter[str]:
    """In how many documents each word stands; a sentence without one is a document of its own."""
    documents: dict[int, set[str]] = {}
    for number, sentence in enumerate(sentences):
        key = number if sentence.document is None else id(sentence.document)
        documents.setdefault(key, set()).update(map(normalise, sentence.tokens))
    return Counter(word for words in documents.values() for word in words)


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
