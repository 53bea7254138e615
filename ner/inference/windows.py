"""Sentences of any length: which stretches of them are looked at together.

The encoder reads a long sentence in windows that overlap, so that every token it is asked about
has seen its neighbourhood on either side. The CRF runs over the whole, in pieces: each begins
from the tag at which the one before it ended, and is decoded with some tokens more than are
kept, by which time paths that will be the best one have long met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PIECE = 16384  # tokens of a sentence that are decoded together
MARGIN = 256  # tokens looked at on either side of a piece
WINDOW = 1024  # tokens the encoder is asked about at a time
OVERLAP = 128  # tokens it also reads on either side of a window


@dataclass(frozen=True, slots=True)
class DecodingChunk:
    """What is known of a piece of a sentence before it is decoded.

    Attributes:
        before: How many tokens before it are looked at.
        size: The most tokens of it to keep.
        tag: The number of the tag before it; ``None`` at the beginning of the sentence.
        last: Whether the sentence ends with it.
    """

    before: int
    size: int
    tag: int | None
    last: bool


class Window(NamedTuple):
    """A stretch of a sentence the encoder reads, ``[start, end)``.

    What it finds is kept for ``[first, last)``.
    """

    start: int
    end: int
    first: int
    last: int


def windows(length: int) -> list[Window]:
    """The windows of a sentence, which keep each of its tokens once."""
    firsts = range(0, length, WINDOW)
    return [
        Window(max(0, a - OVERLAP), min(length, a + WINDOW + OVERLAP), a, min(length, a + WINDOW))
        for a in firsts
    ]


def seam(follows: NDArray[np.bool_], most: int) -> int:
    """How many tokens of a piece to keep, so that no span is cut: at most ``most``.

    Args:
        follows: Whether each token goes on with the span of the token before it.
        most: Where all of them are in one span, so many are kept all the same.
    """
    free = np.flatnonzero(~follows[1 : most + 1])
    return int(free[-1]) + 1 if len(free) else most
