"""Paths chosen from a chain."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """One path per sentence, or `n` of them.

    tags: ``(batch, length)``, 0 at padding; of n-best or drawn paths ``(batch, n, length)``.
    scores: ``(batch,)`` or ``(batch, n)``, float64: the sum of a path's emissions, transitions,
        start and end. Its log-probability is that less the chain's log partition. Where a
        sentence has fewer than `n` paths, the score is minus infinity and the tags are 0.
    """

    tags: Tensor
    scores: Tensor
