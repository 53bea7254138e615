"""Tag sequences chosen from a chain."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """One tag sequence per sentence, or `n` of them.

    tags: ``(batch, length)``, 0 beyond a sentence's length; of n-best or sampled
        paths ``(batch, n, length)``.
    scores: the score of each path, ``(batch,)`` or ``(batch, n)``: unnormalised, its
        log-probability plus the chain's log partition. Where a sentence has fewer than `n`
        paths, the score is minus infinity and the tags mean nothing.
    """

    tags: Tensor
    scores: Tensor

    def tolist(self, lengths: Tensor) -> list[list[int]]:
        """The tags of each sentence, without padding, as lists of integers."""
        rows: list[list[int]] = self.tags.tolist()
        return [row[:n] for row, n in zip(rows, lengths.tolist(), strict=True)]
