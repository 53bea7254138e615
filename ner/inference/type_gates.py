"""What a token gives to the gates of the first layer, computed once per distinct token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.embeddings import TypeEmbedding

CHARACTERS = 1 << 24  # at most so many characters of tokens are remembered
AT_ONCE = 2048  # tokens embedded together


class _Shelf:
    """The rows that are remembered, and whose they are."""

    def __init__(self, directions: int, capacity: int, width: int) -> None:
        self.rows: dict[str, int] = {}
        self.characters = 0
        # pages of it that are never written take no memory
        self.table = torch.empty(directions, capacity, width)


class TypeGates:
    """A bounded table: a row per token and direction. When it is full it begins anew.

    Args:
        embeddings: The embeddings that see the token alone.
        weights: From their vectors, side by side, to gates, ``(width, directions * gates)``.
        bias: ``(directions * gates,)``.
        directions: How many there are.
        capacity: The most tokens that are remembered.
    """

    def __init__(
        self,
        embeddings: Sequence[TypeEmbedding],
        weights: Tensor,
        bias: Tensor,
        directions: int,
        capacity: int,
    ) -> None:
        self.capacity = capacity
        self._embeddings = embeddings
        self._weights, self._bias, self._directions = weights, bias, directions
        self._lock = Lock()
        self._shelf = self._empty()

    def __len__(self) -> int:
        return len(self._shelf.rows)

    def look_up(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, NDArray[np.int64]]:
        """The table, ``(directions, capacity, gates)``, and the row of each token in it.

        The rows stay valid for this table, whatever other threads look up meanwhile.

        Args:
            sentences: At most ``capacity`` tokens.
        """
        with self._lock:
            shelf = self._shelf
            rows = list(map(shelf.rows.get, chain.from_iterable(sentences)))
            if None in rows:
                shelf = self._learn(sentences)
                rows = list(map(shelf.rows.get, chain.from_iterable(sentences)))
        return shelf.table, np.array(rows, dtype=np.int64)

    def _learn(self, sentences: Sequence[Sequence[str]]) -> _Shelf:
        """A shelf that has all these tokens."""
        distinct = set(chain.from_iterable(sentences))
        new = distinct - self._shelf.rows.keys()
        characters = sum(map(len, new))
        full = len(self._shelf.rows) + len(new) > self.capacity
        if full or self._shelf.characters + characters > CHARACTERS:
            # a new one, since another thread may still be reading the old one
            self._shelf, new = self._empty(), distinct
            characters = sum(map(len, new))
        shelf = self._shelf
        tokens = sorted(new, key=len)  # of like length, so that little is padding
        first = len(shelf.rows)
        for start in range(0, len(tokens), AT_ONCE):
            some = tokens[start : start + AT_ONCE]
            gates = self._gates(some).view(len(some), self._directions, -1).transpose(0, 1)
            shelf.table[:, first + start : first + start + len(some)] = gates
        shelf.rows.update(zip(tokens, range(first, first + len(tokens)), strict=True))
        shelf.characters += characters
        return shelf

    def _gates(self, tokens: list[str]) -> Tensor:
        vectors = [part(*map(torch.from_numpy, part.index(tokens))) for part in self._embeddings]
        return torch.addmm(self._bias, torch.cat(vectors, dim=1), self._weights)

    def _empty(self) -> _Shelf:
        gates = self._weights.shape[1] // self._directions
        return _Shelf(self._directions, self.capacity, gates)
