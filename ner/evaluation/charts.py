"""Charts as SVG, and the plots of a report."""

from __future__ import annotations

import math
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
RIGHT, TOP, BOTTOM = 16, 40, 48  # margins in pixels
LETTER = 7  # pixels of a letter, about
DASHED = ";stroke-dasharray:5 4"
FONT = "font-family:system-ui,sans-serif;font-size:12px"

Dot = tuple[float, float]
MORE = ("#8e5ea2", "#b8860b", "#4a4a4a", "#d16ba5", "#2a9d8f")
ROW = 26  # pixels of a label in the plot of labels


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a chart."""

    paper: str
    ink: str
    faint: str
    lines: tuple[str, ...]


FILE = Palette("#ffffff", "#1c2330", "#c9cfd8", ("#1f5fbf", "#b3541e", "#2c7a4b", *MORE))
PAGE = Palette(
    "var(--card)", "var(--ink)", "var(--line)", ("var(--one)", "var(--two)", "var(--three)", *MORE)
)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a chart.

    Attributes:
        title: The quantity.
        low: The value at the start.
        high: The value at the end.
        ticks: The marked values and their labels.
    """

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, title: str, low: float = 0.0, high: float = 1.0, *, most: int = 6) -> Axis:
        """Return an axis with at most ``most`` ticks at round numbers."""
        span = high - low or 1.0
        power = 10.0 ** math.floor(math.log10(span / (most - 1)))
        step = next(n * power for n in (1, 2, 5, 10) if span / (n * power) <= most - 1 + 1e-9)
        numbers = range(math.ceil(low / step - 1e-9), math.floor((low + span) / step + 1e-9) + 1)
        return cls(title, low, low + span, [(n * step, f"{n * step:g}") for n in numbers])

    def share(self, value: float) -> float:
        """Return how far along the axis a value is, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


@dataclass
class Chart:
    """A chart with a horizontal axis (``across``) and a vertical one (``up``); sizes in pixels."""

    title: str
    across: Axis
    up: Axis
    palette: Palette = FILE
    height: float = HEIGHT
    right: float = RIGHT
    _parts: list[str] = field(default_factory=list)

    def line(self, dots: Iterable[Dot], colour: str, *, dashed: bool = False) -> None:
        """Join dots."""
        places = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in dots)
        style = f"fill:none;stroke:{colour};stroke-width:2{DASHED if dashed else ''}"
        self._parts.append(f'<polyline points="{places}" style="{style}"/>')

    def dots(self, dots: Iterable[Dot], colour: str, sizes: Iterable[float]) -> None:
        """Draw dots of these radii, in pixels."""
        self._parts += [
            f'<circle cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="{size:.1f}" '
            f'style="fill:{colour}"/>'
            for (x, y), size in zip(dots, sizes, strict=True)
        ]

    def legend(self, names: Sequence[tuple[str, str]], where: str = "left") -> None:
        """Name colours, as ``(name, colour)``.

        Args:
            names: The names.
            where: The lower ``left`` or ``right`` corner, or ``beside`` the frame.
        """
        x, anchor, y = {
            "left": (self._left + 10, "start", self._bottom - 12 - 16 * (len(names) - 1)),
            "right": (WIDTH - self.right - 10, "end", self._bottom - 12 - 16 * (len(names) - 1)),
            "beside": (WIDTH - self.right + 8, "start", TOP + 10),
        }[where]
        self._parts += [
            _word(x, y + 16 * number, name, colour, anchor)
            for number, (name, colour) in enumerate(names)
        ]

    def mark(self, x: float, text: str) -> None:
        """Draw a dashed vertical line with a text at the top."""
        foot = self._x(x)
        self._parts.append(_rule(foot, self._bottom, foot, TOP, self.palette.ink + DASHED))
        anchor = "start" if self.across.share(x) < 0.5 else "end"
        beside = foot + (4 if anchor == "start" else -4)
        self._parts.append(_word(beside, TOP + 12, text, self.palette.ink, anchor))

    def svg(self) -> str:
        """Return the chart as a file or an element of a page."""
        return side_by_side([self])

    def parts(self) -> str:
        """Return the elements of the chart."""
        ink, faint = self.palette.ink, self.palette.faint
        middle = (TOP + self._bottom) / 2
        title = self.up.title
        parts = [
            f'<rect width="{WIDTH:g}" height="{self.height:g}" style="fill:{self.palette.paper}"/>',
            _word(WIDTH / 2, 20, self.title, ink, weight=600),
            _word((self._left + WIDTH - self.right) / 2, self.height - 8, self.across.title, ink),
            f'<g transform="rotate(-90 14 {middle})">{_word(14, middle, title, ink)}</g>',
        ]
        for value, text in self.across.ticks:
            parts.append(_rule(self._x(value), self._bottom, self._x(value), TOP, faint))
            parts.append(_word(self._x(value), self._bottom + 18, text, ink))
        for value, text in self.up.ticks:
            y = self._y(value)
            parts.append(_rule(self._left, y, WIDTH - self.right, y, faint))
            parts.append(_word(self._left - 8, y + 4, text, ink, "end"))
        return "".join([*parts, *self._parts])

    @property
    def _left(self) -> float:
        return 28 + LETTER * max([4, *(len(text) for _, text in self.up.ticks)])

    @property
    def _bottom(self) -> float:
        return self.height - BOTTOM

    def _x(self, value: float) -> float:
        return self._left + self.across.share(value) * (WIDTH - self._left - self.right)

    def _y(self, value: float) -> float:
        return self._bottom - self.up.share(value) * (self._bottom - TOP)


def side_by_side(charts: Sequence[Chart]) -> str:
    """Return charts as one image."""
    width, height = WIDTH * len(charts), max(chart.height for chart in charts)
    title = ", ".join(chart.title for chart in charts)
    panels = "".join(
        f'<g transform="translate({WIDTH * number} 0)">{chart.parts()}</g>'
        for number, chart in enumerate(charts)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" style="{FONT}">'
        f"<title>{escape(title)}</title>{panels}</svg>"
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
        f'style="stroke-width:1;stroke:{colour}"/>'
    )


def reliability(calibration: Calibration, palette: Palette = FILE) -> str:
    """Draw the share of correct spans over their score; larger dots stand for more spans."""
    chart = Chart("Reliability", Axis.of("mean score"), Axis.of("share that is correct"), palette)
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
    """Draw the F1 of all labels with their intervals, over documents if they are known."""
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
    """Draw all plots that apply, by name."""
    drawn = {"labels": label_plot(report, palette)}
    if report.calibration is not None:
        for name, draw in CURVES.items():
            drawn[name] = draw(report.calibration, palette)
    return drawn


def write_plots(folder: Path, report: Report) -> None:
    """Write all plots as SVG files."""
    for name, svg in plots(report).items():
        write_text(folder / f"{name}.svg", svg + "\n")
