"""From tags as numbers to spans, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ner.crf.core.spans import SpanBatch
from ner.schemes import OUTSIDE, Scheme

Integers = NDArray[np.int64]


class SpanExtractor:
    """Reads the spans out of tag numbers, as ``Scheme.decode`` reads them out of tags.

    Args:
        scheme: The scheme of the tags.
        tags: The tags, in the order of their numbers.
        labels: The labels, in the order of theirs.
    """

    def __init__(self, scheme: Scheme, tags: Sequence[str], labels: Sequence[str]) -> None:
        numbers = {label: number for number, label in enumerate(labels)}
        self._labels = np.array(
            [-1 if tag == OUTSIDE else numbers[tag.partition("-")[2]] for tag in tags]
        )
        self._continues = np.array(
            [
                [OUTSIDE not in (a, b) and len(scheme.decode([a, b])) == 1 for b in tags]
                for a in tags
            ]
        )

    def follows(self, tags: Integers) -> NDArray[np.bool_]:
        """Whether each token goes on with the span of the token before it, ``(tokens,)``."""
        follows = np.zeros(len(tags), dtype=bool)
        follows[1:] = self._continues[tags[:-1], tags[1:]]
        return follows

    def find(self, tags: Integers, lengths: Integers) -> SpanBatch:
        """The spans of sentences whose tags follow one another, ``(tokens,)``.

        Args:
            tags: The tags of all sentences.
            lengths: The tokens of each sentence, above 0.
        """
        inside = np.flatnonzero(self._labels[tags] >= 0)
        if not len(inside):
            return SpanBatch(*(np.zeros(0, np.int64) for _ in range(4)))
        ends = np.cumsum(lengths)
        follows = np.append(self.follows(tags), False)
        follows[ends] = False
        starts = inside[~follows[inside]]
        lasts = inside[~follows[inside + 1]]
        rows = np.searchsorted(ends, starts, side="right")
        first = (ends - lengths)[rows]
        return SpanBatch(rows, starts - first, lasts + 1 - first, self._labels[tags[starts]])
