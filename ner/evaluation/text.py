"""A report as text: the table of conlleval to the letter, the headline, robustness."""

from __future__ import annotations

from collections.abc import Mapping

from ner.evaluation.perturbations import PERTURBATIONS
from ner.evaluation.report import Report
from ner.evaluation.score import Score
from ner.evaluation.tables import percent, table


def conlleval_report(report: Report, *, tokens: int, accuracy: float) -> str:
    """What the script ``conlleval`` of the CoNLL-2000 to 2003 shared tasks prints.

    Args:
        report: The scores.
        tokens: How many tokens there are.
        accuracy: The share of tokens with the right tag.
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
    """Precision, recall and F1 in per cent, reckoned in the order in which conlleval does."""
    precision = 100 * score.correct / score.predicted if score.predicted else 0.0
    recall = 100 * score.correct / score.gold if score.gold else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return f"precision: {precision:6.2f}%; recall: {recall:6.2f}%; FB1: {f1:6.2f}"


def headline(report: Report) -> list[str]:
    """F1 with its intervals, and the surface score, in a few lines."""
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
            f"Surface F1 {percent(forms['f1'])} (WNUT 2017: each form of a label counts once; "
            f"{forms['correct']} correct, {forms['predicted']} predicted, {forms['gold']} gold)"
        )
    return said


def perturbation_lines(report: Report, perturbed: Mapping[str, Report]) -> list[str]:
    """Return the scores on perturbed text beside those on the text as it is."""
    rows: list[list[object]] = [["", "precision", "recall", "F1", "difference", ""]]
    width = max(len(one.summary) for one in PERTURBATIONS.values())
    for name, one in {"as it is": report, **perturbed}.items():
        said = one.exact.as_json()
        figures = [percent(said[figure]) for figure in ("precision", "recall", "f1")]
        change = f"{100 * (one.exact.f1 - report.exact.f1):+.2f}"
        summary = PERTURBATIONS[name].summary if name in PERTURBATIONS else ""
        rows.append([name, *figures, change, f"  {summary.ljust(width)}"])
    return ["Robustness", *table(rows)]
