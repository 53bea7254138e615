"""Plots as SVG, drawn here: a few lines, points and words need no library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ner.evaluation.calibration import Calibration, thinned
from ner.evaluation.intervals import Interval
from ner.storage.atomic import write_text

if TYPE_CHECKING:
    from ner.evaluation.report import Report

WIDTH, HEIGHT = 400, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 48  # of the frame of a plot
FONT = "font-family:system-ui,sans-serif;font-size:12px"
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
ROW = 26  # pixels of a label in the plot of labels

Dot = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a plot."""

    paper: str
    ink: str
    faint: str
    first: str
    second: str
    third: str


FILE = Palette("#ffffff", "#1c2330", "#c9cfd8", "#1f5fbf", "#b3541e", "#2c7a4b")
PAGE = Palette(*(f"var(--{name})" for name in ("card", "ink", "line", "one", "two", "three")))


@dataclass
class Plot:
    """A frame with both axes from 0 to 1, to be drawn in.

    Attributes:
        title: What it shows.
        across: What the horizontal axis is.
        up: What the vertical axis is.
        palette: Its colours.
    """

    title: str
    across: str
    up: str
    palette: Palette
    _parts: list[str] = field(default_factory=list)

    def line(self, dots: Iterable[Dot], colour: str, *, dashed: bool = False) -> None:
        """Join dots."""
        places = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in dots)
        dash = ";stroke-dasharray:5 4" if dashed else ""
        self._parts.append(
            f'<polyline points="{places}" style="fill:none;stroke:{colour};stroke-width:2{dash}"/>'
        )

    def dots(self, dots: Iterable[Dot], colour: str, sizes: Iterable[float]) -> None:
        """Put dots, of these radii in pixels."""
        self._parts += [
            f'<circle cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="{size:.1f}" '
            f'style="fill:{colour}"/>'
            for (x, y), size in zip(dots, sizes, strict=True)
        ]

    def legend(self, names: Sequence[tuple[str, str]], *, right: bool = False) -> None:
        """Name colours, as ``(name, colour)``, in the lower left corner or the lower right one."""
        x, anchor = (WIDTH - RIGHT - 10, "end") if right else (LEFT + 10, "start")
        for number, (name, colour) in enumerate(names):
            y = HEIGHT - BOTTOM - 12 - 16 * (len(names) - 1 - number)
            self._parts.append(_word(x, y, name, colour, anchor))

    def svg(self) -> str:
        """The plot."""
        return _svg(WIDTH, HEIGHT, self.title, [*self._frame(), *self._parts], self.palette)

    def _frame(self) -> list[str]:
        ink, faint = self.palette.ink, self.palette.faint
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts = [
            _word(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 8, self.across, ink),
            f'<g transform="rotate(-90 14 {middle})">{_word(14, middle, self.up, ink)}</g>',
        ]
        for tick in TICKS:
            x, y = self._x(tick), self._y(tick)
            parts += [
                _rule(x, self._y(0), x, self._y(1), faint),
                _rule(self._x(0), y, self._x(1), y, faint),
                _word(x, HEIGHT - BOTTOM + 18, f"{tick:g}", ink),
                _word(LEFT - 8, y + 4, f"{tick:g}", ink, "end"),
            ]
        return parts

    def _x(self, value: float) -> float:
        return LEFT + value * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)


def _svg(width: float, height: float, title: str, parts: Iterable[str], palette: Palette) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" style="{FONT}">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{width:g}" height="{height:g}" style="fill:{palette.paper}"/>'
        f"{_word(width / 2, 20, title, palette.ink, weight=600)}{''.join(parts)}</svg>"
    )


def _word(
    x: float, y: float, text: str, colour: str, anchor: str = "middle", *, weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        f'style="fill:{colour};font-weight:{weight}">{escape(text)}</text>'
    )


def _rule(x: float, y: float, to_x: float, to_y: float, colour: str) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" '
        f'style="stroke:{colour};stroke-width:1"/>'
    )


def reliability(calibration: Calibration, palette: Palette = FILE) -> str:
    """How often spans are right, over their score; the larger the dot, the more spans."""
    plot = Plot("Reliability", "mean score of the spans", "share that is right", palette)
    plot.line([(0, 0), (1, 1)], palette.faint, dashed=True)
    held = [
        (one.score, one.right, one.spans)
        for one in calibration.bins
        if one.score is not None and one.right is not None
    ]
    dots = [(score, right) for score, right, _ in held]
    most = max((spans for _, _, spans in held), default=1)
    plot.line(dots, palette.first)
    plot.dots(dots, palette.first, [3 + 6 * (spans / most) ** 0.5 for _, _, spans in held])
    said = f"calibration error {100 * calibration.error:.2f} %"
    plot.legend([(said, palette.ink)], right=True)
    return plot.svg()


def precision_recall(calibration: Calibration, palette: Palette = FILE) -> str:
    """Precision over recall, as the threshold falls."""
    plot = Plot("Precision and recall", "recall", "precision", palette)
    plot.line(
        [(p.score.recall, p.score.precision) for p in thinned(calibration.curve)], palette.first
    )
    best = calibration.best
    plot.dots([(best.score.recall, best.score.precision)], palette.second, [5])
    plot.legend(
        [
            (f"average precision {calibration.average_precision:.4f}", palette.first),
            (f"best F1 {100 * best.score.f1:.2f} at {best.threshold:.2f}", palette.second),
        ]
    )
    return plot.svg()


def thresholds(calibration: Calibration, palette: Palette = FILE) -> str:
    """Precision, recall and F1 of the spans that have at least a score."""
    plot = Plot("Keeping only sure spans", "least score", "of the spans kept", palette)
    colours = (palette.first, palette.second, palette.third)
    points = thinned(calibration.curve)
    for name, colour in zip(("precision", "recall", "f1"), colours, strict=True):
        plot.line([(p.threshold, getattr(p.score, name)) for p in points], colour)
    plot.legend(list(zip(("precision", "recall", "F1"), colours, strict=True)))
    return plot.svg()


def label_plot(report: Report, palette: Palette = FILE) -> str:
    """The F1 of all labels with their intervals, which are of documents where those are known."""
    intervals = report.document_intervals or report.intervals
    held: dict[str, tuple[float, Interval | None]] = {
        "all": (report.exact.f1, intervals.overall["f1"])
    }
    for label, score in report.labels.items():
        held[label] = (score.f1, intervals.labels[label]["f1"])
    left = 24 + 7 * max(map(len, held))
    height = TOP + ROW * len(held) + BOTTOM

    def across(value: float) -> float:
        return left + value * (WIDTH - left - RIGHT)

    low, high = TOP + 4.0, height - BOTTOM + 4.0
    parts = [_rule(across(tick), low, across(tick), high, palette.faint) for tick in TICKS]
    parts += [_word(across(t), high + 16, f"{100 * t:g}", palette.ink) for t in TICKS]
    for number, (name, (f1, interval)) in enumerate(held.items()):
        y = TOP + ROW * number + ROW / 2 + 4
        parts.append(_word(left - 12, y + 4, name, palette.ink, "end"))
        if interval:
            parts.append(_rule(across(interval.low), y, across(interval.high), y, palette.first))
        parts.append(
            f'<circle cx="{across(f1):.1f}" cy="{y:.1f}" r="4" style="fill:{palette.first}"/>'
        )
    parts.append(
        _word(across(0.5), height - 8, f"F1, {100 * intervals.level:g} % interval", palette.ink)
    )
    return _svg(WIDTH, height, "F1 of each label", parts, palette)


CURVES: Mapping[str, Callable[[Calibration, Palette], str]] = {
    "reliability": reliability,
    "precision-recall": precision_recall,
    "thresholds": thresholds,
}


def plots(report: Report, palette: Palette = FILE) -> dict[str, str]:
    """All plots there is something for, by name."""
    drawn = {"labels": label_plot(report, palette)}
    if report.calibration is not None:
        for name, draw in CURVES.items():
            drawn[name] = draw(report.calibration, palette)
    return drawn


def write_plots(folder: Path, report: Report) -> None:
    """Write all plots as SVG files."""
    for name, svg in plots(report).items():
        write_text(folder / f"{name}.svg", svg + "\n")
