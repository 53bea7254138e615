"""Trackers of experiments: training is logged to MLflow, TensorBoard or Weights & Biases.

Each logs where its own settings say (``MLFLOW_TRACKING_URI``, ``WANDB_PROJECT``, ...). A tracker
that fails is left out from then on; training goes on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ner.errors import ConfigError
from ner.options import lookup
from ner.storage.atomic import write_text
from ner.training.loop import Run, StoppedError
from ner.training.results import Epoch, Step
from ner.training.run_folder import TRACKED, flat

log = logging.getLogger(__name__)

FINISHED, STOPPED, FAILED = "FINISHED", "KILLED", "FAILED"  # how a run ends, as MLflow calls it
FIGURES = ("f1", "precision", "recall")


@dataclass(frozen=True, slots=True)
class Beginning:
    """The facts about a run that a tracker needs when it begins.

    Attributes:
        group: The name of the output or of the configuration.
        name: The name of the run: that of the group, and what it is in it if there are several.
        settings: The settings of the run.
        known: The id of the tracker's run, if this one continues it.
        steps: The number of steps before.
        folder: The folder of TensorBoard's events.
    """

    group: str
    name: str
    settings: Mapping[str, Any]
    known: str | None
    steps: int
    folder: Path


class TensorBoard:
    """Writes event files; events of steps after the one that a run continues from are hidden."""

    module, package = "torch.utils.tensorboard", "TensorBoard"
    id: str | None = None  # it has only its folder

    def __init__(self, run: Beginning) -> None:
        from torch.utils.tensorboard import SummaryWriter

        later = run.steps + 1 if run.steps else None
        self._writer: Any = SummaryWriter(str(run.folder), purge_step=later)

    def log(self, figures: Mapping[str, float], epoch: int | None, step: int) -> None:
        for name, figure in figures.items():
            self._writer.add_scalar(name, figure, step)
        if epoch is not None:
            self._writer.flush()

    def attach(self, model: Path) -> None:
        """Do nothing: event files have no place for a model."""

    def end(self, state: str) -> None:
        self._writer.close()


class MLflow:
    """Logs to the tracking server, database or folder of ``MLFLOW_TRACKING_URI``."""

    module, package = "mlflow", "MLflow"

    def __init__(self, run: Beginning) -> None:
        import mlflow

        self._mlflow = mlflow
        # Nested: a run that the process has open already is not ended.
        begun = mlflow.start_run(
            run_id=run.known, run_name=run.name, tags={"group": run.group}, nested=True
        )
        self.id: str | None = begun.info.run_id
        if run.known is None:
            mlflow.log_params({_safe(key): value for key, value in flat(run.settings).items()})

    def log(self, figures: Mapping[str, float], epoch: int | None, step: int) -> None:
        if epoch is not None:
            named = {_safe(name): figure for name, figure in figures.items()}
            self._mlflow.log_metrics(named, step=epoch)

    def attach(self, model: Path) -> None:
        self._mlflow.log_artifacts(str(model), "model")

    def end(self, state: str) -> None:
        self._mlflow.end_run(state)


class WandB:
    """Logs to Weights & Biases, or to a local folder with ``WANDB_MODE=offline``."""

    module, package = "wandb", "Weights & Biases"

    def __init__(self, run: Beginning) -> None:
        import wandb

        self._wandb, self._name = wandb, run.name
        self.id: str | None = run.known or secrets.token_hex(4)
        self._run = wandb.init(
            id=self.id, resume="allow", name=run.name, group=run.group, config=dict(run.settings)
        )
        self._run.define_metric("*", step_metric="epoch")  # epochs may be logged again

    def log(self, figures: Mapping[str, float], epoch: int | None, step: int) -> None:
        if epoch is not None:
            self._run.log({**figures, "epoch": epoch})

    def attach(self, model: Path) -> None:
        artifact = self._wandb.Artifact(re.sub(r"[^\w.-]", "-", self._name), type="model")
        artifact.add_dir(str(model))
        self._run.log_artifact(artifact)

    def end(self, state: str) -> None:
        self._run.finish(exit_code=int(state != FINISHED))


Tracker = TensorBoard | MLflow | WandB
TRACKERS: Mapping[str, type[Tracker]] = {
    "mlflow": MLflow,
    "tensorboard": TensorBoard,
    "wandb": WandB,
}


def _safe(name: str) -> str:
    """Return a name with what MLflow accepts in names."""
    return re.sub(r"[^/\w.\- :]", "_", name)


class Log:
    """The trackers of one run; as a context, it ends the run in them."""

    def __init__(self, run: Run, open_: dict[str, Tracker], trackers: Trackers) -> None:
        self._run, self._open, self._trackers = run, open_, trackers

    def step(self, step: Step) -> None:
        """Log the loss of a step."""
        figures = {"loss/step": step.loss / step.sentences}
        self._all(lambda one: one.log(figures, None, self._run.position.step))

    def epoch(self, epoch: Epoch) -> None:
        """Log an epoch that has just ended."""
        figures = {
            "loss/epoch": epoch.loss,
            "learning_rate": epoch.learning_rate,
            "tokens_per_second": epoch.tokens_per_second,
        }
        scores = {} if epoch.score is None else {"all": epoch.score, **epoch.labels}
        named = {label: score.as_json() for label, score in scores.items()}
        self._log(figures | _figures("development", named))

    def epochs(self) -> Iterator[Epoch]:
        """Train, and log each epoch."""
        try:
            for epoch in self._run:
                self.epoch(epoch)
                yield epoch
        except BaseException as error:
            self.end(_state(error))
            raise

    def scores(self, split: str, exact: Mapping[str, Any], labels: Mapping[str, Any]) -> None:
        """Log the scores of the finished model on a split, and those of each label."""
        self._log(_figures(split, {"all": exact, **labels}))

    def attach(self, model: Path) -> None:
        """Upload the directory of the finished model, if that is wanted."""
        if self._trackers.upload:
            self._all(lambda one: one.attach(model))

    def end(self, state: str = FINISHED) -> None:
        """End the run in all trackers."""
        self._all(lambda one: one.end(state))
        self._open.clear()

    def _log(self, figures: Mapping[str, float]) -> None:
        epoch, step = len(self._run.epochs), self._run.position.step
        self._all(lambda one: one.log(figures, epoch, step))

    def _all(self, act: Callable[[Tracker], object]) -> None:
        for name, one in list(self._open.items()):
            with self._trackers.guarded(name, self._open):
                act(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(FINISHED if error is None else _state(error))


def _state(error: BaseException) -> str:
    stopped = isinstance(error, StoppedError | GeneratorExit | KeyboardInterrupt)
    return STOPPED if stopped else FAILED


def _figures(split: str, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return F1, precision and recall of each label, by name; 0 where undefined."""
    return {
        f"{split} {'F1' if figure == 'f1' else figure}/{label}": score[figure] or 0.0
        for figure in FIGURES
        for label, score in scores.items()
    }


@dataclass
class Trackers:
    """The trackers that a command logs to.

    Args:
        names: Names from ``TRACKERS``.
        warn: Receives a line about a tracker that failed.
        folder: The folder of TensorBoard's events (by default ``runs/GROUP``).
        upload: Whether the finished model is uploaded, too.

    Raises:
        ConfigError: A name is unknown, or the package is not installed.
    """

    names: Sequence[str] = ()
    warn: Callable[[str], object] = log.warning
    folder: Path | None = None
    upload: bool = False
    failed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name in self.names:
            tracker = lookup(TRACKERS, name, of="tracker")
            try:
                import_module(tracker.module)
            except ImportError as error:
                install = f"pip install 'ner-crf[{name}]'"
                raise ConfigError(f"--track {name} needs {tracker.package}: {install}") from error

    def begin(self, run: Run, group: str, one: str = "") -> Log:
        """Begin a run, or continue it where it continues from a checkpoint.

        Args:
            run: The run.
            group: The name of the output or of the configuration.
            one: What the run is in it, if there are several: ``fold 1``.
        """
        names = self.names if run.processes.writes else ()
        ids = _ids(run)
        open_: dict[str, Tracker] = {}
        folder = (self.folder or Path("runs") / group) / one
        name = f"{group}/{one}" if one else group
        for kind in (kind for kind in names if kind not in self.failed):
            given = (group, name, run.settings.as_dict(), ids.get(kind), run.position.step, folder)
            with self.guarded(kind, open_):
                open_[kind] = TRACKERS[kind](Beginning(*given))
                ids[kind] = open_[kind].id
        if open_ and run.folder is not None:
            write_text(run.folder.path / TRACKED, json.dumps(ids))
        return Log(run, open_, self)

    def follow(self, group: str) -> Callable[[str, Run], Iterator[Epoch]]:
        """Return what trains a run, given what it is in the group, and logs each epoch."""

        def following(one: str, run: Run) -> Iterator[Epoch]:
            with self.begin(run, group, one) as begun:
                yield from begun.epochs()

        return following

    @contextlib.contextmanager
    def guarded(self, name: str, open_: dict[str, Tracker]) -> Iterator[None]:
        """Let a tracker fail, at whatever it may: warn, and leave it out from then on."""
        try:
            yield
        except Exception as error:  # of the network, the disk, the account, the package, ...
            self.failed.add(name)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self.warn(f"{TRACKERS[name].package} fails, so the run is not logged there: {reason}")
            left = open_.pop(name, None)
            if left is not None:
                with contextlib.suppress(Exception):
                    left.end(FAILED)


def _ids(run: Run) -> dict[str, str | None]:
    """Return the ids of the runs of trackers that a run continues."""
    try:
        text = "" if run.folder is None else (run.folder.path / TRACKED).read_text("utf-8")
        known = json.loads(text)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
