"""Word embeddings: learned, from a list, or supplied with a sentence."""

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
from ner.indexers.base import PADDING, UNKNOWN, Vocabulary, form_counts, frequent
from ner.indexers.words import GivenIndexer, VectorIndexer, WordIndexer, normalise, normalised
from ner.sentence import Document, Sentence

LEVELS = 50  # document frequencies above this are treated alike


class WordEmbedding(TypeEmbedding):
    """A learned vector for every word of the training sentences.

    Words seen once in training are replaced by the unknown word half of the time, so that its
    vector is trained for unknown words (Lample et al. 2016). A name may occur several times in one
    document and still be unknown everywhere else, so ``rare_dropout`` depends on the number of
    documents d with the word: its probability is a / (a + d), after Kiperwasser and Goldberg
    (2016), who use the word's frequency.

    Args:
        words: The known words, the most frequent first.
        singletons: The number of words, at the end of the list, that were seen only once.
        width: The width of the vectors.
        singleton_dropout: The probability that a word seen once becomes the unknown word in
            training.
        word_dropout: The same probability for any word.
        rare: The number of words, at the end of the list, that occur in one document, then of those
            before them that occur in two, and so on.
        rare_dropout: If ``a`` > 0, a word that occurs in ``d`` documents becomes the unknown word
            with probability ``a / (a + d)``, which replaces the other two probabilities.

    Raises:
        ValueError: The width is less than 1, a dropout is not between 0 and 1, or ``rare_dropout``
            is negative.
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
        """Build the embedding for the words seen at least ``min_count`` times."""
        if not isinstance(sentences, Sequence):
            sentences = list(sentences)
        counts = form_counts(sentences, normalised)
        words = frequent(counts, min_count=min_count)
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

    def tables(self) -> Mapping[str, tuple[Vocabulary, nn.Embedding]]:
        return {"words": (self.indexer.vocabulary, self.vectors)}

    def extended(self, items: Mapping[str, Sequence[str]]) -> Self:
        words = [*items["words"], *self.indexer.vocabulary.items]  # the rare ones stay at the end
        return type(self)(**{**self.settings(), "words": words})

    def forward(self, indices: Tensor) -> Tensor:
        """Return the vectors of the words, ``(tokens, width)``."""
        if self.training:
            share = self._shares(indices)
            dropped = torch.rand(share.shape, device=share.device) < share
            indices = indices.masked_fill(dropped, UNKNOWN)
        return vectors_of(self.vectors, indices)

    def _shares(self, indices: Tensor) -> Tensor:
        """Return the probability that each word is replaced by the unknown word, ``(tokens,)``."""
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
    """Count the documents of each word; a sentence without one counts as a document."""
    documents: dict[int | Document, set[str]] = {}
    for number, sentence in enumerate(sentences):
        key = number if sentence.document is None else sentence.document
        documents.setdefault(key, set()).update(map(normalise, sentence.tokens))
    return Counter(word for words in documents.values() for word in words)


class VectorEmbedding(TypeEmbedding):
    """A fixed vector for each word of a list; zeros for other words.

    A token is looked up as written, then in lower case.

    Args:
        words: The words of the list.
        rows: The index of each word's vector, from 0; several words may share one.
        count: The number of vectors.
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
        """Take the vectors from a table; the sentences are ignored.

        Args:
            sentences: Ignored, since other text may have further words of the table.
            table: ``words``, ``rows`` and ``vectors (count, width)``; by default empty.
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
        """Return the vectors of the tokens, ``(tokens, width)``."""
        return vectors_of(self.vectors, indices)


class GivenEmbedding(ContextEmbedding):
    """The vectors supplied with a sentence, unchanged.

    In a spaCy pipeline they are those of a ``tok2vec``, which receives their gradient.

    Args:
        width: The width of the vectors; 0 if sentences have none.

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
        """Build the embedding for vectors of this width."""
        return cls(width)

    def settings(self) -> dict[str, Any]:
        return self.indexer.settings()

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(batch, length, width)``."""
        return vectors
