"""The results of epochs and steps, the position in a run, and the same for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ner.config import ConfigError
from ner.evaluation import Score
from ner.inference.decoding import Decoding

NONE_FOUND = 3  # epochs in a row without one predicted span, before it is remarked upon


@dataclass(frozen=True, slots=True)
class Epoch:
    """The result of one pass over the training sentences.

    Attributes:
        number: Counted from 1.
        loss: The mean negative log-likelihood of a sentence, in nats.
        score: Of the development sentences, exact spans; ``None`` where there are none.
        seconds: Of training, without scoring.
        tokens_per_second: Training tokens seen in each of them.
        best: Whether this is the best epoch so far, which is the one kept.
        labels: The score of each label.
        learning_rate: Of the last step.
        remarks: What the user should know.
        decoding: How spans are chosen, where the development sentences decide.
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
        """The epoch as JSON holds it; what was timed, which is never twice the same, if wanted."""
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
        """The epoch that ``as_json`` wrote down."""
        return cls(
            known["epoch"],
            known["loss"],
            _score(known["development"]),
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
        sentences: How many.
        tokens: Of them.
        loss: The sum of their negative log-likelihoods before the step, in nats.
    """

    sentences: int
    tokens: int
    loss: float


@dataclass(slots=True)
class Position:
    """The position in a run.

    Attributes:
        step: Steps taken in the whole run.
        steps_of_epoch: Steps taken in the epoch under way.
        loss: The summed loss of its sentences so far.
        seconds: Spent training on them.
    """

    step: int = 0
    steps_of_epoch: int = 0
    loss: float = 0.0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The position as JSON holds it; its fields are the arguments that make it again."""
        return asdict(self)


def best_of(epochs: Sequence[Epoch]) -> Epoch | None:
    """Return the best of some epochs, which is the last that was the best so far."""
    return next((epoch for epoch in reversed(epochs) if epoch.best), None)


def history(epochs: Sequence[Epoch], *, timed: bool) -> str:
    """The epochs as JSON lines."""
    lines = (json.dumps(epoch.as_json(timed=timed), ensure_ascii=False) for epoch in epochs)
    return "".join(f"{line}\n" for line in lines)


def remarks_on(epochs: Sequence[Epoch], score: Score | None) -> tuple[str, ...]:
    """Yield remarks on an epoch with this score, after the previous epochs."""
    last = [*(epoch.score for epoch in epochs), score][-NONE_FOUND:]
    if len(last) < NONE_FOUND or any(one is None or one.predicted or not one.gold for one in last):
        return ()
    return (
        f"no entity was predicted in the development sentences {NONE_FOUND} times in a row; "
        "is the learning_rate right, and is the training annotation complete?",
    )


def _score(counts: Mapping[str, Any] | None) -> Score | None:
    return None if counts is None else _counts(counts)


def _counts(counts: Mapping[str, Any]) -> Score:
    return Score(counts["correct"], counts["predicted"], counts["gold"])


class RunWriter:
    """Writes event files: the loss of each step; loss, rate, speed and scores of each epoch.

    Args:
        folder: Where to; ``tensorboard --logdir FOLDER`` shows it.
        steps: Steps taken already, by a run that is gone on with. What an earlier process wrote
            of later ones is hidden.

    Raises:
        ConfigError: TensorBoard is not installed.
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path, steps: int = 0) -> None:
        later = steps + 1 if steps else None
        self._writer: Any = event_writer()(str(folder), purge_step=later)

    def step(self, number: int, step: Step) -> None:
        """Write down a step, counted from 1 through the run."""
        self._writer.add_scalar("loss/step", step.loss / step.sentences, number)

    def epoch(self, number: int, epoch: Epoch) -> None:
        """Write down an epoch that ended with this step."""
        figures = {
            "loss/epoch": epoch.loss,
            "learning_rate": epoch.learning_rate,
            "tokens_per_second": epoch.tokens_per_second,
        }
        if epoch.score is not None:
            figures["development F1/all"] = epoch.score.f1
        for label, score in epoch.labels.items():
            figures[f"development F1/{label}"] = score.f1
        for name, figure in figures.items():
            self._writer.add_scalar(name, figure, number)
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()


def event_writer() -> Any:
    """Return a writer of event files.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "--tensorboard needs TensorBoard: pip install 'ner-crf[tensorboard]'"
        ) from error
    return SummaryWriter
