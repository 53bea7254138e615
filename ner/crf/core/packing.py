"""The layout of a batch whose tokens are packed by time step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packing:
    """The tokens of a batch without padding: all first tokens, all second tokens, and so on.

    Rows are the non-empty sentences, longest first, so that the rows active at a step are always
    a prefix of all rows.

    sentences: the sentence of each row, ``(rows,)``.
    lengths: the number of tokens of each row, descending, ``(rows,)``.
    counts: the number of active rows at each step, ``(steps,)``.
    step, row: the step and the row of each token, ``(n,)``.
    tokens: the index of each token in the flattened padded batch, ``(n,)``.
    reverse: the packed index of the mirror image of each token: token t of a row of length T is
        mapped to token T - 1 - t, ``(n,)``.
    previous: the packed index of the token before each token but the first ones, ``(n - rows,)``.

    The forward and backward recursions run side by side: each step processes the rows of the one,
    then those of the other. A row that has ended stays active for a while, on meaningless values,
    since changing the number of rows costs time as well.

    runs: runs of steps, from the second on, with the same number of rows: (first step, end, rows).
    forwards, backwards: the index of each token in the steps of either recursion, ``(n,)``.
    walked: the token at each index of the steps; for the backward recursion, its `reverse`.
    """

    sentences: Integers
    lengths: Integers
    counts: Integers
    step: Integers
    row: Integers
    tokens: Integers
    reverse: Integers
    previous: Integers
    runs: list[tuple[int, int, int]]
    forwards: Integers
    backwards: Integers
    walked: Integers

    @staticmethod
    def of(lengths: Integers, width: int, tags: int) -> Packing:
        """Pack sentences of these lengths, padded to `width` tokens."""
        sentences = (-lengths).argsort(kind="stable")[: np.count_nonzero(lengths)]
        lengths = lengths[sentences]
        rows, steps = len(lengths), int(lengths[0]) if len(lengths) else 0
        clock = np.arange(steps)
        # lengths descend: the rows active at step t are those longer than t
        counts = rows - lengths[::-1].searchsorted(clock, side="right")
        offsets = counts.cumsum()
        offsets -= counts
        step = clock.repeat(counts)
        places = np.arange(len(step))
        row = places - offsets[step]
        # token t of row r is packed at offsets[t] + r, so its mirror image at offsets[T-1-t] + r
        reverse = offsets[(lengths - 1)[row] - step] + row
        runs = runs_of(lengths.tolist(), tags)
        walking = np.array([rows] + [n for a, b, n in runs for _ in range(a, b)])
        begin = 2 * walking.cumsum()
        walked = np.zeros(begin[-1], np.int64)
        begin -= 2 * walking
        forwards = begin[step] + row
        backwards = forwards + walking[step]
        walked[forwards], walked[backwards] = places, reverse
        return Packing(
            sentences,
            lengths,
            counts,
            step,
            row,
            (sentences * width)[row] + step,
            reverse,
            places[rows:] - counts[step[rows:] - 1],
            runs,
            forwards,
            backwards,
            walked,
        )


def runs_of(lengths: list[int], tags: int) -> list[tuple[int, int, int]]:
    """Return runs of steps, from the second on, with the same active rows: (first, end, rows).

    A run continues until an eighth of its rows plus a constant have ended: computing idle rows is
    cheaper than starting a run, the more so the fewer the tags.

    Args:
        lengths: The number of steps of each row, descending.
        tags: The number of tags.
    """
    idle = 3000 // tags**2
    runs, first, n = [], 1, len(lengths)
    while n and first < lengths[0]:
        while lengths[n - 1] <= first:
            n -= 1
        last = lengths[max(n - 1 - n // 8 - idle, 0)]
        runs.append((first, last, n))
        first = last
    return runs
