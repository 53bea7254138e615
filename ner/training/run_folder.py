"""The folder of an unfinished run: who may write it, its checkpoints, and what may continue it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ner.config import ConfigError
from ner.model_directory import DESCRIPTION
from ner.storage.atomic import check_replaceable, recover, remove_stale, write_text
from ner.storage.locks import RunLock, run_lock
from ner.training import checkpointing
from ner.training.checkpointing import Checkpoint
from ner.training.history import Epoch, history

CHOSEN = ("training.epochs", "training.batch_size")  # by a run, where its settings are null
CHECKPOINTS, HISTORY = "checkpoints", "metrics.jsonl"  # what lies in the folder of a run


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``OUTPUT.run``: what a run that writes a model to ``OUTPUT`` needs until it is finished.

    Attributes:
        output: The model directory.
    """

    output: Path

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.output.with_name(f"{self.output.name}.run")

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / CHECKPOINTS

    def lock(self) -> RunLock:
        """Make the folder, and keep the runs of other processes out of it.

        Raises:
            ConfigError: Another process is using it.
        """
        try:
            return run_lock(self.path)
        except BlockingIOError:
            raise ConfigError(
                f"{self.output}: another run is under way that writes it; wait for its end, or "
                "give another output"
            ) from None

    def check_unused(self) -> None:
        """Refuse to begin a run where an interrupted one would be lost.

        Raises:
            ConfigError: There is a checkpoint, or another process is using the folder.
        """
        if any(self.checkpoints.glob("step-*")):
            self.lock()
            raise ConfigError(
                f"{self.path} holds an interrupted run; continue it with --resume, or discard it "
                "with --overwrite"
            )

    def clear(self) -> list[str]:
        """Remove what is left of an interrupted run, and return what to say of it.

        Raises:
            ConfigError: Something else lies there too.
        """
        remove_stale(self.path)
        if strange := {path.name for path in self.path.iterdir()} - {CHECKPOINTS, HISTORY}:
            raise ConfigError(
                f"{self.path}: holds {min(strange)}, which does not belong to an interrupted run "
                "and would be removed; move it, or give another output"
            )
        lost = any(self.checkpoints.glob("step-*"))
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)
        (self.path / HISTORY).unlink(missing_ok=True)
        return [f"removed the interrupted run in {self.path}"] if lost else []

    def recover(self) -> None:
        """Put in order what a killed run left."""
        recover(self.output)
        remove_stale(self.checkpoints)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest whole checkpoint, and why newer ones were passed over."""
        checkpoint, remarks = checkpointing.newest(self.checkpoints)
        if checkpoint is None:
            remarks.append(f"no checkpoint in {self.checkpoints}: training from the beginning")
        return checkpoint, remarks

    def write(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a step.

        Raises:
            OSError: It cannot be written; those before it are untouched.
        """
        checkpointing.write(self.checkpoints, step, checkpoint)

    def log(self, epochs: Sequence[Epoch]) -> None:
        """Write down the epochs done."""
        write_text(self.path / HISTORY, history(epochs, timed=True))

    def remove(self) -> None:
        """Remove the folder of a run that is finished."""
        shutil.rmtree(self.path, ignore_errors=True)


def check_place(output: str | None, *, resume: bool, init_from: Path | str | None) -> None:
    """Refuse what would be found out, or lost, only when the run is under way.

    Raises:
        ConfigError: There is nothing to resume beside, or a model would be trained into the place
            of the one it starts from.
        FileExistsError: The output is there already, and is not a model.
    """
    if output is None:
        if resume:
            raise ConfigError("to resume needs an output, beside which the checkpoints lie")
        return
    check_replaceable(Path(output), holds=DESCRIPTION)
    if init_from is not None and Path(output).resolve() == Path(init_from).resolve():
        raise ConfigError(f"output and --init-from are both {output}; give another output")


def check_same(checkpoint: Checkpoint, now: Mapping[str, Any]) -> None:
    """Refuse to continue another run than the one a checkpoint is of.

    Args:
        checkpoint: The checkpoint.
        now: The settings and circumstances of the run that would continue it.

    Raises:
        ConfigError: Something was different; the message names the first such thing.
    """
    check_settings(checkpoint.state["settings"], now["settings"])
    for name, value in now.items():
        if name != "settings" and checkpoint.state[name] != value:
            raise ConfigError(
                f"--resume: the {name} are not those of the checkpoint "
                f"({checkpoint.state[name]!s:.12}, now {value!s:.12}); train without --resume, or "
                "with what was used before"
            )


def check_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with a run whose settings were others.

    Raises:
        ConfigError: They were; the message names the first.
    """
    old, new = flat(before), flat(json.loads(json.dumps(now)))
    for name in sorted(set(old) | set(new)):
        left_open = name in CHOSEN and new.get(name) is None
        if old.get(name) != new.get(name) and name != "output" and not left_open:
            raise ConfigError(
                f"--resume: {name} was {old.get(name)!r} in the run so far, it is "
                f"{new.get(name)!r}; train without --resume, or with the settings used before"
            )


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= (
            flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
        )
    return found
