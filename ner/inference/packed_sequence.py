"""How the tokens of a batch are laid out for a recurrence: step by step, without padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PackedSequence:
    """The places of tokens: one sentence after the other, or one step after the other.

    "Flat" counts the tokens sentence by sentence. "Packed" counts the first tokens of all
    sentences, then the second ones of those that have one, and so on; read backwards, the last
    tokens come first.

    Attributes:
        lengths: Tokens per sentence, descending, ``(batch,)``.
        counts: How many sentences are still running at each step.
        forward: The flat place of each packed token, ``(tokens,)``.
        backward: The same where sentences are read from their ends, ``(tokens,)``.
    """

    lengths: Integers
    counts: list[int]
    forward: Integers
    backward: Integers

    @staticmethod
    def of(lengths: Integers) -> PackedSequence:
        """Lay out sentences of these lengths, which must be descending and above 0."""
        if len(lengths) == 1:
            one = np.arange(lengths[0])
            return PackedSequence(lengths, [1] * len(one), one, one[::-1].copy())
        steps = np.arange(lengths[0])[:, None]
        running = steps < lengths
        first = np.cumsum(lengths) - lengths
        return PackedSequence(
            lengths,
            running.sum(1).tolist(),
            (first + steps)[running],
            (first + lengths - 1 - steps)[running],
        )

    @property
    def orders(self) -> tuple[Integers, Integers]:
        """The flat places of packed tokens, for each direction."""
        return self.forward, self.backward


def inverse(order: Integers) -> Integers:
    """Where each place is found in an order that holds every place once."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places
