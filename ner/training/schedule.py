"""The learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Shape = Callable[[float, float], float]
FIRST, LAST = 1 / 25, 1 / 100  # of the highest learning rate, where a schedule begins and ends


def _warming(after: Callable[[float], float]) -> Shape:
    """Rise linearly over the warm-up, then go as ``after`` says of the rest (0 to 1)."""

    def factor(done: float, warmup: float) -> float:
        if done < warmup:
            return FIRST + (1.0 - FIRST) * done / warmup
        return after((done - warmup) / (1.0 - warmup))

    return factor


SCHEDULES: Mapping[str, Shape] = {
    "one_cycle": _warming(lambda rest: 1.0 - (1.0 - LAST) * rest),
    "linear": _warming(lambda rest: 1.0 - rest),
    "cosine": _warming(lambda rest: 0.5 * (1.0 + math.cos(math.pi * rest))),
    "constant": _warming(lambda rest: 1.0),
    "plateau": _warming(lambda rest: 1.0),  # times plateau_factor, which knows the scores
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the learning rate changes over a run.

    Attributes:
        shape: A name in ``SCHEDULES``.
        highest: The highest learning rate.
        warmup: The share of the steps over which it rises.
        patience: How many epochs in a row ``plateau`` waits for a better F1.
        factor: What ``plateau`` then multiplies the learning rate by.
    """

    shape: str
    highest: float
    warmup: float
    patience: int
    factor: float

    def learning_rate(self, done: float, f1: Sequence[float]) -> float:
        """Return the learning rate of a step.

        Args:
            done: The share of all epochs that is done before it.
            f1: The development scores of the epochs that are over.
        """
        rate = self.highest * SCHEDULES[self.shape](done, self.warmup)
        if self.shape == "plateau":
            rate *= plateau_factor(f1, self.patience, self.factor)
        return rate


def plateau_factor(f1: Sequence[float], patience: int, factor: float) -> float:
    """Return what the learning rate is multiplied by after epochs with these development scores.

    It falls by ``factor`` whenever there was no better score for more than ``patience`` epochs.
    """
    best, waited, total = -math.inf, 0, 1.0
    for value in f1:
        waited = 0 if value > best else waited + 1
        best = max(best, value)
        if waited > patience:
            total, waited = total * factor, 0
    return total
