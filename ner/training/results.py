"""The results of a run: its epochs, the scores of the saved model, and the files that show them."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ner.analysis.calibration import Chooser, Lattices, choose_decoding
from ner.evaluation import Report, Score, evaluate
from ner.evaluation.charts import Axis, Chart, Dot, side_by_side
from ner.evaluation.perturbations import perturb
from ner.evaluation.score import percent
from ner.inference import Decoding, engine_for
from ner.redaction.promise import as_json, operating_points
from ner.scorer import Scorer
from ner.sentence import Sentence, Span
from ner.tagger import Tagger, model_card
from ner.training.corpora import Corpora
from ner.training.distributed import Processes
from ner.training.initialisation import forgetting_report
from ner.training.optimisation import WeightAverage

NONE_FOUND = 3  # epochs in a row without any predicted span that cause a remark


@dataclass(frozen=True, slots=True)
class Epoch:
    """The result of one pass over the training sentences.

    Attributes:
        number: The number of the epoch, from 1.
        loss: The mean negative log-likelihood of a sentence, in nats.
        score: The score of exact spans on development data; ``None`` without it.
        seconds: The time of training, without scoring.
        tokens_per_second: The training tokens per second.
        best: Whether this is the best epoch so far, which is kept.
        labels: The score of each label.
        learning_rate: The learning rate of the last step.
        remarks: Remarks for the user.
        decoding: The decoding chosen by the development sentences.
    """

    number: int
    loss: float
    score: Score | None
    seconds: float
    tokens_per_second: float
    best: bool
    labels: Mapping[str, Score] = field(default_factory=dict)
    learning_rate: float = 0.0
    remarks: tuple[str, ...] = ()
    decoding: Decoding | None = None

    def as_json(self, *, timed: bool = True) -> dict[str, Any]:
        """Return the epoch as JSON values, with or without timings, which vary between runs."""
        known: dict[str, Any] = {
            "epoch": self.number,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "best": self.best,
            "development": None if self.score is None else self.score.as_json(),
            "labels": {label: score.as_json() for label, score in self.labels.items()},
            "remarks": list(self.remarks),
        }
        if self.decoding is not None:
            known["decoding"] = asdict(self.decoding)
        if timed:
            known |= {"seconds": self.seconds, "tokens_per_second": self.tokens_per_second}
        return known

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Self:
        """Return the epoch of ``as_json``."""
        return cls(
            known["epoch"],
            known["loss"],
            score_from(known["development"]),
            known["seconds"],
            known["tokens_per_second"],
            known["best"],
            {label: _counts(counts) for label, counts in known["labels"].items()},
            known["learning_rate"],
            tuple(known["remarks"]),
            Decoding.read(known["decoding"]) if "decoding" in known else None,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """The training data of one step, or of several.

    Attributes:
        sentences: The number of sentences.
        tokens: The number of their tokens.
        loss: The sum of their negative log-likelihoods before the step, in nats.
    """

    sentences: int
    tokens: int
    loss: float


@dataclass(slots=True)
class Position:
    """The position in a run.

    Attributes:
        step: The number of steps of the run so far.
        steps_of_epoch: The number of steps of the current epoch so far.
        loss: The summed loss of its sentences so far.
        seconds: The time spent on them.
        stage: The number of the stage, from 0.
        before: The number of steps before this stage.
        begun: The number of epochs before this stage.
    """

    step: int = 0
    steps_of_epoch: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    stage: int = 0
    before: int = 0
    begun: int = 0


def best_of(epochs: Sequence[Epoch]) -> Epoch | None:
    """Return the best epoch: the last one that was the best so far."""
    return next((epoch for epoch in reversed(epochs) if epoch.best), None)


def history(epochs: Sequence[Epoch], *, timed: bool) -> str:
    """Return the epochs as JSON lines."""
    lines = (json.dumps(epoch.as_json(timed=timed), ensure_ascii=False) for epoch in epochs)
    return "".join(f"{line}\n" for line in lines)


def remarks_on(epochs: Sequence[Epoch], score: Score | None) -> tuple[str, ...]:
    """Return remarks on an epoch with this score, after the previous epochs."""
    last = [*(epoch.score for epoch in epochs), score][-NONE_FOUND:]
    if len(last) < NONE_FOUND or any(one is None or one.predicted or not one.gold for one in last):
        return ()
    return (
        f"no entity was predicted in the development sentences for {NONE_FOUND} epochs; "
        "check the learning_rate, and that the training data is fully annotated",
    )


def score_from(counts: Mapping[str, Any] | None) -> Score | None:
    """Return a score from its figures, as JSON; ``None`` for none."""
    return None if counts is None else _counts(counts)


def _counts(counts: Mapping[str, Any]) -> Score:
    return Score(counts["correct"], counts["predicted"], counts["gold"])


def score_development(
    network: Scorer,
    sentences: Sequence[Sentence],
    decoding: Decoding | None,
    average: WeightAverage | None,
    processes: Processes,
) -> tuple[Mapping[str, Score], Decoding] | None:
    """Return the score of each label, and the decoding; ``None`` without sentences.

    Args:
        network: The network after the last step.
        sentences: All development sentences, in every process.
        decoding: The decoding; ``None`` to choose the best one for these sentences.
        average: The averaged weights, if these are to be saved.
        processes: The processes that train together; each tags its share.
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
    """Give the network its averaged weights, if any, while the block runs."""
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
    """Return the scores of labels summed over all processes, which must pass the same names."""
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
        tagger: The tagger, reloaded from disk.
        corpora: The sentences of the run.
        known: The metrics of the best epoch.
        old: The tagger that the run started from.

    Raises:
        RuntimeError: The tagger scores differently on development data than ``known`` has it.
    """
    metrics = dict(known)
    for name, sentences in (("development", corpora.development), ("test", corpora.test)):
        if not sentences:
            continue
        predicted = _predicted(tagger, sentences)
        report = evaluate(sentences, predicted)
        found = report.exact.as_json()
        if name in metrics:
            check_same_score(found, metrics[name])
        metrics[name] = found
        metrics.setdefault("labels", {})[name] = _by_label(report)
        lower = _lower_cased(tagger, sentences, predicted) if name == "development" else None
        if lower is not None:
            metrics["lower case"] = lower
        if old is not None and (drop := forgetting_report(old, sentences, predicted)):
            metrics.setdefault("old labels", {})[name] = drop
    return metrics


def _predicted(tagger: Tagger, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
    """Tag sentences with an engine of their own: an engine remembers the words it has seen."""
    return copy.copy(tagger).predict(sentences)


def check_same_score(found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Compare the development score of a saved model with that during training.

    Raises:
        RuntimeError: They differ.
    """
    if found != known:
        raise RuntimeError(
            f"the saved model has F1 {found['f1']} on development data, but {known['f1']} during "
            "training"
        )


CASED = 1000  # development sentences that are also scored in lower case, at most


def _lower_cased(
    tagger: Tagger, sentences: Sequence[Sentence], predicted: Sequence[Sequence[Span]]
) -> dict[str, float] | None:
    """Return the F1 of sentences as they are and in lower case; None if all are in lower case.

    A tagger that has seen no text without capitals finds next to nothing in it.

    Args:
        tagger: The tagger.
        sentences: Annotated sentences.
        predicted: What the tagger finds in them as they are.
    """
    rows = range(0, len(sentences), -(-len(sentences) // CASED))  # every one, or every n-th
    some = [sentences[number] for number in rows]
    lower = perturb(some, "lower")
    if all(one.tokens == other.tokens for one, other in zip(some, lower, strict=True)):
        return None
    return {
        "unchanged": evaluate(some, [predicted[number] for number in rows]).exact.f1,
        "lower": evaluate(lower, _predicted(tagger, lower)).exact.f1,
    }


def _by_label(report: Report) -> dict[str, Any]:
    """Return the six figures of each label, and an interval of its F1."""
    intervals = report.intervals.labels
    found = {}
    for label, score in sorted(report.labels.items()):
        interval = intervals[label]["f1"] if label in intervals else None
        found[label] = {**score.as_json(), "interval": interval and interval.as_json()}
    return found


def decide(tagger: Tagger, sentences: Sequence[Sentence], known: Score | None) -> dict[str, Any]:
    """Set the decoding of a finished tagger: `Chooser.best` of the development sentences.

    Args:
        tagger: The tagger, reloaded from disk.
        sentences: The development sentences.
        known: Its score in its epoch.

    Returns:
        The report on the decoding, and the coverage that redaction reaches; nothing where there are
        too few development sentences to choose by.

    Raises:
        RuntimeError: The tagger scores differently than in its epoch, with the decoding of that.
    """
    lattices = Lattices(tagger.network, sentences)
    chooser = Chooser(lattices)
    if not chooser.enough:
        return {}
    chosen = chooser.best()
    if known is not None and chosen != tagger.decoding:  # else `final_metrics` compares them
        found = evaluate(sentences, lattices.predict(tagger.decoding)).exact
        check_same_score(found.as_json(), known.as_json())
    tagger.decoding = chosen
    return {
        "decoding": chooser.report(tagger.decoding).as_json(),
        "redaction": as_json(operating_points(lattices, tagger.decoding)),
    }


def model_files(
    tagger: Tagger, epochs: Sequence[Epoch], corpora: Corpora, seed: int
) -> dict[str, str]:
    """Return the files of a model directory that describe its training, by name.

    They contain no timings, so that the same run gives the same bytes.
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
        f"Trained on {len(corpora.train):,} sentences ({corpora.tokens:,} tokens), "
        f"{len(epochs)} epochs, seed {seed}; epoch {kept.number} is kept. The SHA-256 of its "
        f"training and development sentences is `{corpora.fingerprint()}`. "
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
    return [*lines, *(["", "Scores on the development sentences."] if scores else [])]


BESIDE = 84  # pixels for the names of the lines


def plot(epochs: Sequence[Epoch]) -> str:
    """Draw loss and F1 over the epochs."""
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
    """Return an axis of whole epochs from 1."""
    axis = Axis.of("epoch", 0.0, float(max(last, 2)))
    ticks = [(value, text) for value, text in axis.ticks if value >= 1 and value == int(value)]
    return Axis("epoch", 1.0, axis.high, [(1.0, "1"), *(tick for tick in ticks if tick[0] > 1)])
