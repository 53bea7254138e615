"""What recursions over a lattice give back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """What the two recursions leave behind, in logs and float64.

    log_alpha: the total weight of all beginnings that end in this tag at this token, its
        emission included, ``(batch, length, tags)``.
    log_beta: the total weight of all endings that follow this tag at this token, its emission
        left out, ``(batch, length, tags)``.
    log_partition: ``(batch,)``, 0 for an empty sentence.

    Beyond a sentence's length the values mean nothing, but are no NaN.
    """

    log_alpha: Tensor
    log_beta: Tensor
    log_partition: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """The derivatives of a weighted sum of log partitions, less those of gold paths' scores.

    emissions: ``(batch, length, tags)``, 0 at padding; with weights of 1 and no gold paths, the
        probability of each tag at each token.
    transitions: ``(tags, tags)``, float64; start, end: ``(tags,)``, float64.
    """

    emissions: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor
