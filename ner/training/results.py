"""The scores of a run: of epochs on the development sentences, and of the saved model."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ner.analysis.calibration import Chooser, Lattices, choose_decoding
from ner.evaluation import Score, evaluate
from ner.evaluation.charts import Axis, Chart, Dot, side_by_side
from ner.evaluation.tables import percent
from ner.inference import Decoding, engine_for
from ner.redaction.promise import as_json, operating_points
from ner.scorer import Scorer
from ner.sentence import Sentence
from ner.tagger import Tagger, model_card
from ner.training.corpora import Corpora
from ner.training.distributed import Processes
from ner.training.history import Epoch, best_of, history
from ner.training.initialisation import forgetting_report
from ner.training.optimisation import WeightAverage


def score_development(
    network: Scorer,
    sentences: Sequence[Sentence],
    decoding: Decoding | None,
    average: WeightAverage | None,
    processes: Processes,
) -> tuple[Mapping[str, Score], Decoding] | None:
    """The score of each label and how spans were chosen; ``None`` without sentences.

    Args:
        network: The network as the last step left it.
        sentences: The development sentences, all of them in every process.
        decoding: How spans are chosen; ``None`` for the way that is best for these sentences.
        average: The weights that would be saved, where they are not the network's own.
        processes: Those that train together; each tags its share.
    """
    if not sentences:
        return None
    own = processes.share(sentences)
    with _averaged(network, average):
        if decoding is None:
            lattices = Lattices(network.eval(), sentences)
            decoding = processes.first(choose_decoding(lattices))
            predicted = processes.share(lattices.predict(decoding))
        else:
            predicted = engine_for(network.eval(), decoding).predict(own)
    labels = evaluate(own, predicted).labels
    gold = {span.label for sentence in sentences for span in sentence.spans or ()}
    return _summed(labels, gold.union(network.labels), processes), decoding


@contextlib.contextmanager
def _averaged(network: Scorer, average: WeightAverage | None) -> Iterator[None]:
    """While the block runs, the network has its averaged weights, where there are such."""
    if average is None:
        yield
        return
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(average.weights)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _summed(
    labels: Mapping[str, Score], names: Collection[str], processes: Processes
) -> Mapping[str, Score]:
    """The scores of all processes added up.

    Args:
        labels: The scores of this one.
        names: The labels that some process may have met, the same in all.
        processes: The processes.
    """
    if processes.count == 1:
        return labels
    ordered = sorted(names)
    own = [labels.get(label, Score()) for label in ordered]
    rows = processes.sum_counts([[s.correct, s.predicted, s.gold] for s in own])
    return {label: Score(*row) for label, row in zip(ordered, rows, strict=True) if any(row)}


def score_tagger(tagger: Tagger, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Score a tagger on annotated sentences: the six figures of exact spans."""
    return evaluate(sentences, tagger.predict(sentences)).exact.as_json()


def final_metrics(
    tagger: Tagger, corpora: Corpora, known: Mapping[str, Any], old: Tagger | None = None
) -> dict[str, Any]:
    """Score a tagger on the development and test sentences of its run.

    Args:
        tagger: The tagger, from the disk where it is saved.
        corpora: The sentences of the run.
        known: What the run knows of its best epoch.
        old: The tagger that the run started from.

    Raises:
        RuntimeError: The tagger scores differently than in the log.
    """
    metrics = dict(known)
    for name, sentences in (("development", corpora.development), ("test", corpora.test)):
        if not sentences:
            continue
        predicted = tagger.predict(sentences)
        found = evaluate(sentences, predicted).exact.as_json()
        if name in metrics and metrics[name] != found:
            raise RuntimeError(
                f"the saved model scores {found['f1']} on development data, "
                f"training saw {metrics[name]['f1']}"
            )
        metrics[name] = found
        if old is not None and (drop := forgetting_report(old, sentences, predicted)):
            metrics.setdefault("old labels", {})[name] = drop
    return metrics


def decision_of(tagger: Tagger, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Return the decoding chosen by these sentences, and what redaction may promise."""
    lattices = Lattices(tagger.network, sentences)
    chooser = Chooser(lattices)
    if not chooser.enough:
        return {}
    return {
        "decoding": chooser.report(tagger.decoding).as_json(),
        "redaction": as_json(operating_points(lattices, tagger.decoding)),
    }


def model_files(
    tagger: Tagger, epochs: Sequence[Epoch], corpora: Corpora, seed: int
) -> dict[str, str]:
    """Return the files of a model directory that describe its training, by name.

    Nothing in them is timed, so that the same run leaves the same bytes.
    """
    if not epochs:
        return {}
    return {
        "metrics.jsonl": history(epochs, timed=False),
        "training.svg": plot(epochs),
        "README.md": model_card(tagger) + "\n".join(_how_trained(epochs, corpora, seed)) + "\n",
    }


def _how_trained(epochs: Sequence[Epoch], corpora: Corpora, seed: int) -> list[str]:
    """Return the lines of the model card on the training."""
    kept = best_of(epochs) or epochs[-1]
    lines = [
        "## Training",
        "",
        f"Trained on {len(corpora.train):,} sentences ({sum(map(len, corpora.train)):,} tokens), "
        f"{len(epochs)} epochs, seed {seed}; epoch {kept.number} is kept. "
        "`config.yaml` has every setting, `metrics.jsonl` every epoch.",
        "",
        "![loss and F1 over the epochs](training.svg)",
        "",
    ]
    scores = kept.labels
    if scores:
        lines += ["| label | precision | recall | F1 | entities |", "|---|---|---|---|---|"]
    for label, score in sorted(scores.items()):
        figures = (score.precision, score.recall, score.f1)
        shown = " | ".join(percent(figure) for figure in figures)
        lines.append(f"| {label} | {shown} | {score.gold} |")
    return [*lines, *(["", "The table is of the development sentences."] if scores else [])]


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
