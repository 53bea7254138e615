"""Vectors for whether a token stands in a name of a list: places, companies, drugs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import ContextEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.gazetteers import OUTSIDE, SINGLE, GazetteerIndexer
from ner.sentence import Sentence


class GazetteerEmbedding(ContextEmbedding):
    """A vector for each list, of where in one of its names the token stands; concatenated.

    In each list the longest name counts, from left to right. Case does not.

    Args:
        lists: The names of each list, by the list's own name, each as its tokens with blanks
            between.
        width: The width of the vector of one list.
        match_dropout: How often a list says nothing of a sentence in training, so that names of
            no list are learnt too.

    Raises:
        ValueError: The width is below 1, or the dropout no share.
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
        """Read the lists; the model holds them, the files are not needed again.

        Args:
            sentences: Not looked at.
            files: The file of each list by the list's name: a name a line, its tokens with blanks
                between, in UTF-8.
            width: The width of the vector of one list.
            match_dropout: How often a list says nothing of a sentence in training.

        Raises:
            ValueError: A list has no name.
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
        """The vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.match_dropout:
            shape = (indices.shape[0], 1, indices.shape[2])
            silent = torch.rand(shape, device=indices.device) < self.match_dropout
            indices = indices.masked_fill(silent, OUTSIDE)
        vectors = [vectors_of(table, indices[..., n]) for n, table in enumerate(self.tables)]
        return torch.cat(vectors, dim=-1)


def _names(file: Path) -> list[str]:
    """The names of a file, each once.

    Raises:
        ValueError: There is none, or it is not UTF-8.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 text ({error})") from None
    names = list(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))
    if not names:
        raise ValueError(f"{file}: no names in it")
    return names
