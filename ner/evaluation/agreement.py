"""Agreement of several annotators, what they agree on, and what they change in suggestions.

F1 between two annotators takes one for gold; it is the same either way. Cohen's kappa (1960) and
Krippendorff's alpha (2011, nominal, with missing values) correct for chance. On tokens a value is
the label of the entity or O; since most tokens are O for everyone, both are also given on the
tokens that someone has in an entity. On spans the units are all stretches that someone marked, and
a value is the label or nothing: there is no count of stretches that nobody marked, so agreement by
chance is overestimated, and F1 is what kappa tends to with many of them (Hripcsak and Rothschild
2005).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from ner.evaluation.errors import cases_of
from ner.evaluation.pairs import Pair, place
from ner.evaluation.score import Score, Section, label_scores, percent, percents, table
from ner.schemes import OUTSIDE
from ner.sentence import Sentence, Span

NOTHING = "nothing"  # what an annotator has where others have a span
Value = str | None  # the value an annotator gives a unit; None where the annotation is missing
Units = Sequence[Sequence[Value]]
Annotators = Sequence[Sequence[Sentence]]


def cohen_kappa(units: Units) -> float | None:
    """Return Cohen's kappa of two annotators; ``None`` where chance alone would agree always.

    Args:
        units: The values that the two give each unit; others are left out.
    """
    both = [(one, other) for one, other in units if one is not None and other is not None]
    if not both:
        return None
    first, second = (Counter(column) for column in zip(*both, strict=True))
    agreed = sum(one == other for one, other in both) / len(both)
    chance = sum(first[value] * second[value] for value in first) / len(both) ** 2
    return None if chance == 1.0 else (agreed - chance) / (1.0 - chance)


def krippendorff_alpha(units: Units) -> float | None:
    """Return Krippendorff's alpha for nominal values; ``None`` where all values are the same.

    Args:
        units: The values that the annotators give each unit; a unit with one value tells nothing.
    """
    totals: Counter[str] = Counter()
    differing = 0.0
    for unit in units:
        counts = Counter(value for value in unit if value is not None)
        given = counts.total()
        if given < 2:
            continue
        totals += counts
        differing += (given**2 - sum(n**2 for n in counts.values())) / (given - 1)
    all_ = totals.total()
    expected = all_**2 - sum(n**2 for n in totals.values())
    return None if expected == 0 else 1.0 - (all_ - 1) * differing / expected


@dataclass(frozen=True, slots=True)
class Dispute:
    """A stretch of tokens of which annotators say different things.

    Attributes:
        sentence: The index of the sentence, from 0.
        place: The file and line of its first token, for the first annotator.
        words: Its tokens.
        said: The label that each annotator gives it, or ``nothing``; ``None`` where missing.
    """

    sentence: int
    place: str
    words: str
    said: tuple[Value, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Agreement(Section):
    """The agreement of annotators.

    Attributes:
        names: The annotators.
        sentences: The number of sentences that at least two of them annotated.
        f1: The F1 between two annotators, over all labels; ``None`` where neither has a span.
        labels: The same by label.
        kappa: Cohen's kappa of two annotators on tokens, tokens in entities and spans.
        alpha: Krippendorff's alpha of all on the same.
        disputes: The stretches on which they differ, in the order of the file.
    """

    names: tuple[str, ...]
    sentences: int
    f1: Mapping[tuple[str, str], float | None]
    labels: Mapping[tuple[str, str], Mapping[str, Score]]
    kappa: Mapping[tuple[str, str], Mapping[str, float | None]]
    alpha: Mapping[str, float | None]
    disputes: tuple[Dispute, ...]

    def as_json(self) -> dict[str, Any]:
        """The figures and disputes as JSON holds them."""
        return {
            "annotators": list(self.names),
            "sentences": self.sentences,
            "pairs": [
                {
                    "annotators": list(pair),
                    "f1": f1,
                    "labels": {name: score.f1 for name, score in self.labels[pair].items()},
                    "kappa": dict(self.kappa[pair]),
                }
                for pair, f1 in self.f1.items()
            ],
            "alpha": dict(self.alpha),
            "disputes": [
                {
                    "sentence": one.sentence,
                    "place": one.place,
                    "text": one.words,
                    "labels": dict(zip(self.names, one.said, strict=True)),
                }
                for one in self.disputes
            ],
        }

    def lines(self) -> list[str]:
        """The figures as text; the disputes are for `ner agreement` to list."""
        kinds = list(self.alpha)
        rows: list[list[object]] = [["", "F1", *(f"kappa, {kind}" for kind in kinds)]]
        for pair, f1 in self.f1.items():
            kappas = (_figure(self.kappa[pair][kind]) for kind in kinds)
            rows.append([" and ".join(pair), percent(f1), *kappas])
        if len(self.names) == 2:
            (scores,) = self.labels.values()
            for label, score in sorted(scores.items()):
                rows.append([f"  {label}", percent(score.f1), *("" for _ in kinds)])
        alphas = ", ".join(f"{_figure(value)} ({kind})" for kind, value in self.alpha.items())
        return [
            f"sentences that at least two annotated: {self.sentences:,}",
            *table(rows),
            f"Krippendorff's alpha: {alphas}",
            f"spans in dispute: {len(self.disputes):,}",
        ]


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def measure_agreement(annotators: Annotators, names: Sequence[str]) -> Agreement:
    """Measure the agreement of annotators of the same sentences.

    Args:
        annotators: The sentences of each; ``None`` as spans means that the annotator skipped one.
        names: The annotators.

    Raises:
        ValueError: There are fewer than two, or their sentences differ.
    """
    rows = list(_aligned(annotators, names))
    tokens = [unit for row in rows for unit in _token_units(row)]
    spans = [unit for row in rows for unit in _span_units(row).values()]
    inside = [unit for unit in tokens if set(unit) - {None, OUTSIDE}]
    kinds = {"tokens": tokens, "tokens in entities": inside, "spans": spans}
    f1, labels, kappa = {}, {}, {}
    for one, other in combinations(range(len(names)), 2):
        key = (names[one], names[other])
        both = ((row[one].spans, row[other].spans) for row in rows)
        labels[key] = label_scores(
            Pair(tuple(sorted(gold)), tuple(sorted(said)))
            for gold, said in both
            if gold is not None and said is not None
        )
        f1[key] = sum(labels[key].values(), Score()).as_json()["f1"]
        kappa[key] = {
            kind: cohen_kappa([(unit[one], unit[other]) for unit in units])
            for kind, units in kinds.items()
        }
    disputes = [one for number, row in enumerate(rows) for one in _disputes(number, row, names[0])]
    return Agreement(
        tuple(names),
        sum(sum(one.spans is not None for one in row) > 1 for row in rows),
        f1,
        labels,
        kappa,
        {kind: krippendorff_alpha(units) for kind, units in kinds.items()},
        tuple(disputes),
    )


def merged(
    annotators: Annotators, names: Sequence[str], votes: int | None = None
) -> Iterator[Sentence]:
    """Yield the sentences with what annotators agree on; the tokens in dispute are left open.

    A span that at least so many have is taken, unless another such span overlaps it; one of which
    as many say that nothing is there is dropped; the tokens of all others become unknown. Who left
    tokens open has no say on them, so that a list of names, which says nothing about other words,
    can vote beside annotators.

    Args:
        annotators: The sentences of each.
        names: The annotators.
        votes: How many must agree, or all who have a say if those are fewer or nothing is given.

    Raises:
        ValueError: There are fewer than two annotators, or their sentences differ.
    """
    for row in _aligned(annotators, names):
        given = [one for one in row if one.spans is not None]
        if not given:
            yield row[0]
            continue
        marked = Counter(span for one in given for span in set(one.spans or ()))
        voters = {
            span: [one for one in given if _annotated(one, (span.start, span.end))]
            for span in marked
        }
        needed = {span: min(votes or len(row), len(some)) for span, some in voters.items()}
        passed = [span for span, count in marked.items() if count >= needed[span]]
        kept = [span for span in passed if not any(_cross(span, other) for other in passed)]
        open_ = frozenset.intersection(*(one.unknown for one in given))
        for span in marked.keys() - set(kept):
            free = sum(
                not any(_touch(span, own) for own in one.spans or ()) for one in voters[span]
            )
            if free < needed[span]:
                open_ |= frozenset(range(span.start, span.end))
        open_ -= {token for span in kept for token in range(span.start, span.end)}
        bare = [Span(span.start, span.end, span.label) for span in sorted(kept)]
        yield replace(given[0], spans=tuple(bare), unknown=open_, tags=None)


def _touch(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _cross(one: Span, other: Span) -> bool:
    """Return whether two different spans overlap."""
    return one != other and _touch(one, other)


def _aligned(annotators: Annotators, names: Sequence[str]) -> Iterator[tuple[Sentence, ...]]:
    """Yield each sentence as all have it.

    Raises:
        ValueError: There are fewer than two annotators, or their sentences differ.
    """
    if len(annotators) < 2:
        raise ValueError("agreement needs at least two annotators")
    counts = {name: len(given) for name, given in zip(names, annotators, strict=True)}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count:,}" for name, count in counts.items())
        raise ValueError(f"expected the same sentences in the same order: {said} sentences")
    for number, row in enumerate(zip(*annotators, strict=True)):
        for name, other in zip(names, row, strict=True):
            if other.tokens != row[0].tokens:
                here, there = place(names[0], row[0], number), place(name, other, number)
                raise ValueError(f"{there}: other tokens than in {here}")
        yield row


def _token_units(row: Iterable[Sentence]) -> list[tuple[Value, ...]]:
    """The label of each token, or O, as each annotator has it."""
    columns: list[list[Value]] = []
    for sentence in row:
        values: list[Value] = [None if sentence.spans is None else OUTSIDE] * len(sentence)
        for span in sentence.spans or ():
            values[span.start : span.end] = [span.label] * (span.end - span.start)
        for token in sentence.unknown:
            values[token] = None
        columns.append(values)
    return list(zip(*columns, strict=True))


def _span_units(row: Sequence[Sentence]) -> dict[tuple[int, int], tuple[Value, ...]]:
    """The label, or nothing, of each stretch that someone marked, as each annotator has it."""
    own = [{(span.start, span.end): span.label for span in one.spans or ()} for one in row]
    stretches = sorted({stretch for spans in own for stretch in spans})
    return {
        stretch: tuple(
            spans.get(stretch, NOTHING if _annotated(sentence, stretch) else None)
            for sentence, spans in zip(row, own, strict=True)
        )
        for stretch in stretches
    }


def _annotated(sentence: Sentence, stretch: tuple[int, int]) -> bool:
    return sentence.spans is not None and sentence.unknown.isdisjoint(range(*stretch))


def _disputes(number: int, row: Sequence[Sentence], name: str) -> Iterator[Dispute]:
    for (start, end), said in _span_units(row).items():
        if len(set(said) - {None}) > 1:
            words = " ".join(row[0].tokens[start:end])
            yield Dispute(number, place(name, row[0], number, start), words, said)


@dataclass(frozen=True, slots=True, repr=False)
class Corrections(Section):
    """The changes that people made to suggested spans.

    Attributes:
        suggested: How many sentences had suggestions.
        reviewed: How many of them came back annotated.
        unchanged: How many of these have the spans that were suggested.
        score: Of the suggestions against the corrected spans.
        changes: Each kind of change, from what to what, and how often; the most frequent first.
    """

    suggested: int
    reviewed: int
    unchanged: int
    score: Score
    changes: tuple[tuple[str, str, str, int], ...]

    def as_json(self) -> dict[str, Any]:
        """The figures and the changes as JSON holds them."""
        named = ("kind", "suggested", "corrected", "count")
        return {
            "suggested": self.suggested,
            "reviewed": self.reviewed,
            "unchanged": self.unchanged,
            "exact": self.score.as_json(),
            "changes": [dict(zip(named, one, strict=True)) for one in self.changes],
        }

    def lines(self) -> list[str]:
        """The figures and the most frequent changes as text."""
        figures = percents(self.score.as_json())
        said = zip(("precision", "recall", "F1"), figures, strict=True)
        rows = [[f"{n} x", kind, f"{old}  ->  {new}"] for kind, old, new, n in self.changes[:SHOWN]]
        width = max((len(row[-1]) for row in rows), default=0)
        return [
            f"{self.reviewed:,} of {self.suggested:,} suggested sentences came back annotated, "
            f"{self.unchanged:,} of them unchanged",
            f"the suggestions scored against the corrections: {', '.join(map(' '.join, said))}",
            *table([[*row[:-1], row[-1].ljust(width)] for row in rows]),
        ]


def corrections(suggested: Iterable[Sentence], corrected: Iterable[Sentence]) -> Corrections:
    """Compare suggested spans with what people made of them, sentence by sentence.

    Sentences are matched by their tokens, so that some may be missing and their order may change.

    Raises:
        ValueError: No sentence stands in both.
    """
    wanted = {one.tokens: one for one in suggested if one.spans is not None}
    found = {one.tokens: one for one in corrected if one.spans is not None}
    both = [(found[tokens], one) for tokens, one in wanted.items() if tokens in found]
    if wanted and not both:
        raise ValueError(
            "no corrected sentence is among the suggested ones; read both with the same tokenizer"
        )
    pairs = [
        Pair(tuple(sorted(gold.spans or ())), tuple(sorted(one.spans or ()))) for gold, one in both
    ]
    changes = Counter(
        (CORRECTED[case.kind], _words(case.predicted, one), _words(case.gold, gold))
        for number, (gold, one) in enumerate(both)
        for case in cases_of(number, pairs[number])
        if case.kind != "matched"
    )
    return Corrections(
        len(wanted),
        len(both),
        sum(pair.gold == pair.predicted for pair in pairs),
        sum(label_scores(pairs).values(), Score()),
        tuple((*change, count) for change, count in changes.most_common()),
    )


CORRECTED = {
    "label": "label",
    "boundary": "boundary",
    "both": "both",
    "missed": "added",
    "spurious": "removed",
}
SHOWN = 20  # kinds of changes that are printed


def _words(span: Span | None, sentence: Sentence) -> str:
    if span is None:
        return "nothing"
    return f"{span.label} {' '.join(sentence.tokens[span.start : span.end])}"
