"""The folder of an unfinished run: its lock, its checkpoints, and the checks for resuming it.

``OUTPUT.run/checkpoints/step-N/`` contains ``tensors.safetensors`` and ``state.json``, which has
the SHA-256 of both. A checkpoint is written to a temporary directory, flushed and renamed, and the
previous one is kept until it is complete, so that a crash at any moment leaves a usable one. No
pickle.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ner.config import ConfigError
from ner.model_directory import DESCRIPTION, save_tensors
from ner.storage.atomic import (
    atomic_directory,
    check_replaceable,
    recover,
    remove_stale,
    sha256,
    write_text,
)
from ner.storage.locks import RunLock, run_lock
from ner.training.results import Epoch, history

FORMAT = 3
KEPT = 2  # the newest, and the one before it in case the newest is damaged
STATE, TENSORS = "state.json", "tensors.safetensors"
_NAME = re.compile(r"step-(\d+)")
FREE = ("output", "data.on_disk")  # may differ: they do not change the result
CHOSEN = ("training.epochs", "training.batch_size")  # by the run, if they are null
CHECKPOINTS, HISTORY = "checkpoints", "metrics.jsonl"  # the contents of the folder, with
TRACKED = "trackers.json"  # the ids of the run in trackers of experiments


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run at one moment.

    Attributes:
        state: The state as JSON values.
        tensors: The tensors by name.
    """

    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with ``NAME.``, without the prefix."""
        start = f"{name}."
        return {
            key.removeprefix(start): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(start)
        }


class DamagedError(ValueError):
    """A damaged checkpoint; the message says how."""


def write_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, then remove those that are no longer needed.

    Raises:
        OSError: It cannot be written; previous ones are unchanged.
    """
    path = folder / f"step-{step}"
    if path.is_dir() and not (path / STATE).is_file():
        shutil.rmtree(path)  # damaged: the run has continued from the previous one
    with atomic_directory(path, holds=STATE) as fresh:
        tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
        save_tensors(tensors, fresh / TENSORS)
        state = {"format": FORMAT, **checkpoint.state, "tensors": sha256(fresh / TENSORS)}
        text = json.dumps({**state, "checksum": _checksum(state)}, ensure_ascii=False)
        (fresh / STATE).write_text(text + "\n", encoding="utf-8", newline="\n")
    for _, old in sorted(_numbered(folder), reverse=True)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest intact checkpoint, and remarks on damaged ones."""
    remarks: list[str] = []
    for _, path in sorted(_numbered(folder), reverse=True):
        try:
            return read_checkpoint(path), remarks
        except DamagedError as error:
            remarks.append(f"{path}: {error}; using the previous checkpoint")
    return None, remarks


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DamagedError: A file is missing or was changed.
        ConfigError: It was written by another version of ner.
    """
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise DamagedError(f"damaged ({STATE} is not a JSON object)")
        found = state.pop("checksum")
        if found != _checksum(state):
            raise DamagedError(f"damaged ({STATE} does not match its checksum)")
        if state["format"] != FORMAT:
            raise ConfigError(
                f"{path} was written by another version of ner (format {state['format']}, expected "
                f"{FORMAT}); resume with that version, or start again with --overwrite"
            )
        if sha256(path / TENSORS) != state["tensors"]:
            raise DamagedError(f"damaged ({TENSORS} does not match its checksum)")
        return Checkpoint(state, load_file(path / TENSORS))
    except (DamagedError, ConfigError):
        raise
    except (OSError, ValueError, LookupError, RecursionError, SafetensorError) as error:
        raise DamagedError(f"damaged ({type(error).__name__}: {error})") from error


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    found = [(_NAME.fullmatch(path.name), path) for path in folder.glob("step-*")]
    return [(int(match[1]), path) for match, path in found if match]


def _checksum(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def interrupted_run(path: Path) -> ConfigError:
    """Return the error about a folder whose run a new one would discard."""
    return ConfigError(
        f"{path} contains an interrupted run; continue it with --resume, or discard it with "
        "--overwrite"
    )


def prepare(folder: Path, progress: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder of a run; empty it unless the run in it is to be continued.

    Args:
        folder: The folder.
        progress: A file that exists as soon as there is something to continue.
        resume: Continue it.
        overwrite: Discard it.

    Raises:
        ConfigError: It holds an interrupted run, which is neither to be continued nor discarded.
    """
    if not resume:
        if progress.exists() and not overwrite:
            raise interrupted_run(folder)
        for path in folder.iterdir() if folder.exists() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder ``OUTPUT.run`` of a run that writes a model to ``OUTPUT``, until it is finished.

    Attributes:
        output: The model directory.
    """

    output: Path

    @property
    def path(self) -> Path:
        """The path of the folder."""
        return self.output.with_name(f"{self.output.name}.run")

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINTS

    def lock(self) -> RunLock:
        """Create the folder, and lock it against other processes.

        Raises:
            ConfigError: Another process is using it.
        """
        try:
            return run_lock(self.path)
        except BlockingIOError:
            raise ConfigError(
                f"another run is writing {self.output}; wait for its end, or use another output"
            ) from None

    def check_unused(self) -> None:
        """Refuse to start a run that would discard an interrupted one.

        Raises:
            ConfigError: There is a checkpoint, or another process is using the folder.
        """
        if any(self.checkpoints.glob("step-*")):
            self.lock()
            raise interrupted_run(self.path)

    def clear(self) -> list[str]:
        """Remove an interrupted run, and return a remark if there was one.

        Raises:
            ConfigError: The folder contains other files.
        """
        remove_stale(self.path)
        if strange := {path.name for path in self.path.iterdir()} - {CHECKPOINTS, HISTORY, TRACKED}:
            raise ConfigError(
                f"{self.path} contains {min(strange)}, which does not belong to a run and would be "
                "removed; move it, or use another output"
            )
        lost = any(self.checkpoints.glob("step-*"))
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)
        for name in (HISTORY, TRACKED):
            (self.path / name).unlink(missing_ok=True)
        return [f"removed the interrupted run in {self.path}"] if lost else []

    def recover(self) -> None:
        """Clean up after a run that was killed."""
        recover(self.output)
        remove_stale(self.checkpoints)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest intact checkpoint, and remarks on damaged ones."""
        checkpoint, remarks = newest_checkpoint(self.checkpoints)
        if checkpoint is None:
            remarks.append(f"no checkpoint in {self.checkpoints}: training from the beginning")
        return checkpoint, remarks

    def write(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a step.

        Raises:
            OSError: It cannot be written; previous ones are unchanged.
        """
        write_checkpoint(self.checkpoints, step, checkpoint)

    def log(self, epochs: Sequence[Epoch]) -> None:
        """Write the finished epochs."""
        write_text(self.path / HISTORY, history(epochs, timed=True))

    def remove(self) -> None:
        """Remove the folder of a run that is finished."""
        shutil.rmtree(self.path, ignore_errors=True)


def check_place(output: str | None, *, resume: bool, init_from: Path | str | None) -> None:
    """Check the output before the run starts.

    Raises:
        ConfigError: A run to resume has no output, or the output is the model to start from.
        FileExistsError: The output already exists and is not a model.
    """
    if output is None:
        if resume:
            raise ConfigError("--resume needs an output, whose checkpoints it reads")
        return
    check_replaceable(Path(output), holds=DESCRIPTION)
    if init_from is not None and Path(output).resolve() == Path(init_from).resolve():
        raise ConfigError(f"output and --init-from are both {output}; use another output")


def check_same(checkpoint: Checkpoint, now: Mapping[str, Any]) -> None:
    """Check that a checkpoint belongs to the run that would continue it.

    Args:
        checkpoint: The checkpoint.
        now: The settings and circumstances of the run.

    Raises:
        ConfigError: Something differs; the message names the first difference.
    """
    check_settings(checkpoint.state["settings"], now["settings"])
    for name, value in now.items():
        before = checkpoint.state.get(name)
        if name != "settings" and before != value:
            raise ConfigError(
                f"--resume: {name} differ from the checkpoint ({before!s:.12}, now "
                f"{value!s:.12}); train without --resume, or restore what was used before"
            )


def check_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a run has the same settings as before.

    Raises:
        ConfigError: A setting differs; the message names the first.
    """
    old, new = flat(before), flat(json.loads(json.dumps(now)))
    for name in sorted(set(old) | set(new)):
        left_open = name in CHOSEN and new.get(name) is None
        if old.get(name) != new.get(name) and name not in FREE and not left_open:
            raise ConfigError(
                f"--resume: {name} was {old.get(name)!r} before, now {new.get(name)!r}; train "
                "without --resume, or with the previous settings"
            )


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= (
            flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
        )
    return found
