"""What a run begins with: a fresh network, or a trained one whose labels are matched by name."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ner.config import ConfigError
from ner.ensemble import build
from ner.network import Network
from ner.options import instantiate
from ner.training.corpora import Corpora
from ner.training.rehearsal import Rehearsal, opened
from ner.training.settings import RunSettings
from ner.training.transfer import start_from


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """A network that is ready to be trained.

    Attributes:
        network: The network, on the device it is trained on.
        corpora: The sentences, as they are trained on.
        rehearsal: What keeps the network from forgetting, where that is wanted.
        remarks: What the user should know of how it was made.
    """

    network: Network
    corpora: Corpora
    rehearsal: Rehearsal | None
    remarks: tuple[str, ...]


def begin_with(
    settings: RunSettings, corpora: Corpora, init_from: Path | str | None, device: torch.device
) -> Beginning:
    """Make the network of a run.

    Args:
        settings: The run's.
        corpora: Its sentences.
        init_from: The directory of a model to start from, with all but its labels.
        device: Where to train.

    Raises:
        ConfigError: A setting of the network cannot be used, or there is nothing to rehearse.
        ModelError: The model to start from cannot be used.
    """
    weight = settings.training.rehearsal
    if init_from is not None:
        return _from_model(init_from, corpora, weight, device)
    if weight > 0.0:
        raise ConfigError("training.rehearsal needs a model to start from: --init-from")
    network = instantiate(build, settings.model, corpora.train, of="model")
    remarks = [
        remark for part in network.embeddings.values() for remark in getattr(part, "remarks", ())
    ]
    return Beginning(network.to(device), corpora, None, tuple(remarks))


def _from_model(
    path: Path | str, corpora: Corpora, weight: float, device: torch.device
) -> Beginning:
    """A network that begins as a trained one, which it rehearses with this weight."""
    transfer = start_from(path, corpora.train, keep=weight > 0.0)
    network, remarks = transfer.network.to(device), tuple(transfer.lines())
    if weight == 0.0:
        return Beginning(network, corpora, None, remarks)
    corpora = replace(corpora, train=opened(corpora.train))
    rehearsal = Rehearsal(transfer.old.to(device), network, weight)
    return Beginning(network, corpora, rehearsal, remarks)


def prepare_torch(device: torch.device, threads: int | None, *, deterministic: bool) -> None:
    """What a run asks of torch as a whole, hence of its process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants to be told
        torch.use_deterministic_algorithms(True)
