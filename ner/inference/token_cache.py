"""A bounded cache of values computed once per distinct token; needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

CACHE = 96 << 20  # default size of the cache, in bytes
FEWEST = 4096  # minimum number of cached tokens, however wide the rows
CHARACTERS = 1 << 24  # maximum total length of the cached tokens
AT_ONCE = 2048  # tokens computed together

Floats = NDArray[np.float32]
Key = TypeVar("Key", bound=str | bytes)  # a token, or the indices of one


def capacity_of(cache: int, row: int) -> int:
    """Return the number of tokens that fit into a budget, given the bytes of a row."""
    return max(FEWEST, cache // row)


class _Rows(Generic[Key]):
    """The cached rows and their tokens."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rows: dict[Key, int] = {}
        self.characters = 0
        # pages that are never written take no memory
        self.table: Floats = np.empty(shape, np.float32)


class TokenCache(Generic[Key]):
    """A bounded table with one row per token. A full table is replaced by an empty one.

    Args:
        compute: Computes the rows of some tokens, ``(..., tokens, width)``.
        shape: The shape of the table, ``(..., capacity, width)``.
    """

    def __init__(self, compute: Callable[[list[Key]], Floats], shape: tuple[int, ...]) -> None:
        self.capacity = shape[-2]
        self._compute, self._shape = compute, shape
        self._lock = Lock()
        self._held = _Rows[Key](shape)

    def __len__(self) -> int:
        return len(self._held.rows)

    def look_up(self, sentences: Sequence[Sequence[Key]]) -> tuple[Floats, NDArray[np.int64]]:
        """Return the table and the row of each token.

        The rows stay valid for this table, whatever other threads look up in the meantime.

        Args:
            sentences: At most ``capacity`` tokens.
        """
        with self._lock:
            held = self._held
            rows = list(map(held.rows.get, chain.from_iterable(sentences)))
            if None in rows:
                held = self._learn(sentences)
                rows = list(map(held.rows.get, chain.from_iterable(sentences)))
        return held.table, np.array(rows, dtype=np.int64)

    def _learn(self, sentences: Sequence[Sequence[Key]]) -> _Rows[Key]:
        """Return the cache after adding the rows of all these tokens."""
        distinct = set(chain.from_iterable(sentences))
        new = distinct - self._held.rows.keys()
        characters = sum(map(len, new))
        full = len(self._held.rows) + len(new) > self.capacity
        if full or self._held.characters + characters > CHARACTERS:
            # not cleared in place, since another thread may still read the old table
            self._held, new = _Rows(self._shape), distinct
            characters = sum(map(len, new))
        held = self._held
        tokens = sorted(new, key=len)  # of similar length, to reduce padding
        first = len(held.rows)
        for start in range(0, len(tokens), AT_ONCE):
            some = tokens[start : start + AT_ONCE]
            place = first + start
            held.table[..., place : place + len(some), :] = self._compute(some)
        held.rows.update(zip(tokens, range(first, first + len(tokens)), strict=True))
        held.characters += characters
        return held
