"""The plots of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ner.evaluation.calibration import Calibration, thinned
from ner.evaluation.charts import BOTTOM, FILE, TOP, Axis, Chart, Palette
from ner.evaluation.intervals import Interval
from ner.storage.atomic import write_text

if TYPE_CHECKING:
    from ner.evaluation.report import Report

ROW = 26  # pixels of a label in the plot of labels


def reliability(calibration: Calibration, palette: Palette = FILE) -> str:
    """Draw how often spans are right over their score; the larger the dot, the more spans."""
    chart = Chart("Reliability", Axis.of("mean score"), Axis.of("share that is right"), palette)
    chart.line([(0, 0), (1, 1)], palette.faint, dashed=True)
    held = [
        (one.score, one.right, one.spans)
        for one in calibration.bins
        if one.score is not None and one.right is not None
    ]
    dots = [(score, right) for score, right, _ in held]
    most = max((spans for _, _, spans in held), default=1)
    chart.line(dots, palette.lines[0])
    chart.dots(dots, palette.lines[0], [3 + 6 * (spans / most) ** 0.5 for _, _, spans in held])
    chart.legend([(f"calibration error {100 * calibration.error:.2f} %", palette.ink)], "right")
    return chart.svg()


def precision_recall(calibration: Calibration, palette: Palette = FILE) -> str:
    """Draw precision over recall, as the threshold falls."""
    chart = Chart("Precision and recall", Axis.of("recall"), Axis.of("precision"), palette)
    points = thinned(calibration.curve)
    chart.line([(p.score.recall, p.score.precision) for p in points], palette.lines[0])
    best = calibration.best
    chart.dots([(best.score.recall, best.score.precision)], palette.lines[1], [5])
    chart.legend(
        [
            (f"average precision {calibration.average_precision:.4f}", palette.lines[0]),
            (f"best F1 {100 * best.score.f1:.2f} at {best.threshold:.2f}", palette.lines[1]),
        ]
    )
    return chart.svg()


def thresholds(calibration: Calibration, palette: Palette = FILE) -> str:
    """Draw precision, recall and F1 of the spans at or above a score threshold."""
    chart = Chart(
        "Score threshold", Axis.of("score threshold"), Axis.of("of the spans kept"), palette
    )
    named = list(zip(("precision", "recall", "F1"), palette.lines, strict=False))
    for name, colour in named:
        points = thinned(calibration.curve)
        chart.line([(p.threshold, getattr(p.score, name.lower())) for p in points], colour)
    chart.legend(named)
    return chart.svg()


def label_plot(report: Report, palette: Palette = FILE) -> str:
    """Draw the F1 of all labels with their intervals, over documents where those are known."""
    intervals = report.document_intervals or report.intervals
    held: dict[str, tuple[float, Interval | None]] = {
        "all": (report.exact.f1, intervals.overall["f1"])
    }
    for label, score in report.labels.items():
        held[label] = (score.f1, intervals.labels[label]["f1"])
    rows = Axis("", len(held) - 0.5, -0.5, list(enumerate(held)))
    across = Axis.of(f"F1, {100 * intervals.level:g} % interval")
    chart = Chart("F1 of each label", across, rows, palette, TOP + ROW * len(held) + BOTTOM)
    for row, (f1, interval) in enumerate(held.values()):
        if interval:
            chart.line([(interval.low, row), (interval.high, row)], palette.lines[0])
        chart.dots([(f1, row)], palette.lines[0], [4])
    return chart.svg()


CURVES: Mapping[str, Callable[[Calibration, Palette], str]] = {
    "reliability": reliability,
    "precision-recall": precision_recall,
    "thresholds": thresholds,
}


def plots(report: Report, palette: Palette = FILE) -> dict[str, str]:
    """Draw all plots there is something for, by name."""
    drawn = {"labels": label_plot(report, palette)}
    if report.calibration is not None:
        for name, draw in CURVES.items():
            drawn[name] = draw(report.calibration, palette)
    return drawn


def write_plots(folder: Path, report: Report) -> None:
    """Write all plots as SVG files."""
    for name, svg in plots(report).items():
        write_text(folder / f"{name}.svg", svg + "\n")
