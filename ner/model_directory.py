"""The directory of a model: written as a whole, checked before anything in it is used.

It holds ``tagger.json`` (the format's version, what the network is made of, the SHA-256 of every
other file), ``weights.safetensors``, ``config.yaml``, ``metrics.json`` and ``README.md``. Nothing
in it is code, nothing is unpickled, and no name in it leads outside. Sizes are compared with the
file of weights before memory is taken for them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ner.ensemble import from_settings
from ner.errors import ModelError as ModelError
from ner.network import Network
from ner.storage import recover, replacing_directory, sha256

FORMAT = 1  # of the model directory
DESCRIPTION, WEIGHTS = "tagger.json", "weights.safetensors"
LARGEST = 1 << 28  # bytes of a description


def write(
    path: Path, network: Network, *, texts: Mapping[str, str], more: Mapping[str, Any]
) -> None:
    """Write a model directory, which is whole or not there at all.

    Args:
        path: Where.
        network: Its weights and what it is made of.
        texts: Other files by name, with what they hold.
        more: What else the description says.

    Raises:
        ModelError: The weights are not finite.
        OSError: It cannot be written; what was there is untouched.
    """
    _check_finite(network, str(path))
    with replacing_directory(path) as folder:
        weights = network.state_dict()
        save_tensors({name: w.contiguous().cpu() for name, w in weights.items()}, folder / WEIGHTS)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        description = {
            "format": FORMAT,
            **more,
            "network": network.settings(),
            "files": {file.name: {"sha256": sha256(file)} for file in sorted(folder.iterdir())},
        }
        description["checksum"] = checksum(description)
        text = json.dumps(description, ensure_ascii=False, indent=1, allow_nan=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8", newline="\n")


def read(path: Path) -> tuple[Network, dict[str, Any]]:
    """The network of a model directory, in evaluation mode, and its description.

    Raises:
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    recover(path)
    if not path.is_dir():
        kind = "a file" if path.exists() else "missing"
        raise ModelError(f"{path}: expected a model directory, it is {kind}")
    description = _read_description(path)
    return _read_network(path, description["network"]).eval(), description


def save_tensors(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write tensors as safetensors does, whose errors are not those of other files.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        save_file(dict(tensors), file)
    except SafetensorError as error:
        told = _SYSTEM.search(str(error))
        number = int(told[1]) if told else errno.EIO
        raise OSError(number, os.strerror(number) if told else str(error), str(file)) from error


_SYSTEM = re.compile(r"\(os error (\d+)\)")


def checksum(description: Mapping[str, Any]) -> str:
    """The SHA-256 of what a description says, its own checksum aside, however it is laid out."""
    said = {name: value for name, value in description.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_json(file: Path) -> Any:
    """The content of a JSON file of a model.

    Raises:
        ModelError: It is missing, too large, or not JSON.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise ModelError(f"{file}: larger than any model's")
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file}: missing; is {file.parent} a model directory?") from None
    except ModelError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: not JSON ({error})") from None


def _read_description(folder: Path) -> dict[str, Any]:
    file = folder / DESCRIPTION
    description = read_json(file)
    version = description.get("format") if isinstance(description, dict) else None
    if type(version) is not int or version < 1:
        raise ModelError(f"{file}: describes no tagger")
    if version > FORMAT:
        raise ModelError(
            f"{folder}: written by a newer version of ner (format {version}, this one reads up to "
            f"{FORMAT}); upgrade with `pip install -U ner-crf`"
        )
    if description.get("checksum") != checksum(description):
        raise ModelError(
            f"{file}: damaged (it does not fit its checksum); copy the model directory again, whole"
        )
    files = description.get("files")
    if not isinstance(files, dict) or WEIGHTS not in files or "network" not in description:
        raise ModelError(f"{file}: describes no tagger")
    for name, facts in files.items():
        if Path(name).name != name:
            raise ModelError(f"{file}: {name!r} is no name of a file beside it")
        _verify(folder / name, facts)
    return dict(description)


def _verify(file: Path, facts: Any) -> None:
    if file.is_symlink() or not file.is_file():
        raise ModelError(f"{file}: missing; copy the model directory again, whole")
    if not isinstance(facts, dict) or sha256(file) != facts.get("sha256"):
        raise ModelError(
            f"{file}: not the file the model was saved with (its SHA-256 differs); "
            "copy the model directory again, whole"
        )


def _read_network(folder: Path, settings: Any) -> Network:
    """The network, built only when the file of weights is known to hold just its tensors."""
    try:
        with torch.device("meta"):  # takes no memory, whatever the settings say
            plan = from_settings(settings).state_dict()
        _compare(plan, folder / WEIGHTS)
        network = from_settings(settings)
        network.load_state_dict(load_file(folder / WEIGHTS))
    except ModelError:
        raise
    except _UNUSABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{folder}: not a usable model: {reason}") from error
    _check_finite(network, str(folder))
    return network


_UNUSABLE = (
    SafetensorError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
)


def _compare(plan: Mapping[str, torch.Tensor], weights: Path) -> None:
    """Check names, shapes and kinds of tensors against the file's header, before any is read."""
    with safe_open(weights, framework="pt") as file:
        held = set(file.keys())
        if held != set(plan):
            odd = min(held ^ set(plan))
            raise ModelError(f"{weights}: does not fit {DESCRIPTION}: only one of them has {odd}")
        for name, tensor in plan.items():
            shape = tuple(file.get_slice(name).get_shape())
            if shape != tuple(tensor.shape):
                raise ModelError(
                    f"{weights}: {name} has the shape {shape}, {DESCRIPTION} says "
                    f"{tuple(tensor.shape)}"
                )


def _check_finite(network: nn.Module, where: str) -> None:
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{where}: the weights {name} are not finite numbers")
