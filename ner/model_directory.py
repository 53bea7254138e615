"""The directory of a model: written as a whole, checked before anything in it is used.

It holds ``tagger.json`` (the format's version, what the network is made of, the SHA-256 of every
other file), ``weights.safetensors``, ``config.yaml``, ``metrics.json`` and ``README.md``. Nothing
in it is code, nothing is unpickled, and no name in it leads outside. Sizes are compared with the
file of weights before memory is taken for them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ner.errors import ModelError as ModelError
from ner.network import from_settings, plan
from ner.scorer import Scorer
from ner.storage.atomic import atomic_directory
from ner.storage.manifest import Manifest
from ner.storage.manifest import checksum as checksum
from ner.storage.manifest import read_json as read_json

FORMAT = 1  # of the model directory
DESCRIPTION, WEIGHTS = "tagger.json", "weights.safetensors"
MANIFEST = Manifest(DESCRIPTION, FORMAT, frozenset({"network"}), frozenset({WEIGHTS}))
NAMES = 1000  # of settings; each part, column, list and feature has some
TENSORS = 5000  # a hundred members have fewer


def write(
    path: Path, network: Scorer, *, texts: Mapping[str, str], more: Mapping[str, Any]
) -> None:
    """Write a model directory, which is whole or not there at all.

    Args:
        path: Where.
        network: Its weights and what it is made of.
        texts: Other files by name, with what they hold.
        more: What else the description says.

    Raises:
        ModelError: The weights are not finite, or the settings too large to be read again.
        OSError: It cannot be written; what was there is untouched.
    """
    _check_finite(network, str(path))
    if _names(network.settings()) > NAMES:
        raise ModelError(f"{path}: its settings have more than {NAMES} names")
    with atomic_directory(path, holds=DESCRIPTION) as folder:
        weights = network.state_dict()
        save_tensors({name: w.contiguous().cpu() for name, w in weights.items()}, folder / WEIGHTS)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        MANIFEST.write(folder, {**more, "network": network.settings()})


def read(path: Path) -> tuple[Scorer, dict[str, Any]]:
    """The network of a model directory, in evaluation mode, and its description.

    Raises:
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    description = MANIFEST.describe(path)
    settings = description["network"]
    with _told_of(path):
        if _names(settings) > NAMES:
            raise ValueError(f"its settings have more than {NAMES} names")
        if _labels(settings) ** 2 > (path / WEIGHTS).stat().st_size:
            raise ValueError("it has more labels than its weights have transitions")
        _compare(plan(settings), path / WEIGHTS)
    MANIFEST.verify(path, description)  # only now, for large files take their time
    with _told_of(path):
        network = from_settings(settings)
        network.load_state_dict(load_file(path / WEIGHTS))
    _check_finite(network, str(path))
    return network.eval(), description


def text(path: Path, description: Mapping[str, Any], name: str) -> str:
    """The text of another file of a model directory, which is the one that was written.

    Raises:
        ModelError: It is not, or there is none.
    """
    return MANIFEST.text(path, description, name)


def save_tensors(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write tensors as safetensors does, whose errors are not those of other files.

    Raises:
        OSError: The file cannot be written.
    """
    file.touch()
    mode = file.stat().st_mode  # the usual one; safetensors gives files to their owner alone
    try:
        save_file(dict(tensors), file)
        file.chmod(stat.S_IMODE(mode))
    except SafetensorError as error:
        told = _SYSTEM.search(str(error))
        number = int(told[1]) if told else errno.EIO
        raise OSError(number, os.strerror(number) if told else str(error), str(file)) from error


_SYSTEM = re.compile(r"\(os error (\d+)\)")


@contextlib.contextmanager
def _told_of(folder: Path) -> Iterator[None]:
    """Make what goes wrong with settings and weights one line on the directory.

    Raises:
        ModelError: Something did.
    """
    try:
        yield
    except ModelError:
        raise
    except _UNUSABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{folder}: not a usable model: {reason[:500]}") from error


_UNUSABLE = (
    SafetensorError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
)


def _names(settings: Any) -> int:
    """Return the number of names in nested settings; each may stand for a module."""
    inner = settings.values() if isinstance(settings, dict) else ()
    return len(inner) + sum(map(_names, inner))


def _labels(settings: Mapping[str, Any]) -> int:
    """The most labels that a network or a member of it has."""
    members = settings.get("members")
    each = [settings, *(members if isinstance(members, list) else ())]
    return max(len(one.get("labels", ())) for one in each)


def _compare(wanted: Iterable[tuple[str, torch.Tensor]], weights: Path) -> None:
    """Check names, shapes and kinds of tensors against the file's header, before any is read."""
    try:
        opened = safe_open(weights, framework="pt")
    except SafetensorError as error:
        raise ModelError(
            f"{weights}: damaged ({error}); copy the model directory again, whole"
        ) from error
    with opened as file:
        held = set(file.keys())
        if len(held) > TENSORS:
            raise ModelError(f"{weights}: holds more than {TENSORS:,} tensors")
        for name, tensor in wanted:
            if name not in held:
                raise ModelError(f"{weights}: does not fit {DESCRIPTION}: there is no {name} in it")
            held.remove(name)
            there = file.get_slice(name)
            shape, kind = tuple(there.get_shape()), there.get_dtype()
            if shape != tuple(tensor.shape):
                raise ModelError(
                    f"{weights}: {name} has the shape {shape}, {DESCRIPTION} says "
                    f"{tuple(tensor.shape)}"
                )
            if kind != "F32":
                raise ModelError(f"{weights}: {name} is of the type {kind}, expected F32")
        if held:
            raise ModelError(f"{weights}: does not fit {DESCRIPTION}: it alone has {min(held)}")


def _check_finite(network: nn.Module, where: str) -> None:
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{where}: the weights {name} are not finite numbers")
