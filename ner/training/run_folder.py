"""The folder of an unfinished run: who may write it, its checkpoints, and what may continue it.

``OUTPUT.run/checkpoints/step-N/`` holds ``tensors.safetensors`` and ``state.json``; the latter has
the SHA-256 of the former and its own. A checkpoint is written beside, flushed and renamed, and the
one before it is kept until it is whole, so that a crash at any moment leaves one that can be used.
No pickle.
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
KEPT = 2  # the newest, and the one before it should the newest be damaged
STATE, TENSORS = "state.json", "tensors.safetensors"
_NAME = re.compile(r"step-(\d+)")
CHOSEN = ("training.epochs", "training.batch_size")  # by a run, where its settings are null
CHECKPOINTS, HISTORY = "checkpoints", "metrics.jsonl"  # what lies in the folder of a run


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run at one moment.

    Attributes:
        state: What JSON holds of it.
        tensors: The rest, by name.
    """

    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``NAME.``, without it."""
        start = f"{name}."
        return {
            key.removeprefix(start): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(start)
        }


class DamagedError(ValueError):
    """A checkpoint that cannot be used; the message says why."""


def write_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, then remove those that are no longer needed.

    Raises:
        OSError: It cannot be written; those before it are untouched.
    """
    path = folder / f"step-{step}"
    if path.is_dir() and not (path / STATE).is_file():
        shutil.rmtree(path)  # damaged: the run went on from the one before, and is here again
    with atomic_directory(path, holds=STATE) as fresh:
        tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
        save_tensors(tensors, fresh / TENSORS)
        state = {"format": FORMAT, **checkpoint.state, "tensors": sha256(fresh / TENSORS)}
        text = json.dumps({**state, "checksum": _checksum(state)}, ensure_ascii=False)
        (fresh / STATE).write_text(text + "\n", encoding="utf-8", newline="\n")
    for _, old in sorted(_numbered(folder), reverse=True)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and why newer ones were passed over."""
    remarks: list[str] = []
    for _, path in sorted(_numbered(folder), reverse=True):
        try:
            return read_checkpoint(path), remarks
        except DamagedError as error:
            remarks.append(f"{path}: {error}; using the checkpoint before it")
    return None, remarks


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DamagedError: A file is missing or is not the file that was written.
        ConfigError: Another version of this toolkit wrote it.
    """
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise DamagedError(f"damaged ({STATE} is not a JSON object)")
        found = state.pop("checksum")
        if found != _checksum(state):
            raise DamagedError(f"damaged ({STATE} does not fit its checksum)")
        if state["format"] != FORMAT:
            raise ConfigError(
                f"{path}: written by another version of ner (format {state['format']}, this one "
                f"reads {FORMAT}); resume with that version, or begin anew with --overwrite"
            )
        if sha256(path / TENSORS) != state["tensors"]:
            raise DamagedError(f"damaged ({TENSORS} does not fit its checksum)")
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
        """The folder of the checkpoints."""
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
        checkpoint, remarks = newest_checkpoint(self.checkpoints)
        if checkpoint is None:
            remarks.append(f"no checkpoint in {self.checkpoints}: training from the beginning")
        return checkpoint, remarks

    def write(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a step.

        Raises:
            OSError: It cannot be written; those before it are untouched.
        """
        write_checkpoint(self.checkpoints, step, checkpoint)

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
        FileExistsError: The output already exists and is not a model.
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
