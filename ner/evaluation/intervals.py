"""Confidence intervals of scores: the bootstrap over sentences or documents (Efron 1979).

Scores are functions of sums of counts, so a resample is just a weight for each unit. Units with the
same counts are interchangeable: the number of draws of each kind of unit has a multinomial
distribution, and thousands of resamples are one draw of numbers and one matrix product. The
distribution is exactly that of drawing unit by unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ner.evaluation.pairs import Pair
from ner.evaluation.score import FIGURES, Section, percent, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Figures = NDArray[np.float64]

RESAMPLES, SEED, LEVEL = 2000, 0, 0.95
FEW = 20  # units below which an interval is too narrow


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval that contains the middle share of the resampled values of a figure."""

    low: float
    high: float

    def as_json(self) -> list[float]:
        """Return both ends."""
        return [self.low, self.high]


@dataclass(frozen=True, slots=True, repr=False)
class Intervals(Section):
    """The intervals of a report.

    Attributes:
        unit: The unit drawn: ``sentence`` or ``document``.
        units: The number of units.
        resamples: The number of samples of that size.
        level: The share of resampled values between the two ends.
        overall: The intervals of precision, recall and F1; ``None`` if undefined in every sample.
        macro_f1: The interval of the mean F1 of the labels.
        labels: The intervals of each label.
    """

    unit: str
    units: int
    resamples: int
    level: float
    overall: Mapping[str, Interval | None]
    macro_f1: Interval | None
    labels: Mapping[str, Mapping[str, Interval | None]]

    def as_json(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "resamples": self.resamples,
            "level": self.level,
            **_named(self.overall),
            "macro_f1": self.macro_f1.as_json() if self.macro_f1 else None,
            "labels": {label: _named(figures) for label, figures in self.labels.items()},
        }

    def lines(self) -> list[str]:
        rows: list[list[object]] = [["", *FIGURES]]
        rows.append(["all", *(_shown(self.overall[name]) for name in FIGURES)])
        for label, figures in self.labels.items():
            rows.append([label, *(_shown(figures[name]) for name in FIGURES)])
        said = [
            f"{100 * self.level:g} % intervals ({self.resamples:,} bootstrap samples of "
            f"{self.units:,} {self.unit}s)",
            *table(rows),
        ]
        if self.units < FEW:
            said.append(f"  only {self.units} {self.unit}s: the true interval is wider")
        return said


def _named(figures: Mapping[str, Interval | None]) -> dict[str, list[float] | None]:
    return {name: held.as_json() if held else None for name, held in figures.items()}


def _shown(held: Interval | None) -> str:
    return f"{percent(held.low)} - {percent(held.high)}" if held else percent(None)


def bootstrap(
    pairs: Sequence[Pair],
    *,
    unit: str = "sentence",
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> Intervals:
    """Return percentile intervals of all exact scores.

    Args:
        pairs: The gold and predicted spans.
        unit: The unit to draw, ``sentence`` or ``document``. The sentences of a document resemble
            each other, so draw documents if they are known.
        resamples: The number of samples.
        seed: The random seed.
        level: The share of resampled values between the two ends.

    Raises:
        ValueError: The unit is unknown.
    """
    labels = labels_of(pairs)
    counts = by_unit([count(pairs, labels)], pairs, unit)[0]
    sums = resample(
        counts.reshape(len(counts), 3 * len(labels)), resamples, np.random.default_rng(seed)
    )
    sums = sums.reshape(resamples, len(labels), 3)
    overall, per_label = figures(sums.sum(axis=1)), figures(sums)
    macro = np.nan_to_num(per_label["f1"]).mean(axis=1) if labels else np.array([np.nan])
    return Intervals(
        unit,
        len(counts),
        resamples,
        level,
        {name: middle(values, level) for name, values in overall.items()},
        middle(macro, level),
        {
            label: {name: middle(values[:, at], level) for name, values in per_label.items()}
            for at, label in enumerate(labels)
        },
    )


def labels_of(pairs: Sequence[Pair]) -> list[str]:
    """Return the labels on either side, in alphabetical order."""
    return sorted({span.label for pair in pairs for span in (*pair.gold, *pair.predicted)})


def count(pairs: Sequence[Pair], labels: Sequence[str]) -> Counts:
    """Return the number of correct, predicted and gold spans, (sentences, labels, 3)."""
    counts = np.zeros((len(pairs), len(labels), 3), dtype=np.int64)
    place = {label: at for at, label in enumerate(labels)}
    for row, pair in enumerate(pairs):
        if not pair.gold and not pair.predicted:
            continue
        right = set(pair.gold).intersection(pair.predicted)
        for column, spans in enumerate((right, pair.predicted, pair.gold)):
            for span in spans:
                counts[row, place[span.label], column] += 1
    return counts


def by_unit(counts: Sequence[Counts], pairs: Sequence[Pair], unit: str) -> list[Counts]:
    """Return counts of sentences summed over each unit, for several arrays.

    Raises:
        ValueError: The unit is unknown.
    """
    if unit == "sentence":
        return list(counts)
    if unit != "document":
        raise ValueError(f"unit must be 'sentence' or 'document', got {unit!r}")
    numbers: dict[object, int] = {}
    rows = []
    for row, pair in enumerate(pairs):
        document = pair.sentence.document if pair.sentence is not None else None
        rows.append(numbers.setdefault(row if document is None else document, len(numbers)))
    summed = []
    for one in counts:
        total = np.zeros((len(numbers), *one.shape[1:]), dtype=np.int64)
        np.add.at(total, rows, one)
        summed.append(total)
    return summed


def documents(pairs: Sequence[Pair]) -> int:
    """Return the number of documents the sentences are known to come from."""
    return len(
        {
            id(pair.sentence.document)
            for pair in pairs
            if pair.sentence is not None and pair.sentence.document is not None
        }
    )


def resample(counts: Counts, resamples: int, rng: np.random.Generator) -> Counts:
    """Return summed counts of samples drawn with replacement, (units, n) to (resamples, n)."""
    if not counts.size:
        return np.zeros((resamples, counts.shape[1]), dtype=np.int64)
    sorts, numbers = np.unique(counts, axis=0, return_counts=True)
    drawn = rng.multinomial(len(counts), numbers / len(counts), size=resamples)
    # integers this small are exact as floats, whose product is far faster
    return np.rint(drawn.astype(np.float64) @ sorts.astype(np.float64)).astype(np.int64)


def figures(sums: Counts) -> dict[str, Figures]:
    """Return precision, recall and F1 of summed counts, (..., 3) to (...); NaN if undefined."""
    correct, predicted, gold = (sums[..., at].astype(np.float64) for at in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": correct / predicted,
            "recall": correct / gold,
            "f1": 2.0 * correct / (predicted + gold),
        }


def middle(values: Figures, level: float) -> Interval | None:
    """Return the interval of the middle share of values, undefined ones excluded."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high))
