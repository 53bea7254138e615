"""The contribution of tokens and their contexts to the gates of the first layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.batch import pad
from ner.embeddings import ContextEmbedding, TypeEmbedding
from ner.indexers import Arrays
from ner.inference.lstm import PackedSequence, inverse
from ner.inference.token_cache import FEWEST, TokenCache
from ner.sentence import Sentence

FEW = 64  # maximum number of tokens whose context contributions are cached


class TypeGates:
    """The gates of distinct tokens: one row per token and direction, computed once.

    Args:
        embeddings: The type embeddings.
        weights: From their concatenated vectors to gates, ``(width, directions * gates)``.
        bias: ``(directions * gates,)``.
        directions: The number of directions.
        capacity: The maximum number of cached tokens.
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
        gates = weights.shape[1] // directions
        # not a method: a reference cycle would keep old weights and rows in memory
        compute = partial(_gates, embeddings, weights, bias, directions)
        self._remembered = TokenCache(compute, (directions, capacity, gates))

    def __len__(self) -> int:
        return len(self._remembered)

    def look_up(self, sentences: Sequence[Sequence[str]]) -> tuple[Tensor, NDArray[np.int64]]:
        """Return the table, ``(directions, capacity, gates)``, and the row of each token.

        The rows stay valid for this table, whatever other threads look up in the meantime.

        Args:
            sentences: At most ``capacity`` tokens.
        """
        table, rows = self._remembered.look_up(sentences)
        return torch.from_numpy(table), rows


def _gates(
    embeddings: Sequence[TypeEmbedding],
    weights: Tensor,
    bias: Tensor,
    directions: int,
    tokens: list[str],
) -> NDArray[np.float32]:
    """Compute the gates of some tokens, ``(directions, tokens, gates)``."""
    vectors = [part(*map(torch.from_numpy, part.index(tokens))) for part in embeddings]
    gates = torch.addmm(bias, torch.cat(vectors, dim=1), weights)
    directed = gates.view(len(tokens), directions, -1).transpose(0, 1)
    arranged: NDArray[np.float32] = directed.numpy()
    return arranged


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

    def __init__(self, part: ContextEmbedding, weights: Tensor, directions: int) -> None:
        self.part = part
        self._weights, self._directions = weights, directions
        self.constant = weights.new_zeros(weights.shape[1])
        if part.tokenwise:
            nothing = tuple(np.zeros_like(a) for a in part.index(Sentence(("x",))))
            self.constant = _shares(part, weights, nothing)[0]
            compute = partial(_remembered_shares, part, weights, self.constant, nothing, directions)
            gates = weights.shape[1] // directions
            self._remembered = TokenCache[bytes](compute, (directions, FEWEST, gates))

    def add_to(self, gates: Tensor, sentences: Sequence[Arrays], packed: PackedSequence) -> None:
        """Add the contribution to gates in packed order, ``(directions, tokens, gates)``.

        Args:
            gates: Modified in place.
            sentences: The embedding's indices for each packed sentence.
            packed: The layout of the tokens.
        """
        if self.part.sentencewise:
            self._add_by_sentence(gates, sentences, packed)
            return
        if self.part.tokenwise:
            arrays = [np.concatenate(arrays) for arrays in zip(*sentences, strict=True)]
            places = np.flatnonzero(reduce(np.logical_or, map(_rows_with_any, arrays)))
            if len(places):
                self._add_some(gates, tuple(a[places] for a in arrays), places, packed)
            return
        width = int(packed.lengths[0])
        vectors = self.part(*(pad(arrays, width) for arrays in zip(*sentences, strict=True)))
        mask = torch.arange(width) < torch.from_numpy(packed.lengths)[:, None]
        shares = (vectors[mask] @ self._weights).view(len(packed.forward), self._directions, -1)
        for direction, order in enumerate(packed.orders[: self._directions]):
            gates[direction] += shares[torch.from_numpy(order), direction]

    def _add_by_sentence(
        self, gates: Tensor, sentences: Sequence[Arrays], packed: PackedSequence
    ) -> None:
        """Add the contribution of sentences to all their tokens, step by step."""
        firsts = [np.stack([a[0] for a in arrays]) for arrays in zip(*sentences, strict=True)]
        if not any(array.any() for array in firsts):
            return
        shares = _shares(self.part, self._weights, tuple(firsts)).sub_(self.constant)
        ways = shares.view(len(sentences), self._directions, -1).transpose(0, 1).contiguous()
        for own, way in zip(gates, ways, strict=True):
            if len(sentences) == 1:
                own += way
                continue
            for step in torch.split(own, packed.counts):
                step += way[: len(step)]

    def _add_some(
        self, gates: Tensor, arrays: Arrays, places: NDArray[np.int64], packed: PackedSequence
    ) -> None:
        """Add the contribution of tokens at flat indices, less the constant in the bias."""
        differs = reduce(np.logical_or, (_rows_with_any(a[1:] != a[:-1]) for a in arrays))
        heads = np.flatnonzero(np.concatenate(([True], differs)))  # of runs of equal rows
        shares = self._shares_of(tuple(a[heads] for a in arrays))
        if len(heads) < len(places):
            runs = np.repeat(np.arange(len(heads)), np.diff(heads, append=len(places)))
            shares = shares.index_select(1, torch.from_numpy(runs))
        for direction, order in enumerate(packed.orders[: self._directions]):
            rows = torch.from_numpy(inverse(order)[places])
            gates[direction].index_add_(0, rows, shares[direction])

    def _shares_of(self, arrays: Arrays) -> Tensor:
        """Return the contribution of tokens less the constant, ``(directions, tokens, gates)``."""
        if len(arrays[0]) > FEW:  # computing them together is faster than looking them up
            shares = _shares(self.part, self._weights, arrays).sub_(self.constant)
            return shares.view(len(shares), self._directions, -1).transpose(0, 1)
        keys = [b"".join([row.tobytes() for row in own]) for own in zip(*arrays, strict=True)]
        table, rows = self._remembered.look_up([keys])
        return torch.from_numpy(table.take(rows, 1))


def _shares(part: ContextEmbedding, weights: Tensor, arrays: Arrays) -> Tensor:
    """Return the contribution of single tokens, ``(tokens, directions * gates)``."""
    vectors = part(*(torch.from_numpy(array[:, None]) for array in arrays))
    return torch.mm(vectors.squeeze(1), weights)


def _remembered_shares(
    part: ContextEmbedding,
    weights: Tensor,
    constant: Tensor,
    like: Arrays,
    directions: int,
    keys: list[bytes],
) -> NDArray[np.float32]:
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
    arrays = tuple(
        column.copy().view(array.dtype).reshape(len(keys), *array.shape[1:])
        for column, array in zip(columns, like, strict=True)
    )
    shares = _shares(part, weights, arrays).sub_(constant)
    arranged: NDArray[np.float32] = shares.view(len(keys), directions, -1).transpose(0, 1).numpy()
    return arranged


def _rows_with_any(array: NDArray[np.generic]) -> NDArray[np.bool_]:
    return np.asarray(array.any(axis=tuple(range(1, array.ndim))), dtype=np.bool_)
