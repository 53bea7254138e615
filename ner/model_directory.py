"""The directory of a model: written as a whole, checked before anything in it is used.

It contains ``tagger.json`` (the format version, the parts of the network, the SHA-256 of every
other file), ``weights.safetensors``, ``config.yaml``, ``metrics.json`` and ``README.md``. Nothing
in it is code, nothing is unpickled, and no name in it leads outside. Sizes are compared with the
file of weights before memory is allocated for them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ner.errors import ModelError as ModelError
from ner.storage.atomic import atomic_directory
from ner.storage.manifest import Manifest, tensor_facts
from ner.storage.manifest import checksum as checksum
from ner.storage.manifest import read_json as read_json
from ner.stored import StoredNetwork, Weights, plan, shapes_of

if TYPE_CHECKING:
    import torch

    from ner.scorer import Scorer

FORMAT = 1  # of the model directory
DESCRIPTION, WEIGHTS = "tagger.json", "weights.safetensors"
MANIFEST = Manifest(DESCRIPTION, FORMAT, frozenset({"network"}), frozenset({WEIGHTS}))
NAMES = 1000  # the maximum number of names of settings
TENSORS = 5000  # a hundred members have fewer


def write(
    path: Path, network: Scorer, *, texts: Mapping[str, str], more: Mapping[str, Any]
) -> None:
    """Write a model directory, atomically.

    Args:
        path: The directory.
        network: The network.
        texts: The contents of other files by name.
        more: Further entries of the description.

    Raises:
        ModelError: The weights are not finite, or the settings too large to be read again.
        OSError: The directory cannot be written; its previous content is unchanged.
    """
    weights = {name: w.contiguous().cpu() for name, w in network.state_dict().items()}
    _check_finite({name: weight.numpy() for name, weight in weights.items()}, str(path))
    if _names(network.settings()) > NAMES:
        raise ModelError(f"{path}: more than {NAMES} settings")
    with atomic_directory(path, holds=DESCRIPTION) as folder:
        save_tensors(weights, folder / WEIGHTS)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        MANIFEST.write(folder, {**more, "network": network.settings()})


def read(path: Path) -> tuple[StoredNetwork | Scorer, dict[str, Any]]:
    """Return the network of a model directory, and its description.

    It is built by torch, in evaluation mode, only where numpy cannot compute it.

    Raises:
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    description = MANIFEST.describe(path)
    settings = description["network"]
    with _told_of(path):
        if _names(settings) > NAMES:
            raise ValueError(f"more than {NAMES} settings")
        if _labels(settings) ** 2 > (path / WEIGHTS).stat().st_size:
            raise ValueError("more labels than the weights have transitions")
        plans = plan(settings)
        shapes = _shapes(settings) if plans is None else shapes_of(settings, plans)
        _compare(shapes, path / WEIGHTS)
    MANIFEST.verify(path, description)  # last, since large files take long
    with _told_of(path):
        weights = _tensors(path / WEIGHTS)
        _check_finite(weights, str(path))
        if plans is None:
            return built(settings, weights), description
    return StoredNetwork(settings, weights, plans), description


def built(settings: Mapping[str, Any], weights: Weights) -> Scorer:
    """Return a network of torch with these weights, in evaluation mode."""
    import torch

    from ner.network import from_settings

    network = from_settings(settings)
    network.load_state_dict({name: torch.from_numpy(own) for name, own in weights.items()})
    return network.eval()


def _shapes(settings: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of each weight of a network, as torch would build it."""
    from ner.network import plan as plan_of_torch

    return ((name, tuple(tensor.shape)) for name, tensor in plan_of_torch(settings))


def text(path: Path, description: Mapping[str, Any], name: str) -> str:
    """Return the verified text of another file of a model directory.

    Raises:
        ModelError: The file is missing, or is not the one that was written.
    """
    return MANIFEST.text(path, description, name)


def save_tensors(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write tensors with safetensors, with the errors and permissions of ordinary files.

    Raises:
        OSError: The file cannot be written.
    """
    file.touch()
    mode = file.stat().st_mode  # the default; safetensors makes files private to their owner
    try:
        save_file(dict(tensors), file)
        file.chmod(stat.S_IMODE(mode))
    except SafetensorError as error:
        told = _SYSTEM.search(str(error))
        number = int(told[1]) if told else errno.EIO
        raise OSError(number, os.strerror(number) if told else str(error), str(file)) from error


def save_file(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Write tensors with safetensors."""
    from safetensors.torch import save_file as save

    save(tensors, file)


_SYSTEM = re.compile(r"\(os error (\d+)\)")


@contextlib.contextmanager
def _told_of(folder: Path) -> Iterator[None]:
    """Turn errors of settings and weights into one line about the directory.

    Raises:
        ModelError: There was an error.
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
    """Return the number of names in nested settings; each may create a module."""
    inner = settings.values() if isinstance(settings, dict) else ()
    return len(inner) + sum(map(_names, inner))


def _labels(settings: Mapping[str, Any]) -> int:
    """Return the largest number of labels of a network or its members."""
    members = settings.get("members")
    each = [settings, *(members if isinstance(members, list) else ())]
    return max(len(one.get("labels", ())) for one in each)


def _compare(wanted: Iterable[tuple[str, tuple[int, ...]]], weights: Path) -> None:
    """Check names, shapes and types of tensors against the header, before any is read."""
    try:
        opened = safe_open(weights, framework="numpy")
    except SafetensorError as error:
        raise ModelError(
            f"{weights}: damaged ({error}); copy the whole model directory again"
        ) from error
    with opened as file:
        held = set(file.keys())
        if len(held) > TENSORS:
            raise ModelError(f"{weights}: more than {TENSORS:,} tensors")
        for name, expected in wanted:
            if name not in held:
                raise ModelError(f"{weights}: does not match {DESCRIPTION}: {name} is missing")
            held.remove(name)
            there = file.get_slice(name)
            shape, kind = tuple(there.get_shape()), there.get_dtype()
            if shape != expected:
                raise ModelError(
                    f"{weights}: {name} has shape {shape}, expected {expected} by {DESCRIPTION}"
                )
            if kind != "F32":
                raise ModelError(f"{weights}: {name} has type {kind}, expected F32")
        if held:
            raise ModelError(f"{weights}: does not match {DESCRIPTION}: unexpected {min(held)}")


def _tensors(file: Path) -> Weights:
    """Read the tensors of a file whose header `_compare` has checked.

    They are parts of one array: safetensors copies each several times, which takes four times as
    long.
    """
    with file.open("rb") as opened:
        facts = tensor_facts(opened)
        values = np.fromfile(opened, "<f4")
    bounds = {name: one["data_offsets"] for name, one in facts.items()}
    return {
        name: values[first // 4 : last // 4].reshape(facts[name]["shape"])
        for name, (first, last) in bounds.items()
    }


def _check_finite(weights: Weights, where: str) -> None:
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise ModelError(f"{where}: the weights {name} are not finite")
