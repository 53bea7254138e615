"""The exact scores as text: the tables of seqeval and of conlleval, to the letter."""

from __future__ import annotations

from collections.abc import Mapping

from ner.evaluation.perturbations import PERTURBATIONS
from ner.evaluation.report import Report
from ner.evaluation.score import Average, Score
from ner.evaluation.tables import UNDEFINED, percent, table

COLUMNS = ("precision", "recall", "f1-score", "support")
AVERAGES = ("micro avg", "macro avg", "weighted avg")


def seqeval_report(report: Report, *, digits: int = 4) -> str:
    """What ``seqeval.metrics.classification_report`` prints, with ``n/a`` where it is undefined.

    Unlike seqeval's own it does not fail where there is no entity at all.
    """
    width = max([len(AVERAGES[-1]), digits, *map(len, report.labels)])
    lines = [" " * width + " " + "".join(f" {name:>9}" for name in COLUMNS), ""]
    lines += [_row(label, score, width, digits) for label, score in report.labels.items()]
    lines.append("")
    averages: tuple[Score | Average, ...] = (report.micro, report.macro, report.weighted)
    lines += [
        _row(name, average, width, digits) for name, average in zip(AVERAGES, averages, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, score: Score | Average, width: int, digits: int) -> str:
    figures = score.as_json()
    shown = (figures["precision"], figures["recall"], figures["f1"])
    cells = [UNDEFINED if figure is None else f"{figure:.{digits}f}" for figure in shown]
    return f"{name:>{width}} " + "".join(f" {cell:>9}" for cell in (*cells, score.gold))


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
    """The scores on spoiled text beside those on the text as it is."""
    rows: list[list[object]] = [["", "precision", "recall", "F1", "difference", ""]]
    width = max(len(one.summary) for one in PERTURBATIONS.values())
    for name, spoiled in {"as it is": report, **perturbed}.items():
        said = spoiled.exact.as_json()
        figures = [percent(said[figure]) for figure in ("precision", "recall", "f1")]
        change = f"{100 * (spoiled.exact.f1 - report.exact.f1):+.2f}"
        summary = PERTURBATIONS[name].summary if name in PERTURBATIONS else ""
        rows.append([name, *figures, change, f"  {summary.ljust(width)}"])
    return ["On spoiled text", *table(rows)]
