"""Paired significance tests for two sets of predictions.

Approximate randomisation (Noreen 1989; Yeh 2000): under the null hypothesis it does not matter
which system gave which output, so the outputs of each unit are swapped at random and the
difference is computed again. The paired bootstrap draws units with both their outputs
(Berg-Kirkpatrick et al. 2012) and gives an interval of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ner.evaluation.intervals import (
    LEVEL,
    SEED,
    Interval,
    by_unit,
    count,
    documents,
    figures,
    labels_of,
    middle,
    resample,
)
from ner.evaluation.pairs import Pair
from ner.evaluation.score import FIGURES, Score, Section, percent, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

RESAMPLES = 10_000
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of a figure between the first and the second predictions.

    Attributes:
        first: The figure of the first.
        second: The figure of the second.
        interval: The interval of second minus first, by the paired bootstrap.
        randomisation: The two-sided p-value of approximate randomisation.
        bootstrap: The two-sided p-value of the paired bootstrap.
    """

    first: float
    second: float
    interval: Interval | None
    randomisation: float
    bootstrap: float

    @property
    def value(self) -> float:
        """Second minus first."""
        return self.second - self.first

    def as_json(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.value,
            "interval": self.interval.as_json() if self.interval else None,
            "p_randomisation": self.randomisation,
            "p_bootstrap": self.bootstrap,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Section):
    """Two sets of predictions, side by side.

    Attributes:
        unit: The unit drawn and swapped: ``sentence`` or ``document``.
        units: The number of units.
        sentences: The number of sentences.
        differing: The number of sentences that are predicted differently.
        resamples: The number of resamples.
        level: The confidence level of the intervals.
        overall: The differences in precision, recall and F1.
        labels: The differences in F1 of each label.
        scores: The scores of the first and of the second predictions.
    """

    unit: str
    units: int
    sentences: int
    differing: int
    resamples: int
    level: float
    overall: Mapping[str, Difference]
    labels: Mapping[str, Difference]
    scores: tuple[Score, Score]

    @property
    def inside_noise(self) -> bool:
        """Return whether the difference in F1 is not significant."""
        f1 = self.overall["f1"]
        crosses = f1.interval is None or f1.interval.low <= 0.0 <= f1.interval.high
        return crosses or f1.randomisation >= SIGNIFICANT

    def as_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "units": self.units,
            "sentences": self.sentences,
            "differing": self.differing,
            "resamples": self.resamples,
            "level": self.level,
            "first": self.scores[0].as_json(),
            "second": self.scores[1].as_json(),
            "inside_noise": self.inside_noise,
            **{name: difference.as_json() for name, difference in self.overall.items()},
            "labels": {name: difference.as_json() for name, difference in self.labels.items()},
        }

    def lines(self) -> list[str]:
        head = ["", "A", "B", "B - A", f"{100 * self.level:g} % interval"]
        rows: list[list[object]] = [[*head, "p (randomisation)", "p (bootstrap)"]]
        rows += [_row(name, difference) for name, difference in self.overall.items()]
        rows += [_row(f"F1 of {name}", difference) for name, difference in self.labels.items()]
        return [
            f"{self.differing:,} of {self.sentences:,} sentences are predicted differently; "
            f"{self.resamples:,} resamples of {self.units:,} {self.unit}s",
            *table(rows),
            self._verdict(),
        ]

    def _verdict(self) -> str:
        if self.differing == 0:
            return "The predictions are the same."
        f1 = self.overall["f1"]
        if self.inside_noise:
            return (
                f"The difference in F1 ({100 * f1.value:+.2f}) is inside the noise: "
                "on other texts of this kind it may well be reversed."
            )
        better = "B" if f1.value > 0 else "A"
        return f"{better} is better in F1 by {100 * abs(f1.value):.2f}, more than chance explains."


def _row(name: str, difference: Difference) -> list[object]:
    held = difference.interval
    return [
        "F1" if name == "f1" else name,
        percent(difference.first),
        percent(difference.second),
        f"{100 * difference.value:+.2f}",
        f"{100 * held.low:+.2f} to {100 * held.high:+.2f}" if held else percent(None),
        f"{difference.randomisation:.4f}",
        f"{difference.bootstrap:.4f}",
    ]


def compare(
    first: Sequence[Pair],
    second: Sequence[Pair],
    *,
    unit: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> Comparison:
    """Test whether the second predictions score differently from the first.

    Args:
        first: The gold annotation with the first predictions.
        second: The same gold annotation with the second predictions.
        unit: The unit to draw and swap: ``document`` if at least two are known, else ``sentence``.
        resamples: The number of resamples.
        seed: The random seed.
        level: The confidence level of the intervals.

    Raises:
        ValueError: The gold annotation differs, or the unit is unknown.
    """
    if [pair.gold for pair in first] != [pair.gold for pair in second]:
        raise ValueError("the two sets of predictions have different gold spans")
    if unit is None:
        unit = "document" if documents(first) > 1 else "sentence"
    labels = labels_of((*first, *second))
    one, other = by_unit([count(first, labels), count(second, labels)], first, unit)
    rng = np.random.default_rng(seed)
    tests = _Tests(one, other, resamples, rng)
    all_labels = tests.sums(slice(None))
    overall = {name: tests.difference(name, all_labels, level) for name in FIGURES}
    per_label = {
        label: tests.difference("f1", tests.sums(slice(at, at + 1)), level)
        for at, label in enumerate(labels)
    }
    return Comparison(
        unit,
        len(one),
        len(first),
        sum(pair.predicted != said.predicted for pair, said in zip(first, second, strict=True)),
        resamples,
        level,
        overall,
        per_label,
        (_score(one), _score(other)),
    )


def _score(counts: Counts) -> Score:
    correct, predicted, gold = counts.sum(axis=(0, 1)).tolist()
    return Score(correct, predicted, gold)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Summed counts, (..., 3), of both: as they are, swapped at random, and resampled."""

    observed: tuple[Counts, Counts]
    swapped: tuple[Counts, Counts]
    drawn: tuple[Counts, Counts]


class _Tests:
    """Both tests, on counts of two sets of predictions, (units, labels, 3) each."""

    def __init__(
        self, one: Counts, other: Counts, resamples: int, rng: np.random.Generator
    ) -> None:
        units, self._labels, _ = one.shape
        width = 3 * self._labels
        both = np.stack([one, other], axis=1).reshape(units, 2 * width)
        self._one, self._other = one.sum(axis=0), other.sum(axis=0)
        self._drawn = resample(both, resamples, rng).reshape(resamples, 2, self._labels, 3)
        self._gain = _swap((other - one).reshape(units, width), resamples, rng)
        self._gain = self._gain.reshape(resamples, self._labels, 3)

    def sums(self, labels: slice) -> _Sums:
        """Return the sums over some labels."""
        one, other = self._one[labels].sum(axis=0), self._other[labels].sum(axis=0)
        gain = self._gain[:, labels].sum(axis=1)
        drawn = self._drawn[:, :, labels].sum(axis=2)
        return _Sums((one, other), (one + gain, other - gain), (drawn[:, 0], drawn[:, 1]))

    def difference(self, name: str, sums: _Sums, level: float) -> Difference:
        """Return a figure of both, and how certain their difference is."""

        def figure(counts: Counts) -> NDArray[np.float64]:
            return np.nan_to_num(figures(counts)[name])

        first, second = map(figure, sums.observed)
        swapped = figure(sums.swapped[1]) - figure(sums.swapped[0])
        drawn = figure(sums.drawn[1]) - figure(sums.drawn[0])
        value = float(second - first)
        tolerance = 1e-12  # for equal fractions that are summed in another order
        as_far = int((np.abs(swapped) >= abs(value) - tolerance).sum())
        below = int((drawn <= tolerance).sum())
        above = int((drawn >= -tolerance).sum())
        return Difference(
            float(first),
            float(second),
            middle(drawn, level),
            (as_far + 1) / (len(swapped) + 1),
            min(1.0, 2.0 * (min(below, above) + 1) / (len(drawn) + 1)),
        )


def _swap(difference: Counts, resamples: int, rng: np.random.Generator) -> Counts:
    """Return the gain of the first predictions under random swaps of units, (resamples, n).

    Of the units that differ in the same way, the number that is swapped is binomial.
    """
    sorts, numbers = np.unique(difference, axis=0, return_counts=True)
    swapped = rng.binomial(numbers, 0.5, size=(resamples, len(numbers)))
    return np.rint(swapped.astype(np.float64) @ sorts.astype(np.float64)).astype(np.int64)
