"""The contribution of tokens and their contexts to the gates of the first layer; needs no torch.

Both are computed once and kept in a bounded cache, `TokenCache`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
        orders: The flat index of each packed token, forward and backward, ``(2, tokens)``.
    """

    lengths: Integers
    counts: Integers
    orders: Integers

    @staticmethod
    def of(lengths: Integers) -> PackedSequence:
        """Lay out sentences of these lengths, which must be descending and positive."""
        if len(lengths) == 1:
            one = np.arange(lengths[0])
            return PackedSequence(lengths, np.ones_like(one), np.array((one, one[::-1])))
        steps = np.arange(lengths[0])[:, None]
        running = steps < lengths
        first = np.cumsum(lengths) - lengths
        orders = np.stack(((first + steps)[running], (first + lengths - 1 - steps)[running]))
        return PackedSequence(lengths, running.sum(1), orders)


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
            self._like = nothing

    def add_to(self, gates: Floats, sentences: Sequence[Arrays], lengths: Integers) -> None:
        """Add the contribution to the gates of sentences, ``(directions, tokens, gates)``.

        Args:
            gates: Modified in place.
            sentences: The embedding's indices for each sentence.
            lengths: The number of tokens of each.
        """
        if self.part.sentencewise:
            self._add_by_sentence(gates, sentences, lengths)
        elif self.part.tokenwise:
            columns = [np.concatenate(arrays) for arrays in zip(*sentences, strict=True)]
            rows = np.concatenate([own.reshape(len(own), -1) for own in columns], 1)
            places = np.flatnonzero(rows.any(1))
            for start in range(0, len(places), AT_ONCE):
                some = places[start : start + AT_ONCE]
                for own, share in zip(gates, self._shares_of(rows[some]), strict=True):
                    own[some] += share
        else:
            vectors = np.concatenate([self.part.vectors(*arrays) for arrays in sentences])
            gates += _by_direction(vectors @ self._weights, self._directions)

    def _add_by_sentence(
        self, gates: Floats, sentences: Sequence[Arrays], lengths: Integers
    ) -> None:
        """Add the contribution of sentences to all their tokens."""
        firsts = [np.stack([a[0] for a in arrays]) for arrays in zip(*sentences, strict=True)]
        if not any(array.any() for array in firsts):
            return
        ways, start = self._less_constant(firsts), 0
        for number, length in enumerate(lengths.tolist()):
            gates[:, start : start + length] += ways[:, number : number + 1]
            start += length

    def _shares_of(self, rows: Integers) -> Floats:
        """Return the contribution of tokens less the constant, ``(directions, tokens, gates)``.

        Args:
            rows: All indices of each token, ``(tokens, indices)``.
        """
        if len(rows) <= FEW:
            held, size = rows.tobytes(), rows[0].nbytes
            keys = [held[place : place + size] for place in range(0, len(held), size)]
            table, found = self._remembered.look_up([keys])
            return table.take(found, 1)
        # computing many together is faster than looking them up; equal neighbours only once
        differs = np.concatenate(([True], (rows[1:] != rows[:-1]).any(1)))
        shares = self._less_constant(_arrays(rows[differs], self._like))
        return shares.take(np.cumsum(differs) - 1, 1)

    def _less_constant(self, arrays: Sequence[NDArray[np.int64]]) -> Floats:
        """Return the contribution of tokens or sentences less the constant."""
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
    """Return the contribution of tokens, given the bytes of all their indices.

    Args:
        part: The embedding.
        weights: From its vectors to gates.
        constant: What is taken from each contribution.
        like: The indices of some token.
        directions: The number of directions.
        keys: The bytes of each token.
    """
    held = bytearray().join(keys)  # torch wants arrays that may be written to
    rows = np.frombuffer(held, np.result_type(*like)).reshape(len(keys), -1)
    return _by_direction(part.vectors(*_arrays(rows, like)) @ weights - constant, directions)


def _arrays(rows: Integers, like: Arrays) -> Arrays:
    """Split the indices of tokens, ``(tokens, indices)``, into arrays like those of some token."""
    bounds = np.cumsum([array[0].size for array in like])[:-1]
    parts = zip(np.split(rows, bounds, 1), like, strict=True)
    return tuple(own.reshape(len(rows), *array.shape[1:]) for own, array in parts)
