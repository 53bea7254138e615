"""Counts of correct, predicted and gold spans; their figures, as numbers and as plain text."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ner.evaluation.pairs import Pair
from ner.sentence import Span

UNDEFINED = "n/a"
FIGURES = ("precision", "recall", "f1")


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage, or ``n/a`` where it is undefined (``None`` or NaN)."""
    if fraction is None or math.isnan(fraction):
        return UNDEFINED
    return f"{100 * fraction:.{digits}f}"


def percents(figures: Mapping[str, Any]) -> list[str]:
    """Return precision, recall and F1 as percentages."""
    return [percent(figures[name]) for name in FIGURES]


def table(rows: Sequence[Sequence[object]], *, indent: int = 2, left: int = 1) -> list[str]:
    """Return rows as lines, the first ``left`` columns aligned left, the others right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
    lines = []
    for row in cells:
        aligned = (
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append((" " * indent + "  ".join(aligned)).rstrip())
    return lines


class Section(ABC):
    """A part of a report that is more than one score; ``print`` shows it as text."""

    __slots__ = ()

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the figures as lines of text."""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: print() shows it, as_json() has its figures>"


def ratio(part: float, whole: float) -> float | None:
    """Return ``part / whole``, or ``None`` if the whole is 0."""
    return part / whole if whole else None


def harmonic(precision: float, recall: float) -> float:
    """Return F1, 0 if precision and recall are 0; the arithmetic is exactly that of seqeval."""
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """The number of correct, predicted and gold spans.

    Scores can be added: the score of two files is the sum of theirs. A figure that divides by zero
    is 0.0, as in ``conlleval`` and seqeval, so that scores can always be compared; it is ``None``
    in ``as_json`` and ``n/a`` in print.

    Attributes:
        correct: The number of spans that are both predicted and gold.
        predicted: The number of predicted spans.
        gold: The number of gold spans.

    Raises:
        ValueError: More spans are correct than predicted or gold.
    """

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= min(self.predicted, self.gold):
            raise ValueError(
                f"expected 0 <= correct <= predicted and gold, got correct={self.correct}, "
                f"predicted={self.predicted}, gold={self.gold}"
            )

    def __repr__(self) -> str:
        figures = f"f1={self.f1:.4f}, precision={self.precision:.4f}, recall={self.recall:.4f}"
        return (
            f"Score({figures}, correct={self.correct}, predicted={self.predicted}, "
            f"gold={self.gold})"
        )

    def __add__(self, other: Score) -> Score:
        if not isinstance(other, Score):
            return NotImplemented
        return Score(
            self.correct + other.correct,
            self.predicted + other.predicted,
            self.gold + other.gold,
        )

    def __radd__(self, other: int) -> Score:
        """Let ``sum`` start from 0."""
        return self if other == 0 else NotImplemented

    @property
    def precision(self) -> float:
        """The share of predicted spans that are correct; 0.0 if none are predicted."""
        return ratio(self.correct, self.predicted) or 0.0

    @property
    def recall(self) -> float:
        """The share of gold spans that are found; 0.0 if there are none."""
        return ratio(self.correct, self.gold) or 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0.0 if no span is correct."""
        return harmonic(self.precision, self.recall)

    def as_json(self) -> dict[str, float | int | None]:
        """Return the figures as fractions (``None`` where undefined), and the counts."""
        return {
            "precision": ratio(self.correct, self.predicted),
            "recall": ratio(self.correct, self.gold),
            "f1": self.f1 if self.predicted + self.gold else None,
            "correct": self.correct,
            "predicted": self.predicted,
            "gold": self.gold,
        }


@dataclass(frozen=True, slots=True)
class Average:
    """The mean figures of several labels.

    Attributes:
        precision: The mean precision.
        recall: The mean recall.
        f1: The mean F1, which is not the F1 of the other two.
        gold: The number of gold spans of all labels (seqeval's support).
    """

    precision: float
    recall: float
    f1: float
    gold: int

    def as_json(self) -> dict[str, float | int]:
        """Return the figures as fractions."""
        return asdict(self)


def macro(labels: Mapping[str, Score]) -> Average:
    """Return the mean over labels, equally weighted; undefined figures count as 0 (seqeval)."""
    return _mean(labels.values(), None)


def weighted(labels: Mapping[str, Score]) -> Average:
    """Return the mean over labels, weighted by their number of gold spans."""
    return _mean(labels.values(), [score.gold for score in labels.values()])


def _mean(scores: Iterable[Score], weights: list[int] | None) -> Average:
    import numpy as np  # here: the command line imports this module before it knows the verb

    held = list(scores)
    gold = sum(score.gold for score in held)
    undefined = not held or (weights is not None and not gold)

    def mean(values: Iterable[float]) -> float:
        # with numpy, as seqeval does: sum() rounds differently since Python 3.12
        return 0.0 if undefined else float(np.average(list(values), weights=weights))

    return Average(
        mean(score.precision for score in held),
        mean(score.recall for score in held),
        mean(score.f1 for score in held),
        gold,
    )


COLUMNS = ("precision", "recall", "f1-score", "support")


def score_table(labels: Mapping[str, Score], *, digits: int = 4) -> str:
    """Return the table of ``seqeval.metrics.classification_report``, ``n/a`` where undefined.

    Unlike seqeval's own, it does not fail if there are no entities.
    """
    averages: dict[str, Score | Average] = {
        "micro avg": sum(labels.values(), Score()),
        "macro avg": macro(labels),
        "weighted avg": weighted(labels),
    }
    width = max([digits, *map(len, [*averages, *labels])])
    lines = [" " * width + " " + "".join(f" {name:>9}" for name in COLUMNS), ""]
    lines += [_row(label, score, width, digits) for label, score in labels.items()]
    lines.append("")
    lines += [_row(name, average, width, digits) for name, average in averages.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, score: Score | Average, width: int, digits: int) -> str:
    figures = score.as_json()
    shown = (figures[one] for one in FIGURES)
    cells = [UNDEFINED if figure is None else f"{figure:.{digits}f}" for figure in shown]
    return f"{name:>{width}} " + "".join(f" {cell:>9}" for cell in (*cells, score.gold))


Form = tuple[str, tuple[str, ...]]


def label_scores(pairs: Iterable[Pair]) -> dict[str, Score]:
    """Return the score of each label that occurs on either side, in alphabetical order."""
    correct: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    for pair in pairs:
        if not pair.gold and not pair.predicted:
            continue
        gold.update(span.label for span in pair.gold)
        predicted.update(span.label for span in pair.predicted)
        correct.update(span.label for span in set(pair.gold).intersection(pair.predicted))
    return {
        label: Score(correct[label], predicted[label], gold[label])
        for label in sorted(gold.keys() | predicted.keys())
    }


def surface_score(pairs: Iterable[Pair]) -> Score:
    """Return the surface score of the WNUT 2017 shared task: each form of a label counts once.

    The distinct forms of correctly placed entities are correct (Derczynski et al. 2017).
    """
    correct: set[Form] = set()
    predicted: set[Form] = set()
    gold: set[Form] = set()
    for pair in pairs:
        gold.update(_forms(pair, pair.gold))
        predicted.update(_forms(pair, pair.predicted))
        correct.update(_forms(pair, set(pair.gold).intersection(pair.predicted)))
    return Score(len(correct), len(predicted), len(gold))


def _forms(pair: Pair, spans: Iterable[Span]) -> Iterable[Form]:
    return ((span.label, pair.tokens[span.start : span.end]) for span in spans)
