"""A picture of a run: the loss and the development F1 over the epochs, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ner.evaluation.charts import Axis, Chart, Dot, side_by_side
from ner.training.history import Epoch

BESIDE = 84  # pixels for the names of the lines


def plot(epochs: Sequence[Epoch]) -> str:
    """Draw the run; what is undefined in an epoch is left out of its line."""
    loss = [(float(epoch.number), epoch.loss) for epoch in epochs]
    most = max([value for _, value in loss if value == value] + [1e-9])
    charts = [_chart("Loss per sentence", Axis.of("nats", 0.0, most), {"loss": loss}, epochs)]
    f1: dict[str, list[Dot]] = {}
    for epoch in epochs:
        scores = {"all": epoch.score} if epoch.score is not None else {}
        for label, score in {**scores, **dict(sorted(epoch.labels.items()))}.items():
            f1.setdefault(label, []).append((epoch.number, 100.0 * score.f1))
    if f1:
        charts.append(_chart("Development F1", Axis.of("%", 0.0, 100.0), f1, epochs))
    return side_by_side(charts) + "\n"


def _chart(
    title: str, up: Axis, lines: Mapping[str, Sequence[Dot]], epochs: Sequence[Epoch]
) -> Chart:
    last = len(epochs)
    chart = Chart(title, _epochs(last), up, right=BESIDE)
    colours = chart.palette.lines
    named = [(name, colours[number % len(colours)]) for number, name in enumerate(lines)]
    for (_, colour), line in zip(named, lines.values(), strict=True):
        chart.line(line, colour)
        chart.dots(line[-1:], colour, [2])
    chart.legend(named, "beside")
    best = [epoch.number for epoch in epochs if epoch.best]
    if best:
        chart.mark(best[-1], f"best: epoch {best[-1]}")
    return chart


def _epochs(last: int) -> Axis:
    """An axis of whole epochs from 1."""
    axis = Axis.of("epoch", 0.0, float(max(last, 2)))
    ticks = [(value, text) for value, text in axis.ticks if value >= 1 and value == int(value)]
    return Axis("epoch", 1.0, axis.high, [(1.0, "1"), *(tick for tick in ticks if tick[0] > 1)])
