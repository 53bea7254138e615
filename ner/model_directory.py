"""The directory of a model: written as a whole, checked before anything in it is used.

It holds ``tagger.json`` (the format's version, what the network is made of, the SHA-256 of every
other file), ``weights.safetensors``, ``config.yaml``, ``metrics.json`` and ``README.md``. Nothing
in it is code, nothing is unpickled, and no name in it leads outside. Sizes are compared with the
file of weights before memory is taken for them.
"""

from __future__ import annotations

import errno
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
from ner.manifest import Manifest, is_exported
from ner.manifest import checksum as checksum
from ner.manifest import read_json as read_json
from ner.network import Network
from ner.storage import replacing_directory

FORMAT = 1  # of the model directory
DESCRIPTION, WEIGHTS = "tagger.json", "weights.safetensors"
MANIFEST = Manifest(DESCRIPTION, FORMAT, frozenset({"network"}), frozenset({WEIGHTS}))


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
        MANIFEST.write(folder, {**more, "network": network.settings()})


def read(path: Path) -> tuple[Network, dict[str, Any]]:
    """The network of a model directory, in evaluation mode, and its description.

    Raises:
        ModelError: The directory is missing, damaged, hostile, or of a newer version of ner.
    """
    if is_exported(path):
        raise ModelError(
            f"{path}: an exported model; use `ner.runtime.load` or `ner tag`, "
            "or the model it was exported from"
        )
    description = MANIFEST.read(path)
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
