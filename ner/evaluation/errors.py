"""Errors: each gold and each predicted span is counted exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ner.evaluation.pairs import Pair
from ner.evaluation.score import Section, table
from ner.sentence import Span

KINDS: Mapping[str, str] = {
    "matched": "correct",
    "label": "correct boundaries, wrong label",
    "boundary": "correct label, wrong boundaries",
    "both": "an overlap with wrong label and boundaries",
    "missed": "no predicted span overlaps",
    "spurious": "no gold span overlaps",
}
NOTHING = "none"  # stands for the other side of a missed or spurious span in tables


@dataclass(frozen=True, slots=True)
class Case:
    """A gold span and the matching predicted span, one of which may be missing.

    Attributes:
        sentence: The index of the sentence.
        kind: A key of ``KINDS``.
        gold: The gold span; ``None`` if the predicted one is spurious.
        predicted: The predicted span; ``None`` if the gold one is missed.
    """

    sentence: int
    kind: str
    gold: Span | None
    predicted: Span | None


@dataclass(frozen=True, repr=False)
class Errors(Section):
    """All cases, including correct ones.

    The gold spans are ``matched + label + boundary + both + missed``, the predicted ones the same
    four and ``spurious``.
    """

    cases: tuple[Case, ...]

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of cases of each kind."""
        counted = Counter(case.kind for case in self.cases)
        return {kind: counted[kind] for kind in KINDS}

    @cached_property
    def confusion(self) -> dict[tuple[str | None, str | None], int]:
        """Counts of (gold label, predicted label); ``None`` stands for no span.

        Rows add up to the gold spans of a label, columns to the predicted ones. The diagonal counts
        correct spans, and those with the correct label and wrong boundaries.
        """
        counted = Counter(
            (
                case.gold.label if case.gold else None,
                case.predicted.label if case.predicted else None,
            )
            for case in self.cases
        )
        return dict(
            sorted(counted.items(), key=lambda item: [name or "\U0010ffff" for name in item[0]])
        )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels on either side, in order."""
        return tuple(sorted({name for both in self.confusion for name in both if name is not None}))

    def matrix(self) -> list[list[int]]:
        """Return the confusion matrix, gold labels in rows, predicted in columns, no span last."""
        names = (*self.labels, None)
        return [[self.confusion.get((gold, said), 0) for said in names] for gold in names]

    def as_json(self) -> dict[str, Any]:
        names = [*self.labels, NOTHING]
        rows = self.matrix()
        return {
            "counts": self.counts,
            "confusion": {"labels": list(self.labels), "matrix": rows, "columns": names},
        }

    def lines(self) -> list[str]:
        counts = [[kind, self.counts[kind], "", KINDS[kind]] for kind in KINDS]
        width = max(map(len, KINDS.values()))
        rows = [[*row[:-1], str(row[-1]).ljust(width)] for row in counts]
        said = ["Errors", *table(rows)]
        if self.labels:
            names = [*self.labels, NOTHING]
            matrix = [[name, *numbers] for name, numbers in zip(names, self.matrix(), strict=True)]
            said += ["", "Gold labels (rows) and what was predicted there (columns)"]
            said += table([["", *names], *matrix])
        return said


def find_errors(pairs: Iterable[Pair]) -> Errors:
    """Classify every span."""
    return Errors(
        tuple(
            case
            for number, pair in enumerate(pairs)
            if pair.gold or pair.predicted
            for case in cases_of(number, pair)
        )
    )


def cases_of(number: int, pair: Pair) -> list[Case]:
    """Return the cases of one sentence, from left to right."""
    answers = dict(_answers(pair.gold, pair.predicted))
    cases = [
        Case(number, _kind(gold, answers.get(gold)), gold, answers.get(gold)) for gold in pair.gold
    ]
    taken = set(answers.values())
    cases += [Case(number, "spurious", None, span) for span in pair.predicted if span not in taken]
    return sorted(cases, key=_where)


def _where(case: Case) -> tuple[int, int]:
    span = case.gold or case.predicted
    return (span.start, span.end) if span else (0, 0)


def _kind(gold: Span, predicted: Span | None) -> str:
    if predicted is None:
        return "missed"
    place = (gold.start, gold.end) == (predicted.start, predicted.end)
    if gold.label == predicted.label:
        return "matched" if place else "boundary"
    return "label" if place else "both"


def _answers(gold: Sequence[Span], predicted: Sequence[Span]) -> Iterable[tuple[Span, Span]]:
    """Pair spans that overlap, the best pairs first: correct ones, then nearly correct ones."""
    near = sorted(
        (_badness(one, other), one, other)
        for one in gold
        for other in predicted
        if one.start < other.end and other.start < one.end
    )
    free, open_ = set(predicted), set(gold)
    for _, one, other in near:
        if one in open_ and other in free:
            open_.discard(one)
            free.discard(other)
            yield one, other


def _badness(gold: Span, predicted: Span) -> tuple[bool, bool, bool, int, int]:
    """Return a sort key, smallest for the predicted span closest to the gold one."""
    place = (gold.start, gold.end) != (predicted.start, predicted.end)
    label = gold.label != predicted.label
    shared = min(gold.end, predicted.end) - max(gold.start, predicted.start)
    apart = abs(gold.start - predicted.start) + abs(gold.end - predicted.end)
    return (place and label, place, label, -shared, apart)
