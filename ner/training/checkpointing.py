"""Checkpoints: all a run needs to go on as if nothing had happened.

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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ner.config import ConfigError
from ner.model_directory import save_tensors
from ner.storage.atomic import atomic_directory, sha256

FORMAT = 3
KEPT = 2  # the newest, and the one before it should the newest be damaged
STATE, TENSORS = "state.json", "tensors.safetensors"
_NAME = re.compile(r"step-(\d+)")


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


def write(folder: Path, step: int, checkpoint: Checkpoint) -> None:
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


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and why newer ones were passed over."""
    remarks: list[str] = []
    for _, path in sorted(_numbered(folder), reverse=True):
        try:
            return read(path), remarks
        except DamagedError as error:
            remarks.append(f"{path}: {error}; using the checkpoint before it")
    return None, remarks


def read(path: Path) -> Checkpoint:
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
