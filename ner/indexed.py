"""Sentences as numbers, before they are put together in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.batch import Tensors
from ner.embeddings import TypeEmbedding
from ner.indexers import Arrays


@dataclass(frozen=True, slots=True, eq=False)
class Indexed:
    """A sentence as numbers.

    Attributes:
        types: Which distinct token of a ``TypeTable`` each token is, ``(tokens,)``.
        contexts: What each context embedding made of the sentence.
        tags: The number of each token's tag, ``(tokens,)``, where the sentence is annotated.
        candidates: Which tags each token may carry, ``(tokens, tags)``, where the annotation does
            not say it of every token.
    """

    types: NDArray[np.int64]
    contexts: tuple[Arrays, ...]
    tags: NDArray[np.int64] | None = None
    candidates: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.types)

    def part(self, start: int, end: int) -> Indexed:
        """The tokens ``[start, end)`` by themselves; no entity may reach across either end."""
        return Indexed(
            self.types[start:end],
            tuple(tuple(array[start:end] for array in arrays) for arrays in self.contexts),
            None if self.tags is None else self.tags[start:end],
            None if self.candidates is None else self.candidates[start:end],
        )


class TypeTable:
    """The distinct tokens met so far, each turned into numbers once."""

    def __init__(self, embeddings: Sequence[TypeEmbedding]) -> None:
        self._embeddings = embeddings
        self._rows: dict[str, int] = {}
        self._arrays: list[list[NDArray[np.int64]]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def index(self, sentences: Sequence[Sequence[str]]) -> list[NDArray[np.int64]]:
        """The row of each token of each sentence; new tokens get new rows."""
        known = self._rows
        new = {token for tokens in sentences for token in tokens if token not in known}
        if new:
            self._add(sorted(new))
        return [
            np.fromiter(map(known.__getitem__, tokens), np.int64, len(tokens))
            for tokens in sentences
        ]

    def gather(self, rows: NDArray[np.int64]) -> tuple[Tensors, ...]:
        """Return the input of the embeddings for some rows."""
        if self._arrays is None:
            return tuple(() for _ in self._embeddings)
        return tuple(
            tuple(torch.from_numpy(array[rows]) for array in parts) for parts in self._arrays
        )

    def _add(self, tokens: list[str]) -> None:
        for token in tokens:
            self._rows[token] = len(self._rows)
        fresh = [list(embedding.index(tokens)) for embedding in self._embeddings]
        if self._arrays is None:
            self._arrays = fresh
            return
        self._arrays = [
            [np.concatenate(pair) for pair in zip(*both, strict=True)]
            for both in zip(self._arrays, fresh, strict=True)
        ]


def candidates(indexed: Sequence[Indexed], length: int, tags: int) -> Tensor | None:
    """Which tags each token may carry, ``(batch, length, tags)``, where that of some is open."""
    if all(sentence.candidates is None for sentence in indexed):
        return None
    allowed = np.zeros((len(indexed), length, tags), dtype=bool)
    for row, sentence in zip(allowed, indexed, strict=True):
        if sentence.candidates is not None:
            row[: len(sentence)] = sentence.candidates
        elif sentence.tags is not None:
            row[: len(sentence)] = one_hot(sentence.tags, tags)
    return torch.from_numpy(allowed)


def one_hot(tags: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Return a one-hot matrix of the tags of tokens, ``(tokens, tags)``."""
    hot: NDArray[np.bool_] = tags[:, None] == np.arange(count)
    return hot
