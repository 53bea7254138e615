"""Vectors for what other columns of the file say of a token: part of speech, chunk, flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import ContextEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.columns import ColumnIndexer
from ner.sentence import Sentence
from ner.vocabulary import UNKNOWN, frequent


class ColumnEmbedding(ContextEmbedding):
    """A vector for the value of each of some columns, concatenated.

    A sentence that has not got a column has the unknown value in it.

    Args:
        values: The values of each column by its name.
        width: The width of the vector of one column.
        value_dropout: How often a value becomes the unknown one in training.

    Raises:
        ValueError: The width is below 1, or the dropout no share.
    """

    tokenwise = True

    def __init__(
        self,
        values: Mapping[str, Sequence[str]],
        *,
        width: int = 20,
        value_dropout: float = 0.05,
    ) -> None:
        super().__init__()
        check_widths(width=width)
        check_shares(value_dropout=value_dropout)
        self.indexer = ColumnIndexer(values)
        self.column_width = width
        self.value_dropout = value_dropout
        self.width = width * len(self.indexer.vocabularies)
        self.tables = nn.ModuleList(
            spread(nn.Embedding(len(vocabulary), width))
            for vocabulary in self.indexer.vocabularies.values()
        )

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        columns: Sequence[str] | None = None,
        min_count: int = 1,
        width: int = 20,
        value_dropout: float = 0.05,
    ) -> Self:
        """Build it for the values that columns have at least ``min_count`` times.

        Args:
            sentences: The training sentences.
            columns: The columns' names; without them all that the sentences have.
            min_count: How often a value must be there to have a vector of its own.
            width: The width of the vector of one column.
            value_dropout: How often a value becomes the unknown one in training.

        Raises:
            ValueError: No sentence has a column of that name, or none has any.
        """
        held = list(sentences)
        there = sorted({name for sentence in held for name in sentence.columns})
        wanted = there if columns is None else list(columns)
        missing = [name for name in wanted if name not in there]
        if missing or not wanted:
            named = f"has a column {missing[0]!r}" if missing else "has a column"
            raise ValueError(
                f"no training sentence {named} beside token and tag; "
                f"there are {', '.join(there) or 'none'}"
            )
        values = {
            name: frequent(
                (value for sentence in held for value in sentence.columns.get(name, ())),
                min_count=min_count,
            )
            for name in wanted
        }
        return cls(values, width=width, value_dropout=value_dropout)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.column_width,
            "value_dropout": self.value_dropout,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """The vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.value_dropout:
            dropped = torch.rand(indices.shape, device=indices.device) < self.value_dropout
            indices = indices.masked_fill(dropped, UNKNOWN)
        vectors = [vectors_of(table, indices[..., n]) for n, table in enumerate(self.tables)]
        return torch.cat(vectors, dim=-1)
