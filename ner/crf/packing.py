"""Where the tokens of a batch lie when they are packed by time; needs no torch."""

from __future__ import annotations

import itertools
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
    """

    sentences: Integers
    lengths: Integers
    offsets: Integers
    runs: list[tuple[int, int, int]]
    step: Integers
    row: Integers
    tokens: Integers
    reverse: Integers

    @staticmethod
    def of(lengths: Integers, width: int) -> Packing:
        """Pack sentences of these lengths, padded to `width` tokens."""
        sentences = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
        lengths = lengths[sentences]
        steps = int(lengths[0]) if len(lengths) else 0
        counts = len(lengths) - np.searchsorted(lengths[::-1], np.arange(steps), side="right")
        offsets = np.zeros(steps + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        step = np.repeat(np.arange(steps), counts)
        row = np.arange(len(step)) - offsets[step]
        tokens = sentences[row] * width + step
        reverse = offsets[lengths[row] - 1 - step] + row
        edges = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), steps] if steps else []
        runs = [(a, b, int(counts[a])) for a, b in itertools.pairwise(edges)]
        return Packing(sentences, lengths, offsets, runs, step, row, tokens, reverse)

    @property
    def previous(self) -> Integers:
        """The place of the token before each token that is not the first of its row."""
        rows = len(self.lengths)
        step = self.step[rows:] - 1
        return self.offsets[step] + self.row[rows:]

    @property
    def forwards(self) -> Integers:
        """The place of each token where every step holds its tokens twice, as both walks do."""
        return self.offsets[self.step] + np.arange(len(self.step))

    @property
    def backwards(self) -> Integers:
        """The second place of each token where every step holds its tokens twice."""
        return self.offsets[self.step + 1] + np.arange(len(self.step))

    @property
    def interleaved(self) -> Integers:
        """The token at each place where every step holds its tokens twice, ``(2 n,)``."""
        tokens = np.empty(2 * len(self.step), np.int64)
        tokens[self.forwards] = np.arange(len(self.step))
        tokens[self.backwards] = self.reverse
        return tokens
