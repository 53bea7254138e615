"""The course of a run for TensorBoard, written beside it while it is under way."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ner.config import ConfigError
from ner.training.history import Epoch, Step


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
    """What writes event files.

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
