"""Training: a loop the caller can see. ``for epoch in train(config): print(epoch)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ner.errors import ConfigError
from ner.training.loop import Run, StoppedError
from ner.training.results import Epoch, Step, score_tagger
from ner.training.settings import (
    DataSettings,
    RunSettings,
    TrainingSettings,
    read_settings,
    shortcuts,
)

__all__ = [
    "DataSettings",
    "Epoch",
    "Run",
    "RunSettings",
    "Step",
    "StoppedError",
    "TrainingSettings",
    "read_settings",
    "score_tagger",
    "train",
]

Paths = str | Path | Sequence[str | Path]


def train(  # noqa: PLR0913 - one argument for each option of `ner train`
    config: Path | str | Mapping[str, Any] | RunSettings | None = None,
    *,
    train: Paths | None = None,
    development: Paths | None = None,
    test: Paths | None = None,
    labels: Sequence[str] | None = None,
    epochs: int | None = None,
    output: Path | str | None = None,
    device: str = "auto",
    resume: bool = False,
    init_from: Path | str | None = None,
    overwrite: bool = False,
) -> Run:
    """Train a tagger, one epoch per step of the iterator; the best is kept and saved.

    Args:
        config: A YAML file, its content as a mapping, or settings; not needed with ``train``.
        train: The files to train on, in place of ``data.train``.
        development: The files to choose the best epoch by, in place of ``data.development``.
        test: The files to score the finished model on, in place of ``data.test``.
        labels: The labels to learn, in place of ``data.labels``.
        epochs: The number of epochs, in place of ``training.epochs``.
        output: The model directory to write, in place of ``output``.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: Continue from the last checkpoint of an interrupted run.
        init_from: The directory of a model to start from.
        overwrite: Whether to discard an interrupted run with the same output.

    Raises:
        ConfigError: A setting is invalid.
        ValueError: A file is invalid.
    """
    files = {"train": train, "development": development, "test": test}
    given = shortcuts({**files, "labels": labels, "epochs": epochs})
    if config is None and train is None:
        raise ConfigError("nothing to train on: pass a configuration or train=FILE")
    if not isinstance(config, RunSettings):
        written = None if output is None else str(output)
        settings = read_settings({} if config is None else config, given, output=written)
    elif given or output is not None:
        raise ConfigError("RunSettings are complete: change them with dataclasses.replace")
    else:
        settings = config
    return Run(settings, device=device, resume=resume, init_from=init_from, overwrite=overwrite)
