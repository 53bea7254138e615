"""Partial credit: the four ways to count of SemEval-2013 task 9 (Segura-Bedmar et al. 2013).

Each predicted span, from left to right, takes one gold span: one that it matches in the sense of
the mode, the nearest if there are several, or else the first that it overlaps. Spans are sorted
first, so the figures do not depend on their order; on sorted spans they are nervaluate's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from operator import add
from typing import Any

from ner.evaluation.pairs import Pair
from ner.evaluation.score import FIGURES, Section, harmonic, percents, ratio, table
from ner.sentence import Span

LEAST_OVERLAP = 0.01  # of the gold span, for two spans to overlap (nervaluate)


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of spans per MUC-5 category. Tallies can be added.

    Attributes:
        correct: Predicted spans that match a gold one.
        incorrect: Those that overlap one but do not match.
        partial: Those that match half, which counts half.
        missed: Gold spans that no predicted one took.
        spurious: Predicted spans that took no gold one.
    """

    correct: int = 0
    incorrect: int = 0
    partial: int = 0
    missed: int = 0
    spurious: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*map(add, astuple(self), astuple(other)))

    @property
    def predicted(self) -> int:
        """The number of predicted spans."""
        return self.correct + self.incorrect + self.partial + self.spurious

    @property
    def gold(self) -> int:
        """The number of gold spans."""
        return self.correct + self.incorrect + self.partial + self.missed

    @property
    def precision(self) -> float:
        """The credit per predicted span; 0.0 if there are none."""
        return ratio(self.correct + 0.5 * self.partial, self.predicted) or 0.0

    @property
    def recall(self) -> float:
        """The credit per gold span; 0.0 if there are none."""
        return ratio(self.correct + 0.5 * self.partial, self.gold) or 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return harmonic(self.precision, self.recall)

    def as_json(self) -> dict[str, float | int | None]:
        """Return the figures, ``None`` where undefined, and the counts."""
        return {
            "precision": self.precision if self.predicted else None,
            "recall": self.recall if self.gold else None,
            "f1": self.f1 if self.predicted + self.gold else None,
            **asdict(self),
        }


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to count.

    Attributes:
        matches: Whether a predicted span, the first, matches a gold one that it overlaps.
        else_partial: Whether an overlap without a match counts half.
        meaning: The definition of correct, in words.
    """

    matches: Callable[[Span, Span], bool]
    else_partial: bool
    meaning: str


def _same_place(one: Span, other: Span) -> bool:
    return one.start == other.start and one.end == other.end


MODES: Mapping[str, Mode] = {
    "strict": Mode(lambda one, other: one == other, False, "same boundaries and label"),
    "exact": Mode(_same_place, False, "same boundaries, any label"),
    "partial": Mode(_same_place, True, "same boundaries; an overlap counts half; any label"),
    "type": Mode(lambda one, other: one.label == other.label, False, "an overlap of that label"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Partial(Section):
    """The tallies of each mode.

    Attributes:
        overall: The tallies by mode.
        labels: The tallies by label and mode; each label is counted as if there were no other.
    """

    overall: Mapping[str, Tally]
    labels: Mapping[str, Mapping[str, Tally]]

    def __getitem__(self, mode: str) -> Tally:
        return self.overall[mode]

    def as_json(self) -> dict[str, Any]:
        return {
            **{mode: tally.as_json() for mode, tally in self.overall.items()},
            "labels": {
                label: {mode: tally.as_json() for mode, tally in tallies.items()}
                for label, tallies in self.labels.items()
            },
        }

    def lines(self) -> list[str]:
        head = ["", "precision", "recall", "F1", "correct", "incorrect", "partial", "missed"]
        rows: list[list[object]] = [[*head, "spurious", "", ""]]
        for mode, tally in self.overall.items():
            counts = [value for name, value in tally.as_json().items() if name not in FIGURES]
            rows.append([mode, *percents(tally.as_json()), *counts, "", MODES[mode].meaning])
        width = max(len(str(row[-1])) for row in rows)
        rows = [[*row[:-1], str(row[-1]).ljust(width)] for row in rows]
        return ["Partial credit (SemEval-2013)", *table(rows)]


def partial_credit(pairs: Iterable[Pair]) -> Partial:
    """Count the spans in all four modes."""
    busy = [(pair.gold, pair.predicted) for pair in pairs if pair.gold or pair.predicted]
    labels = sorted({span.label for both in busy for spans in both for span in spans})
    per_label = {}
    for label in labels:
        own = [(_only(label, gold), _only(label, predicted)) for gold, predicted in busy]
        per_label[label] = _all_modes(own)
    return Partial(_all_modes(busy), per_label)


def _only(label: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    return tuple(span for span in spans if span.label == label)


def _all_modes(both: Sequence[tuple[Sequence[Span], Sequence[Span]]]) -> dict[str, Tally]:
    return {
        name: sum((tally(gold, predicted, mode) for gold, predicted in both), Tally())
        for name, mode in MODES.items()
    }


def tally(gold: Sequence[Span], predicted: Sequence[Span], mode: Mode) -> Tally:
    """Count the spans of one sentence, both sides in order."""
    left = list(gold)
    correct = overlapping = 0
    for span in predicted:
        near = [other for other in left if _overlap(span, other)]
        right = [other for other in near if mode.matches(span, other)]
        if right:
            correct += 1
            left.remove(min(right, key=lambda other, span=span: _distance(span, other)))  # type: ignore[misc]
        elif near:
            overlapping += 1
            left.remove(near[0])
    incorrect, partial = (0, overlapping) if mode.else_partial else (overlapping, 0)
    spurious = len(predicted) - correct - overlapping
    return Tally(correct, incorrect, partial, len(left), spurious)


def _overlap(span: Span, gold: Span) -> bool:
    """Return whether a predicted span covers enough of a gold one."""
    shared = min(span.end, gold.end) - max(span.start, gold.start)
    return shared > 0 and shared >= LEAST_OVERLAP * (gold.end - gold.start)


def _distance(one: Span, other: Span) -> int:
    return abs(one.start - other.start) + abs(one.end - other.end)
