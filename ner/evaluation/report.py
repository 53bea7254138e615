"""The full evaluation of predictions; costly sections are computed on demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.evaluation.pairs import Annotated, Pair, pair_up
from ner.evaluation.perturbations import PERTURBATIONS, RECASED, case_advice
from ner.evaluation.score import (
    Average,
    Score,
    Section,
    label_scores,
    macro,
    percent,
    percents,
    score_table,
    surface_score,
    table,
    weighted,
)
from ner.sentence import Sentence

if TYPE_CHECKING:
    from ner.evaluation.buckets import Buckets
    from ner.evaluation.calibration import Calibration
    from ner.evaluation.errors import Errors
    from ner.evaluation.intervals import Intervals
    from ner.evaluation.partial import Partial

SECTIONS = ("intervals", "document_intervals", "partial", "errors", "buckets", "calibration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the sections of a report.

    Attributes:
        train: The training sentences, to score seen and unseen mentions separately, if available.
        resamples: The number of bootstrap samples.
        seed: The random seed.
        level: The confidence level of the intervals.
    """

    train: Sequence[Sentence] | None = None
    resamples: int = 2000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"resamples must be at least 1, got {self.resamples}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level must be between 0 and 1, got {self.level}")


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The scores of predictions. ``print`` shows the table of scores by label.

    Attributes:
        pairs: The gold and predicted spans of each sentence.
        labels: The score of each label that occurs on either side.
        scheme: The scheme of the gold tags, if known.
        settings: The settings of the further sections.
    """

    pairs: tuple[Pair, ...]
    labels: Mapping[str, Score]
    scheme: str | None = None
    settings: Settings = field(default_factory=Settings)

    def __repr__(self) -> str:
        precision, recall, f1 = percents(self.exact.as_json())
        return (
            f"<Report: F1 {f1} (precision {precision}, recall {recall}; {self.exact.gold:,} gold, "
            f"{self.exact.predicted:,} predicted spans in {self.sentences:,} sentences)>"
        )

    def __str__(self) -> str:
        return score_table(self.labels).rstrip("\n")

    @cached_property
    def exact(self) -> Score:
        """The score over all labels (the micro average)."""
        return sum(self.labels.values(), Score())

    @property
    def micro(self) -> Score:
        """The score over all labels: an alias of ``exact``."""
        return self.exact

    @cached_property
    def macro(self) -> Average:
        """The mean over labels, equally weighted."""
        return macro(self.labels)

    @cached_property
    def weighted(self) -> Average:
        """The mean over labels, weighted by their number of gold spans."""
        return weighted(self.labels)

    @property
    def sentences(self) -> int:
        """The number of sentences scored."""
        return len(self.pairs)

    @cached_property
    def tokens(self) -> int:
        """The number of known tokens."""
        return sum(len(pair.tokens) for pair in self.pairs)

    @cached_property
    def surface(self) -> Score | None:
        """The score of distinct surface forms (WNUT 2017); ``None`` for bare spans."""
        if any(pair.sentence is None for pair in self.pairs):
            return None
        return surface_score(self.pairs)

    @cached_property
    def strict(self) -> Score:
        """The score of spans with well-formed tags, as in seqeval's strict mode."""
        from ner.evaluation.tags import well_formed_pair

        return sum(label_scores(map(well_formed_pair, self.pairs)).values(), Score())

    def seqeval(self, mode: str = "default") -> dict[str, dict[str, float | None]]:
        """Return the classification report of seqeval, computed by seqeval.

        Args:
            mode: ``default``, or ``strict``, in which spans with ill-formed tags do not count.

        Returns:
            ``precision``, ``recall``, ``f1-score`` and ``support`` of each label and of the three
            averages; ``None`` if there are no entities.

        Raises:
            ValueError: The mode is unknown, or spans of one sentence overlap.
        """
        from ner.evaluation.tags import seqeval_figures

        return seqeval_figures(self.pairs, mode)

    @cached_property
    def intervals(self) -> Intervals:
        """Bootstrap intervals over sentences."""
        return self._bootstrap("sentence")

    @cached_property
    def document_intervals(self) -> Intervals | None:
        """Bootstrap intervals over documents; ``None`` if fewer than two are known."""
        from ner.evaluation.intervals import documents

        return self._bootstrap("document") if documents(self.pairs) > 1 else None

    @cached_property
    def partial(self) -> Partial:
        """Partial credit, in the four ways of SemEval-2013."""
        from ner.evaluation.partial import partial_credit

        return partial_credit(self.pairs)

    @cached_property
    def errors(self) -> Errors:
        """The errors, span by span."""
        from ner.evaluation.errors import find_errors

        return find_errors(self.pairs)

    @cached_property
    def buckets(self) -> Buckets:
        """Scores of groups of spans."""
        from ner.evaluation.buckets import bucket_scores

        return bucket_scores(self.pairs, self.settings.train)

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration of the scores; ``None`` if no predicted span has a score."""
        from ner.evaluation.calibration import calibrate

        return calibrate(self.pairs)

    def sections(self) -> dict[str, Section]:
        """All further sections that apply."""
        found = {name: getattr(self, name) for name in SECTIONS}
        return {name: section for name, section in found.items() if section is not None}

    def as_json(self, *, full: bool = False) -> dict[str, Any]:
        """Return the scores as JSON values: fractions, ``None`` where undefined.

        Args:
            full: Compute all sections.
        """
        said: dict[str, Any] = {
            "scheme": self.scheme,
            "sentences": self.sentences,
            "tokens": self.tokens,
            "exact": self.exact.as_json(),
            "labels": {label: score.as_json() for label, score in self.labels.items()},
            "macro": self.macro.as_json(),
            "weighted": self.weighted.as_json(),
        }
        if full:
            said["surface"] = self.surface.as_json() if self.surface else None
            said.update((name, section.as_json()) for name, section in self.sections().items())
        return said

    def _bootstrap(self, unit: str) -> Intervals:
        from ner.evaluation.intervals import bootstrap

        settings = self.settings
        return bootstrap(
            self.pairs,
            unit=unit,
            resamples=settings.resamples,
            seed=settings.seed,
            level=settings.level,
        )


def evaluate(
    gold: Iterable[Annotated],
    predicted: Iterable[Annotated],
    *,
    scheme: str | None = None,
    settings: Settings | None = None,
) -> Report:
    """Score predictions against gold annotation.

    Args:
        gold: Sentences, or the spans of each.
        predicted: The same sentences with predicted spans, or the spans of each.
        scheme: The scheme of the gold tags, shown in the report.
        settings: The settings of further sections.

    Raises:
        ValueError: The sentences differ, one was not predicted, or none has gold annotation.
        TypeError: Paths are given instead of sentences.
    """
    for given in (gold, predicted):
        if isinstance(given, str | Path):
            raise TypeError(
                f"expected sentences or the spans of each, got {str(given)[:80]!r}; "
                "read files with ner.read"
            )
    pairs = pair_up(gold, predicted)
    return Report(pairs, label_scores(pairs), scheme, settings or Settings())


def conlleval_report(report: Report, *, tokens: int, accuracy: float) -> str:
    """Return the output of the script ``conlleval`` of the CoNLL-2000 to 2003 shared tasks.

    Args:
        report: The scores.
        tokens: The number of tokens.
        accuracy: The share of tokens with the correct tag.
    """
    exact = report.exact
    lines = [
        f"processed {tokens} tokens with {exact.gold} phrases; "
        f"found: {exact.predicted} phrases; correct: {exact.correct}.",
    ]
    if tokens:
        lines.append(f"accuracy: {100 * accuracy:6.2f}%; {_percentages(exact)}")
    lines += [
        f"{label:>17}: {_percentages(score)}  {score.predicted}"
        for label, score in report.labels.items()
    ]
    return "\n".join(lines) + "\n"


def _percentages(score: Score) -> str:
    """Return precision, recall and F1 in per cent, computed in the same order as conlleval."""
    precision = 100 * score.correct / score.predicted if score.predicted else 0.0
    recall = 100 * score.correct / score.gold if score.gold else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return f"precision: {precision:6.2f}%; recall: {recall:6.2f}%; FB1: {f1:6.2f}"


def headline(report: Report) -> list[str]:
    """Return a few lines with F1, its intervals, and the surface score."""
    exact = report.exact.as_json()
    said = [f"F1 {percent(exact['f1'])} (exact spans)"]
    for intervals in (report.intervals, report.document_intervals):
        held = intervals.overall["f1"] if intervals else None
        if intervals and held:
            said.append(
                f"  {100 * intervals.level:g} % interval {percent(held.low)} - "
                f"{percent(held.high)}, from {intervals.resamples:,} bootstrap samples of "
                f"{intervals.units:,} {intervals.unit}s"
            )
    if report.surface is not None:
        forms = report.surface.as_json()
        said.append(
            f"Surface F1 {percent(forms['f1'])} (WNUT 2017: each distinct form counts once; "
            f"{forms['correct']} correct, {forms['predicted']} predicted, {forms['gold']} gold)"
        )
    return said


def perturbation_lines(report: Report, perturbed: Mapping[str, Report]) -> list[str]:
    """Return the scores on perturbed text beside those on unchanged text."""
    rows: list[list[object]] = [["", "precision", "recall", "F1", "difference", ""]]
    width = max(len(one.summary) for one in PERTURBATIONS.values())
    for name, one in {"unchanged": report, **perturbed}.items():
        figures = percents(one.exact.as_json())
        change = f"{100 * (one.exact.f1 - report.exact.f1):+.2f}"
        summary = PERTURBATIONS[name].summary if name in PERTURBATIONS else ""
        rows.append([name, *figures, change, f"  {summary.ljust(width)}"])
    advice = [
        case_advice(name, report.exact.f1, perturbed[name].exact.f1)
        for name in RECASED
        if name in perturbed
    ]
    return ["Robustness", *table(rows), *filter(None, advice)]
