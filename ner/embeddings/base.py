"""The interface of every embedding.

An embedding builds its vocabulary, turns text into indices (with its indexer, which needs no
torch) and indices into vectors, and serialises itself. No other part of the toolkit interprets its
indices.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from ner.indexers import Arrays, ContextIndexer, TypeIndexer
from ner.indexers.base import UNKNOWN, Vocabulary
from ner.sentence import Sentence

Table = TypeVar("Table", nn.Embedding, nn.EmbeddingBag)


class Embedding(nn.Module, ABC):
    """Turns tokens into vectors by way of indices.

    Attributes:
        width: The width of its vectors.
        shared: Whether members of an ensemble with equal indexers may share its indices; false if
            they depend on its weights.
        adapted: Whether it has adapters, which ``fine_tune(False)`` merges into its weights.
    """

    width: int
    shared: bool = True
    adapted: bool = False

    @classmethod
    @abstractmethod
    def fit(cls, sentences: Iterable[Sentence], *args: Any, **settings: Any) -> Embedding:
        """Build the embedding for the words of these training sentences.

        Its keyword arguments are what a configuration may set (there are no other ``args``).
        """

    def learning_rates(self) -> Iterator[tuple[nn.Parameter, float]]:
        """Yield the weights that have their own learning rate, with the rate."""
        yield from ()

    def fine_tune(self, on: bool) -> bool:
        """Fine-tune pretrained weights from now on, or freeze them; return whether it has any."""
        return False

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the arguments that rebuild this embedding, as JSON values."""


class TypeEmbedding(Embedding):
    """An embedding of the token alone, so that each distinct token is computed once.

    Attributes:
        indexer: Turns tokens into indices.
    """

    indexer: TypeIndexer

    def index(self, tokens: Sequence[str]) -> Arrays:
        """Index distinct tokens: arrays whose first axis is the tokens."""
        return self.indexer.index(tokens)

    def tables(self) -> Mapping[str, tuple[Vocabulary, nn.Embedding]]:
        """Return its tables of vectors with the vocabularies of their rows, by name."""
        return {}

    def extended(self, items: Mapping[str, Sequence[str]]) -> Self:
        """Return a fresh embedding of the same settings whose vocabularies have more items.

        Raises:
            ValueError: Its vocabularies cannot grow.
        """
        raise ValueError(f"{type(self).__name__} has no vocabulary that can grow")

    @torch.no_grad()
    def joined(self, other: Embedding) -> Self:
        """Return an embedding that knows the items of both, with the weights of the other.

        An item that the other one does not know keeps a fresh vector.

        Raises:
            ValueError: They are of different kinds, or their vectors of different widths.
        """
        if not isinstance(other, type(self)):
            raise ValueError(f"it is {type(self).__name__}, the other {type(other).__name__}")
        known, theirs = self.tables(), other.tables()
        more = {
            name: [item for item in vocabulary.items if item not in known[name][0]]
            for name, (vocabulary, _) in theirs.items()
            if name in known
        }
        part = self.extended(more)
        for name, (vocabulary, table) in part.tables().items():
            if name not in theirs:
                continue
            old, vectors = theirs[name]
            if vectors.embedding_dim != table.embedding_dim:
                raise ValueError(
                    f"its vectors have the width {table.embedding_dim}, not {vectors.embedding_dim}"
                )
            table.weight[UNKNOWN] = vectors.weight[UNKNOWN]
            rows = [vocabulary[item] for item in old.items]
            table.weight[rows] = vectors.weight[2:]
        tables = {id(table.weight) for _, table in other.tables().values()}
        own = dict(part.named_parameters())
        for name, weight in other.named_parameters():
            if id(weight) not in tables:
                own[name].copy_(weight)
        return part

    # forward(*indices) -> Tensor: those tokens as vectors, (tokens, width)


class ContextEmbedding(Embedding):
    """An embedding of the token in context: its sentence, its document, other columns.

    Attributes:
        tokenwise: Whether the vector of a token depends only on its own indices, so that tokens
            can be embedded apart from their sentences.
        sentencewise: Whether, in addition, all tokens of a sentence have the same indices.
        indexer: Turns tokens into indices.
    """

    tokenwise: ClassVar[bool] = False
    sentencewise: ClassVar[bool] = False
    indexer: ContextIndexer

    def index(self, sentence: Sentence) -> Arrays:
        """Index the tokens of a sentence: arrays whose first axis is the tokens."""
        return self.indexer.index(sentence)

    def index_all(self, sentences: Sequence[Sentence]) -> list[Arrays]:
        """Index several sentences, which may be faster than one by one."""
        return self.indexer.index_all(sentences)

    def blocks(self, indexed: Iterable[Arrays]) -> list[int] | None:
        """Return the block of each indexed sentence: to train whole blocks together is faster."""
        return None

    # forward(*indices) -> Tensor: the tokens as vectors, (batch, length, width)


def check_widths(**widths: int | None) -> None:
    """Check that widths are at least 1, or ``None``.

    Raises:
        ValueError: A width is less than 1; the message names it.
    """
    for name, width in widths.items():
        if width is not None and width < 1:
            raise ValueError(f"{name} must be at least 1, got {width}")


def check_shares(**shares: float) -> None:
    """Check that shares, such as a dropout, are between 0 and 1.

    Raises:
        ValueError: A share is out of range or NaN; the message names it.
    """
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} must be from 0 to 1, got {share}")


def spread(table: Table) -> Table:
    """Initialise vectors uniformly in ±sqrt(3 / width), so that their variance is 1 / width."""
    bound = math.sqrt(3.0 / table.embedding_dim)
    nn.init.uniform_(table.weight, -bound, bound)
    if table.padding_idx is not None:
        with torch.no_grad():
            table.weight[table.padding_idx] = 0.0
    return table


def vectors_of(table: nn.Module, indices: Tensor) -> Tensor:
    """Look up rows of a table, with a typed result."""
    found: Tensor = table(indices)
    return found
