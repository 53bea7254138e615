"""Where the tokens of a batch lie when they are packed by time; needs no torch."""

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
    offsets: the place of the first token of each step, ``(steps + 1,)``.
    runs: runs of steps with the same number of rows: (first step, after the last, rows).
    step, row: where each token stands, ``(n,)``.
    tokens: the number of each token in the flattened padded batch, ``(n,)``.
    reverse: for each token, the place of that token of its row which has as many tokens before
        it as this one has behind it, ``(n,)``.
    previous: the place of the token before each token but the first ones, ``(n - rows,)``.
    forwards, backwards: the places of each token where every step holds its tokens twice, one
        copy after the other, as two walks side by side do, ``(n,)``.
    interleaved: the token at each such place, the second copies being reversed, ``(2 n,)``.
    """

    sentences: Integers
    lengths: Integers
    offsets: Integers
    runs: list[tuple[int, int, int]]
    step: Integers
    row: Integers
    tokens: Integers
    reverse: Integers
    previous: Integers
    forwards: Integers
    backwards: Integers
    interleaved: Integers

    @staticmethod
    def of(lengths: Integers, width: int) -> Packing:
        """Pack sentences of these lengths, padded to `width` tokens."""
        sentences = (-lengths).argsort(kind="stable")[: np.count_nonzero(lengths)]
        lengths = lengths[sentences]
        rows, steps = len(lengths), int(lengths[0]) if len(lengths) else 0
        clock = np.arange(steps)
        counts = rows - lengths[::-1].searchsorted(clock, side="right")
        offsets = np.zeros(steps + 1, np.int64)
        counts.cumsum(out=offsets[1:])
        step = clock.repeat(counts)
        before, count = offsets[step], counts[step]
        places = np.arange(len(step))
        row = places - before
        reverse = offsets[(lengths - 1)[row] - step] + row
        forwards = places + before
        backwards = forwards + count
        interleaved = np.empty(2 * len(places), np.int64)
        interleaved[forwards], interleaved[backwards] = places, reverse
        edges = [0, *((counts[1:] != counts[:-1]).nonzero()[0] + 1).tolist(), steps]
        starts = edges[:-1] if steps else []
        return Packing(
            sentences,
            lengths,
            offsets,
            [(a, b, int(counts[a])) for a, b in zip(starts, edges[1:], strict=False)],
            step,
            row,
            (sentences * width)[row] + step,
            reverse,
            places[rows:] - counts[step[rows:] - 1],
            forwards,
            backwards,
            interleaved,
        )
