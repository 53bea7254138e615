"""The tensors of several sentences, and the grouping of sentences into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Item = TypeVar("Item")
Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The input of a network, padded to the longest sentence.

    Attributes:
        types: The input of each type embedding, one row per distinct token, ``(types, ...)`` each.
        rows: The row of each token, ``(batch, length)``; 0 at padding.
        contexts: The input of each context embedding, ``(batch, length, ...)`` each.
        lengths: The number of tokens per sentence, ``(batch,)``.
        tags: The tag of each token, ``(batch, length)``, if the sentences are annotated.
        candidates: The tags each token may have, ``(batch, length, tags)``, if the annotation is
            partial.
    """

    types: tuple[Tensors, ...]
    rows: Tensor
    contexts: tuple[Tensors, ...]
    lengths: Tensor
    tags: Tensor | None = None
    candidates: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""

        def move(tensors: Tensors) -> Tensors:
            return tuple(tensor.to(device, non_blocking=True) for tensor in tensors)

        return Batch(
            tuple(move(part) for part in self.types),
            self.rows.to(device),
            tuple(move(part) for part in self.contexts),
            self.lengths.to(device),
            None if self.tags is None else self.tags.to(device),
            None if self.candidates is None else self.candidates.to(device),
        )


def pad(rows: Sequence[NDArray[np.int64]], length: int) -> Tensor:
    """Return arrays ``(tokens, ...)`` as one tensor ``(batch, length, ...)``, padded with 0."""
    tail = rows[0].shape[1:]
    padded = np.zeros((len(rows), length, *tail), dtype=rows[0].dtype)
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    padded[np.arange(length) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(padded)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in chunks."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def group_by_length(
    lengths: Sequence[int] | NDArray[np.integer[Any]],
    *,
    sentences: int,
    tokens: int | None = None,
    noise: float = 0.0,
    seed: int | None = None,
) -> list[list[int]]:
    """Group sentences of similar length into batches, so that there is little padding.

    Args:
        lengths: The number of tokens of each sentence.
        sentences: The maximum number of sentences per batch.
        tokens: The maximum number of tokens per batch, including padding; a longer sentence has a
            batch of its own.
        noise: Sentences are sorted by length plus a random number up to this many tokens.
        seed: The random seed of the noise and the order of batches; ``None`` for order by length.

    Returns:
        The numbers of the sentences of each batch; every sentence is in exactly one.
    """
    keys = np.asarray(lengths, dtype=np.float64)
    random = np.random.default_rng(seed)
    if seed is not None:
        keys = keys + random.uniform(0.0, max(noise, 1e-3), len(keys))
    order = np.argsort(keys, kind="stable").tolist()
    groups: list[list[int]] = []
    longest = 0
    for number in order:
        longest = max(longest, lengths[number])
        group = groups[-1] if groups else []
        full = len(group) >= sentences or (
            tokens is not None and longest * (len(group) + 1) > tokens
        )
        if not group or full:
            groups.append([number])
            longest = lengths[number]
        else:
            group.append(number)
    if seed is not None:
        return [groups[number] for number in random.permutation(len(groups)).tolist()]
    return groups
