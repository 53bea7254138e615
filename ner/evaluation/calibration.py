"""Calibration: of the spans predicted with a score of 0.9, are nine in ten correct?

The expected calibration error is that of Guo et al. (2017), over ten bins of the same width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import accumulate, groupby
from typing import Any

from ner.evaluation.pairs import Pair
from ner.evaluation.score import FIGURES, Score, Section, percent, table

BINS = 10
POINTS = 200  # of a curve, at most, in reports


@dataclass(frozen=True, slots=True)
class Bin:
    """The predicted spans whose scores lie in ``[low, high)``; the last bin holds 1.0 too.

    Attributes:
        low: The lowest score.
        high: The score they stay below.
        spans: The number of spans.
        score: Their mean score; ``None`` if the bin is empty.
        right: The share of them that is correct; ``None`` if the bin is empty.
    """

    low: float
    high: float
    spans: int
    score: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """The score of the spans whose own score reaches a threshold."""

    threshold: float
    score: Score


@dataclass(frozen=True, slots=True, repr=False)
class Calibration(Section):
    """The calibration of the scores of predicted spans.

    Attributes:
        bins: The reliability diagram.
        error: The expected calibration error: the mean distance of score and truth.
        brier: The mean squared distance of score and truth (Brier 1950).
        auc: The area under the ROC curve of correct against wrong spans: how often a correct span
            has a higher score than a wrong one, ties counting half; ``None`` if all spans are
            correct or all are wrong.
        curve: Precision and recall over the threshold, highest first.
        scored: The number of predicted spans with a score.
        unscored: The number of predicted spans without one, which are ignored.
    """

    bins: tuple[Bin, ...]
    error: float
    brier: float
    auc: float | None
    curve: tuple[Point, ...]
    scored: int
    unscored: int

    @property
    def best(self) -> Point:
        """The lowest threshold with the highest F1."""
        return max(self.curve, key=lambda point: (point.score.f1, -point.threshold))

    @property
    def average_precision(self) -> float:
        """The area under the curve of precision over recall, as a step function."""
        area, recall = 0.0, 0.0
        for point in self.curve:
            area += (point.score.recall - recall) * point.score.precision
            recall = point.score.recall
        return area

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values, with at most `POINTS` points of the curve."""
        return {
            "expected_calibration_error": self.error,
            "brier": self.brier,
            "roc_auc": self.auc,
            "average_precision": self.average_precision,
            "scored": self.scored,
            "unscored": self.unscored,
            "best_threshold": {"threshold": self.best.threshold, **self.best.score.as_json()},
            "reliability": [asdict(one) for one in self.bins],
            "curve": [
                {"threshold": point.threshold}
                | {name: getattr(point.score, name) for name in FIGURES}
                for point in thinned(self.curve)
            ],
        }

    def lines(self) -> list[str]:
        rows: list[list[object]] = [["score", "spans", "mean score", "correct"]]
        for one in self.bins:
            if one.spans:
                shown = [percent(one.score), percent(one.right)]
                rows.append([f"{one.low:.1f}-{one.high:.1f}", one.spans, *shown])
        best, area = self.best, UNKNOWN_AREA if self.auc is None else f"{self.auc:.4f}"
        said = [
            "Calibration",
            *table(rows),
            f"  expected calibration error {percent(self.error)}, Brier score {self.brier:.4f}, "
            f"ROC AUC of correct against wrong {area}",
            f"  best F1 {percent(best.score.f1)} at score threshold {best.threshold:.2f} "
            f"(precision {percent(best.score.precision)}, recall {percent(best.score.recall)})",
        ]
        if self.unscored:
            said.append(f"  predicted spans without a score, ignored here: {self.unscored}")
        return said


UNKNOWN_AREA = "n/a (all spans are correct, or all are wrong)"


def calibrate(pairs: Iterable[Pair]) -> Calibration | None:
    """Return the calibration of the scores; ``None`` if no predicted span has one.

    Raises:
        ValueError: A score is not a probability.
    """
    scored: list[tuple[float, bool]] = []
    gold = unscored = 0
    for pair in pairs:
        right = set(pair.gold)
        gold += len(right)
        for span in pair.predicted:
            if span.score is None:
                unscored += 1
            elif not 0.0 <= span.score <= 1.0:
                raise ValueError(f"{span}: a score must be a probability, from 0 to 1")
            else:
                scored.append((span.score, span in right))
    if not scored:
        return None
    bins = _bins(scored)
    error = sum(
        one.spans * abs(one.score - one.right)
        for one in bins
        if one.score is not None and one.right is not None
    )
    brier = sum((score - right) ** 2 for score, right in scored)
    return Calibration(
        bins,
        error / len(scored),
        brier / len(scored),
        _area(scored),
        _curve(scored, gold),
        len(scored),
        unscored,
    )


def _bins(scored: list[tuple[float, bool]]) -> tuple[Bin, ...]:
    held: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for score, right in scored:
        held[min(int(score * BINS), BINS - 1)].append((score, right))
    return tuple(
        Bin(
            number / BINS,
            (number + 1) / BINS,
            len(inside),
            sum(score for score, _ in inside) / len(inside) if inside else None,
            sum(right for _, right in inside) / len(inside) if inside else None,
        )
        for number, inside in enumerate(held)
    )


def _area(scored: list[tuple[float, bool]]) -> float | None:
    """Return the Mann-Whitney statistic of correct against wrong spans, as a share."""
    right = sum(correct for _, correct in scored)
    wrong = len(scored) - right
    if not right or not wrong:
        return None
    wins, below = 0.0, 0
    for _, tied in groupby(sorted(scored), key=lambda item: item[0]):
        at = [correct for _, correct in tied]
        wins += sum(at) * (below + 0.5 * (len(at) - sum(at)))
        below += len(at) - sum(at)
    return wins / (right * wrong)


def _curve(scored: list[tuple[float, bool]], gold: int) -> tuple[Point, ...]:
    ordered = sorted(scored, key=lambda item: -item[0])
    correct = list(accumulate(right for _, right in ordered))
    return tuple(
        Point(score, Score(correct[at], at + 1, gold))
        for at, (score, _) in enumerate(ordered)
        if at + 1 == len(ordered) or ordered[at + 1][0] != score
    )


def thinned(curve: tuple[Point, ...], most: int = POINTS) -> tuple[Point, ...]:
    """Return at most `POINTS` points of a curve, evenly spaced, including both ends."""
    if len(curve) <= most:
        return curve
    step = (len(curve) - 1) / (most - 1)
    return tuple(curve[round(number * step)] for number in range(most))
