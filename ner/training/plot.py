"""A picture of a run: the loss and the development F1 over the epochs, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ner.training.epochs import Epoch

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 440, 260, 48, 84, 28, 32  # of a panel, in pixels
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2", "#b8860b", "#4a4a4a", "#d16ba5", "#2a9d8f")
TICKS = 4

Line = Sequence[tuple[int, float]]


def plot(epochs: Sequence[Epoch]) -> str:
    """The run as an SVG image; what is undefined in an epoch is left out of its line."""
    loss = {"loss": [(epoch.number, epoch.loss) for epoch in epochs]}
    panels = [_panel("loss of a sentence, nats", loss, len(epochs), _ceiling(loss))]
    f1: dict[str, list[tuple[int, float]]] = {}
    for epoch in epochs:
        if epoch.score is not None:
            f1.setdefault("all", []).append((epoch.number, 100.0 * epoch.score.f1))
        for label in sorted(epoch.labels):
            f1.setdefault(label, []).append((epoch.number, 100.0 * epoch.labels[label].f1))
    if f1:
        panels.append(_panel("development F1, %", f1, len(epochs), 100.0))
    body = "".join(
        f'<g transform="translate({number * WIDTH},0)">{panel}</g>'
        for number, panel in enumerate(panels)
    )
    width = WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" '
        f'viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{body}</svg>\n'
    )


def _ceiling(lines: Mapping[str, Line]) -> float:
    return max([value for line in lines.values() for _, value in line] + [1e-9])


def _panel(title: str, lines: Mapping[str, Line], epochs: int, top: float) -> str:
    """Axes with ticks, and a line for each name."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(epoch: float) -> float:
        return LEFT + (right - LEFT) * (epoch - 1) / max(epochs - 1, 1)

    def y(value: float) -> float:
        return bottom - (bottom - TOP) * value / top

    parts = [
        f'<text x="{LEFT}" y="{TOP - 10}" font-weight="bold">{escape(title)}</text>',
        f'<text x="{right}" y="{HEIGHT - 4}" text-anchor="end">epoch</text>',
    ]
    for tick in range(TICKS + 1):
        value = top * tick / TICKS
        parts.append(
            f'<line x1="{LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#dddddd"/><text x="{LEFT - 6}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value:.3g}</text>'
        )
    parts += [
        f'<text x="{x(epoch):.1f}" y="{bottom + 14}" text-anchor="middle">{epoch}</text>'
        for epoch in sorted({1, (epochs + 1) // 2, epochs})
    ]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in line)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
            f'<circle cx="{x(line[-1][0]):.1f}" cy="{y(line[-1][1]):.1f}" r="2" fill="{colour}"/>'
            f'<text x="{right + 8}" y="{TOP + 10 + 14 * number}" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return "".join(parts)
