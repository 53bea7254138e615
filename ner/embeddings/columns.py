"""Embeddings of further information: columns of the file, gazetteers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import ContextEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.base import UNKNOWN, frequent
from ner.indexers.columns import OUTSIDE, SINGLE, ColumnIndexer, GazetteerIndexer
from ner.sentence import Sentence


class ColumnEmbedding(ContextEmbedding):
    """A vector for the value of each column, concatenated.

    Sentences without a column get its unknown value.

    Args:
        values: The values of each column by its name.
        width: The width of the vector of one column.
        value_dropout: The probability that a value becomes the unknown one in training.

    Raises:
        ValueError: The width is below 1, or the dropout is not between 0 and 1.
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
        """Build the embedding for the values that columns have at least ``min_count`` times.

        Args:
            sentences: The training sentences.
            columns: The names of the columns; by default all that the sentences have.
            min_count: How often a value must occur to have a vector of its own.
            width: The width of the vector of one column.
            value_dropout: The probability that a value becomes the unknown one in training.

        Raises:
            ValueError: No sentence has a column of that name, or any column at all.
        """
        held = sentences if isinstance(sentences, Sequence) else list(sentences)
        there = sorted({name for sentence in held for name in sentence.columns})
        wanted = there if columns is None else list(columns)
        missing = [name for name in wanted if name not in there]
        if missing or not wanted:
            wrong = f"have no column {missing[0]!r}" if missing else "have no further columns"
            known = f"; their columns are {', '.join(there)}" if there else ""
            raise ValueError(f"the training sentences {wrong} besides token and tag{known}")
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
        """Return the vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.value_dropout:
            dropped = torch.rand(indices.shape, device=indices.device) < self.value_dropout
            indices = indices.masked_fill(dropped, UNKNOWN)
        vectors = [vectors_of(table, indices[..., n]) for n, table in enumerate(self.tables)]
        return torch.cat(vectors, dim=-1)


class GazetteerEmbedding(ContextEmbedding):
    """A vector for the position of the token within a name of each gazetteer, concatenated.

    Names are matched from left to right, the longest first, regardless of case.

    Args:
        lists: The names of each gazetteer, by the gazetteer's name, each as tokens joined by
            blanks.
        width: The width of the vector of one gazetteer.
        match_dropout: The probability that a gazetteer is ignored for a sentence in training, so
            that names in no gazetteer are learned, too.

    Raises:
        ValueError: The width is below 1, or the dropout is not between 0 and 1.
    """

    tokenwise = True

    def __init__(
        self,
        lists: Mapping[str, Sequence[str]],
        *,
        width: int = 10,
        match_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_widths(width=width)
        check_shares(match_dropout=match_dropout)
        self.indexer = GazetteerIndexer(lists)
        self.list_width = width
        self.match_dropout = match_dropout
        self.width = width * len(self.indexer)
        self.tables = nn.ModuleList(
            spread(nn.Embedding(SINGLE + 1, width)) for _ in range(len(self.indexer))
        )

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        files: Mapping[str, str] | None = None,
        width: int = 10,
        match_dropout: float = 0.2,
    ) -> Self:
        """Read the gazetteers; they are stored with the model, so the files are not needed again.

        Args:
            sentences: Ignored.
            files: The file of each gazetteer, by its name: one name per line, its tokens joined by
                blanks, in UTF-8.
            width: The width of the vector of one gazetteer.
            match_dropout: The probability that a gazetteer is ignored for a sentence in training.

        Raises:
            ValueError: A gazetteer is empty.
            OSError: A file cannot be read.
        """
        lists = {title: _names(Path(file)) for title, file in (files or {}).items()}
        return cls(lists, width=width, match_dropout=match_dropout)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.list_width,
            "match_dropout": self.match_dropout,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.match_dropout:
            shape = (indices.shape[0], 1, indices.shape[2])
            silent = torch.rand(shape, device=indices.device) < self.match_dropout
            indices = indices.masked_fill(silent, OUTSIDE)
        vectors = [vectors_of(table, indices[..., n]) for n, table in enumerate(self.tables)]
        return torch.cat(vectors, dim=-1)


def _names(file: Path) -> list[str]:
    """Return the distinct names of a file.

    Raises:
        ValueError: The file contains no names, or is not UTF-8.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text ({error})") from None
    names = list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))
    if not names:
        raise ValueError(f"{file} contains no names")
    return names
