"""The choice among the recursions; they all give the same sums."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ner.crf.blocks import CELLS, Blocks
from ner.crf.lattice import Lattice, check_found
from ner.crf.logspace import LogSpace
from ner.crf.messages import Gradient, Messages, Question
from ner.crf.packed import Packed
from ner.crf.scaled import Scaled


class Recursions(Protocol):
    """Sums over the paths of a lattice."""

    @property
    def log_partition(self) -> Tensor:
        """The log of the sum over all paths, ``(batch,)``, float64; 0 for an empty sentence."""
        ...

    def answer(self, question: Question) -> Tensor:
        """The answer to the question that the gold tags came from."""
        ...

    def gradient(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Gradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores."""
        ...

    def messages(self) -> Messages:
        """The forward and backward messages."""
        ...


def fast_way(lattice: Lattice) -> type[Packed] | type[Blocks] | type[Scaled]:
    """The recursions that serve a lattice best, for scores of an ordinary range."""
    if lattice.emissions.device.type != "cpu":
        return Scaled
    return Packed if lattice.emissions.numel() <= CELLS else Blocks


def recursions(lattice: Lattice, tags: Tensor | None = None) -> Recursions:
    """Run the forward and the backward recursion, the fastest way that is exact.

    Args:
        lattice: The scores.
        tags: Gold tags, ``(batch, length)``; anything at padding.

    Raises:
        ValueError: where a score is no number, a sentence has no legal path, or a gold tag
            is no tag.
    """
    fast = fast_way(lattice).of(lattice, tags)
    if fast is not None:
        return fast
    slow = LogSpace.of(lattice, tags)
    check_found(lattice, slow.log_partition)
    return slow
