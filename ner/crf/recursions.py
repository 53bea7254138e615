"""The choice among the recursions; they all give the same sums."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ner.crf.lattice import Lattice
from ner.crf.logspace import LogSpace
from ner.crf.messages import Gradient, Messages
from ner.crf.packed import Packed, numbers
from ner.crf.scaled import Scaled
from ner.crf.viterbi_numpy import complaint


class Recursions(Protocol):
    """Sums over the paths of a lattice.

    log_partition: ``(batch,)``, float64; 0 for an empty sentence.
    """

    @property
    def log_partition(self) -> Tensor: ...

    def score(self, tags: Tensor) -> Tensor:
        """The score of one path per sentence, ``(batch,)``, float64."""
        ...

    def gradient(self, weights: Tensor, tags: Tensor | None, dtype: torch.dtype) -> Gradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores."""
        ...

    def messages(self) -> Messages:
        """The forward and backward messages."""
        ...


def fast_way(device: torch.device) -> type[Packed] | type[Scaled]:
    """The recursions that serve a device best, for scores of an ordinary range."""
    return Packed if device.type == "cpu" else Scaled


def recursions(lattice: Lattice) -> Recursions:
    """Run the forward and the backward recursion, the fastest way that is exact.

    Raises:
        ValueError: where an emission is no number, or a sentence has no legal path.
    """
    fast = fast_way(lattice.emissions.device).of(lattice)
    if fast is not None:
        return fast
    slow = LogSpace.of(lattice)
    lost = (~torch.isfinite(slow.log_partition)).nonzero()
    if len(lost):
        lengths = lattice.lengths.cpu().numpy()
        raise ValueError(complaint(numbers(lattice.emissions), lengths, int(lost[0])))
    return slow
