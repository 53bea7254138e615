"""The layout of the tokens of a batch that are packed by time step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packing:
    """The tokens of a batch without padding: all first tokens, all second tokens, and so on.

    Rows are the sentences that have tokens, longest first, so that the rows which still have a
    token at some step are the first ones.

    sentences: the sentence of each row, ``(rows,)``.
    lengths: the tokens of each row, descending, ``(rows,)``.
    counts: the rows that have a token at each step, ``(steps,)``.
    step, row: where each token stands, ``(n,)``.
    tokens: the number of each token in the flattened padded batch, ``(n,)``.
    reverse: for each token, the place of that token of its row which has as many tokens before
        it as this one has behind it, ``(n,)``.
    previous: the place of the token before each token but the first ones, ``(n - rows,)``.

    Two walks over all rows, from their starts and from their ends, go side by side, each step
    holding the rows of the one and then those of the other. Rows that have ended go on idly for
    a while, over tokens that mean nothing, since a change of their number costs time as well.

    runs: runs of steps after the first with the same number of rows: (first step, after the
        last, rows).
    forwards, backwards: the place of each token in the steps of either walk, ``(n,)``.
    walked: the token at each place of the steps; that of the second walk is the `reverse`.
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
        counts = rows - lengths[::-1].searchsorted(clock, side="right")
        offsets = counts.cumsum()
        offsets -= counts
        step = clock.repeat(counts)
        places = np.arange(len(step))
        row = places - offsets[step]
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
    """Runs of steps after the first in which the same rows walk: (first, after the last, rows).

    A run goes on until an eighth of its rows and some more have ended, since idle rows cost less
    than a new run; the more so, the fewer the tags.

    Args:
        lengths: The steps of each row, descending.
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
