"""The contribution of tokens and their contexts to the gates of the first layer; needs no torch.

Both are computed once and kept in a bounded cache, `TokenCache`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ner.indexers import Arrays
from ner.sentence import Sentence

CACHE = 96 << 20  # default size of the cache, in bytes
FEWEST = 4096  # minimum number of cached tokens, however wide the rows
CHARACTERS = 1 << 24  # maximum total length of the cached tokens
AT_ONCE = 2048  # tokens computed together
FEW = 64  # maximum number of tokens whose context contributions are cached

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
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

    def look_up(self, sentences: Sequence[Sequence[Key]]) -> tuple[Floats, Integers]:
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
        # of similar length, to reduce padding, and in an order that hashes do not decide: products
        # of matrices round by the place of a row
        tokens = sorted(new, key=lambda token: (len(token), token))
        first = len(held.rows)
        for start in range(0, len(tokens), AT_ONCE):
            some = tokens[start : start + AT_ONCE]
            place = first + start
            held.table[..., place : place + len(some), :] = self._compute(some)
        held.rows.update(zip(tokens, range(first, first + len(tokens)), strict=True))
        held.characters += characters
        return held


@dataclass(frozen=True, slots=True, eq=False)
class TypePart:
    """An embedding of the token alone, ready for tagging.

    Attributes:
        width: The width of its vectors.
        index: From tokens to arrays of indices.
        vectors: From these arrays to vectors, ``(tokens, width)``.
    """

    width: int
    index: Callable[[Sequence[str]], Arrays]
    vectors: Callable[..., Floats]


@dataclass(frozen=True, slots=True, eq=False)
class ContextPart:
    """An embedding of the token in context, ready for tagging.

    Attributes:
        width: The width of its vectors.
        tokenwise, sentencewise: As for ``ner.embeddings.ContextEmbedding``.
        index: From a sentence to arrays of indices.
        vectors: From arrays ``(tokens, ...)`` to vectors, ``(tokens, width)``; these are sentences
            of one token each if the embedding is tokenwise, and else one sentence.
    """

    width: int
    tokenwise: bool
    sentencewise: bool
    index: Callable[[Sentence], Arrays]
    vectors: Callable[..., Floats]


class TypeGates:
    """The gates of distinct tokens: one row per token and direction, computed once.

    Args:
        parts: The embeddings of tokens.
        weights: From their concatenated vectors to gates, ``(width, directions * gates)``.
        bias: ``(directions * gates,)``.
        directions: The number of directions.
        capacity: The maximum number of cached tokens.
    """

    def __init__(
        self,
        parts: Sequence[TypePart],
        weights: Floats,
        bias: Floats,
        directions: int,
        capacity: int,
    ) -> None:
        self.capacity = capacity
        gates = weights.shape[1] // directions
        # not a method: a reference cycle would keep old weights and rows in memory
        compute = partial(_gates, parts, weights, bias, directions)
        self._remembered = TokenCache[str](compute, (directions, capacity, gates))

    def __len__(self) -> int:
        return len(self._remembered)

    def look_up(self, sentences: Sequence[Sequence[str]]) -> tuple[Floats, Integers]:
        """Return the table, ``(directions, capacity, gates)``, and the row of each token.

        The rows stay valid for this table, whatever other threads look up in the meantime.

        Args:
            sentences: At most ``capacity`` tokens.
        """
        return self._remembered.look_up(sentences)


def _gates(
    parts: Sequence[TypePart],
    weights: Floats,
    bias: Floats,
    directions: int,
    tokens: list[str],
) -> Floats:
    """Compute the gates of some tokens, ``(directions, tokens, gates)``."""
    vectors = [part.vectors(*part.index(tokens)) for part in parts]
    return _by_direction(np.concatenate(vectors, 1) @ weights + bias, directions)


def _by_direction(gates: Floats, directions: int) -> Floats:
    """Return gates ``(tokens, directions * gates)`` as ``(directions, tokens, gates)``."""
    return gates.reshape(len(gates), directions, -1).transpose(1, 0, 2)


@dataclass(frozen=True, slots=True, eq=False)
class PackedSequence:
    """The layout of a batch, sentence by sentence ("flat") and step by step ("packed").

    Packed order has the first tokens of all sentences, then all second tokens, and so on; for the
    backward direction, all last tokens come first.

    Attributes:
        lengths: Tokens per sentence, descending, ``(batch,)``.
        counts: The number of active sentences at each step.
        forward: The flat index of each packed token, ``(tokens,)``.
        backward: The same for the backward direction, ``(tokens,)``.
    """

    lengths: Integers
    counts: list[int]
    forward: Integers
    backward: Integers

    @staticmethod
    def of(lengths: Integers) -> PackedSequence:
        """Lay out sentences of these lengths, which must be descending and positive."""
        if len(lengths) == 1:
            one = np.arange(lengths[0])
            return PackedSequence(lengths, [1] * len(one), one, one[::-1].copy())
        steps = np.arange(lengths[0])[:, None]
        running = steps < lengths
        first = np.cumsum(lengths) - lengths
        return PackedSequence(
            lengths,
            running.sum(1).tolist(),
            (first + steps)[running],
            (first + lengths - 1 - steps)[running],
        )

    @property
    def orders(self) -> tuple[Integers, Integers]:
        """The flat indices of packed tokens, for each direction."""
        return self.forward, self.backward


def inverse(order: Integers) -> Integers:
    """Return the inverse of a permutation."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


class ContextGates:
    """The contribution of one context embedding to the gates.

    Most indices of a tokenwise embedding are zero. Their contribution is the same for all tokens,
    so it is added to the bias, and only the other tokens are computed.

    Args:
        part: The embedding.
        weights: From its vectors to gates, ``(width, directions * gates)``.
        directions: The number of directions.

    Attributes:
        constant: The contribution of zero indices, ``(directions * gates,)``.
    """

    def __init__(self, part: ContextPart, weights: Floats, directions: int) -> None:
        self.part = part
        self._weights, self._directions = weights, directions
        self.constant = np.zeros(weights.shape[1], np.float32)
        if part.tokenwise:
            nothing = tuple(np.zeros_like(a) for a in part.index(Sentence(("x",))))
            self.constant = (part.vectors(*nothing) @ weights)[0]
            compute = partial(_remembered_shares, part, weights, self.constant, nothing, directions)
            gates = weights.shape[1] // directions
            self._remembered = TokenCache[bytes](compute, (directions, FEWEST, gates))

    def add_to(self, gates: Floats, sentences: Sequence[Arrays], packed: PackedSequence) -> None:
        """Add the contribution to gates in packed order, ``(directions, tokens, gates)``.

        Args:
            gates: Modified in place.
            sentences: The embedding's indices for each packed sentence.
            packed: The layout of the tokens.
        """
        if self.part.sentencewise:
            self._add_by_sentence(gates, sentences, packed)
        elif self.part.tokenwise:
            arrays = [np.concatenate(arrays) for arrays in zip(*sentences, strict=True)]
            places = np.flatnonzero(reduce(np.logical_or, map(_rows_with_any, arrays)))
            for start in range(0, len(places), AT_ONCE):
                some = places[start : start + AT_ONCE]
                self._add_some(gates, tuple(a[some] for a in arrays), some, packed)
        else:
            vectors = np.concatenate([self.part.vectors(*arrays) for arrays in sentences])
            shares = _by_direction(vectors @ self._weights, self._directions)
            for own, share, order in zip(gates, shares, packed.orders, strict=False):
                own += share[order]

    def _add_by_sentence(
        self, gates: Floats, sentences: Sequence[Arrays], packed: PackedSequence
    ) -> None:
        """Add the contribution of sentences to all their tokens, step by step."""
        firsts = [np.stack([a[0] for a in arrays]) for arrays in zip(*sentences, strict=True)]
        if not any(array.any() for array in firsts):
            return
        for own, way in zip(gates, self._less_constant(firsts), strict=True):
            if len(sentences) == 1:
                own += way
                continue
            for step in np.split(own, np.cumsum(packed.counts)[:-1]):
                step += way[: len(step)]

    def _add_some(
        self, gates: Floats, arrays: Arrays, places: Integers, packed: PackedSequence
    ) -> None:
        """Add the contribution of tokens at flat indices, less the constant in the bias."""
        differs = reduce(np.logical_or, (_rows_with_any(a[1:] != a[:-1]) for a in arrays))
        heads = np.flatnonzero(np.concatenate(([True], differs)))  # of runs of equal rows
        shares = self._shares_of(tuple(a[heads] for a in arrays))
        if len(heads) < len(places):
            runs = np.repeat(np.arange(len(heads)), np.diff(heads, append=len(places)))
            shares = shares.take(runs, 1)
        for own, share, order in zip(gates, shares, packed.orders, strict=False):
            own[inverse(order)[places]] += share

    def _shares_of(self, arrays: Arrays) -> Floats:
        """Return the contribution of tokens less the constant, ``(directions, tokens, gates)``."""
        if len(arrays[0]) > FEW:  # computing them together is faster than looking them up
            return self._less_constant(arrays)
        keys = [b"".join([row.tobytes() for row in own]) for own in zip(*arrays, strict=True)]
        table, rows = self._remembered.look_up([keys])
        return table.take(rows, 1)

    def _less_constant(self, arrays: Sequence[NDArray[np.int64]]) -> Floats:
        """Compute what `_shares_of` returns."""
        shares = self.part.vectors(*arrays) @ self._weights
        shares -= self.constant
        return _by_direction(shares, self._directions)


def _remembered_shares(
    part: ContextPart,
    weights: Floats,
    constant: Floats,
    like: Arrays,
    directions: int,
    keys: list[bytes],
) -> Floats:
    """Return the contribution of tokens, given the concatenated bytes of their indices.

    Args:
        part: The embedding.
        weights: From its vectors to gates.
        constant: What is taken from each contribution.
        like: The indices of some token.
        directions: The number of directions.
        keys: The bytes of each token.
    """
    bounds = np.cumsum([array.nbytes for array in like])[:-1]
    columns = np.split(np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1), bounds, 1)
    arrays = [
        column.copy().view(array.dtype).reshape(len(keys), *array.shape[1:])
        for column, array in zip(columns, like, strict=True)
    ]
    return _by_direction(part.vectors(*arrays) @ weights - constant, directions)


def _rows_with_any(array: NDArray[np.generic]) -> NDArray[np.bool_]:
    return np.asarray(array.any(axis=tuple(range(1, array.ndim))), dtype=np.bool_)
