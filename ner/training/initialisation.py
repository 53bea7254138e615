"""What a run begins with: a fresh network, or a trained one whose labels are matched by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ner import model_directory
from ner.config import ConfigError
from ner.ensemble import build, from_settings
from ner.options import instantiate
from ner.scorer import Scorer
from ner.sentence import Sentence
from ner.tagger import load
from ner.training.corpora import Corpora
from ner.training.distillation import Distillation, as_partial_annotation
from ner.training.settings import RunSettings


@dataclass(frozen=True, slots=True, eq=False)
class Initialisation:
    """A network that is ready to be trained.

    Attributes:
        network: The network, on the device it is trained on.
        corpora: The sentences, as they are trained on.
        distillation: What keeps the network from forgetting, where that is wanted.
        remarks: What the user should know of how it was made.
    """

    network: Scorer
    corpora: Corpora
    distillation: Distillation | None
    remarks: tuple[str, ...]


def initialise(
    settings: RunSettings, corpora: Corpora, init_from: Path | str | None, device: torch.device
) -> Initialisation:
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
        remark
        for part in network.named_embeddings().values()
        for remark in getattr(part, "remarks", ())
    ]
    return Initialisation(network.to(device), corpora, None, tuple(remarks))


def _from_model(
    path: Path | str, corpora: Corpora, weight: float, device: torch.device
) -> Initialisation:
    """A network that begins as a trained one, which it rehearses with this weight."""
    transfer = start_from(path, corpora.train, keep=weight > 0.0)
    network, remarks = transfer.network.to(device), tuple(transfer.lines())
    if weight == 0.0:
        return Initialisation(network, corpora, None, remarks)
    corpora = replace(corpora, train=as_partial_annotation(corpora.train))
    distillation = Distillation(transfer.old.to(device), network, weight)
    return Initialisation(network, corpora, distillation, remarks)


def prepare_torch(device: torch.device, threads: int | None, *, deterministic: bool) -> None:
    """What a run asks of torch as a whole, hence of its process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants to be told
        torch.use_deterministic_algorithms(True)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Which labels a network shares with the model it starts from.

    Attributes:
        old: The model's network.
        network: The network: the model's embeddings, vocabularies and encoder to the bit, and of
            the projection and the CRF what belongs to the tags of kept labels; the weights of new
            tags are fresh.
        kept: Labels of both; where all are to be kept, all of the model.
        new: Labels of the training sentences alone.
        dropped: Labels of the model alone; the network no longer finds them.
    """

    old: Scorer
    network: Scorer
    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]

    def lines(self) -> list[str]:
        """What there is to say of the labels."""
        named = (("kept", self.kept), ("new", self.new), ("dropped", self.dropped))
        return [f"labels {what}: {', '.join(labels) or 'none'}" for what, labels in named]


def start_from(model: Path | str, sentences: Sequence[Sentence], *, keep: bool = False) -> Transfer:
    """A network for training sentences that starts from the weights of a model.

    Args:
        model: Its directory.
        sentences: Those it will be trained on.
        keep: Whether labels of the model that the sentences do not have are kept.

    Raises:
        ModelError: The model cannot be read.
        ValueError: No sentence has an entity.
    """
    old = load(model).network
    found = {span.label for sentence in sentences for span in sentence.spans or ()}
    if not found:
        raise ValueError("no training sentence has an entity")
    labels = sorted(found.union(old.labels) if keep else found)
    network = from_settings({**old.settings(), "labels": labels})
    network.adopt(old)
    return Transfer(
        old,
        network,
        kept=tuple(label for label in labels if label in old.labels),
        new=tuple(label for label in labels if label not in old.labels),
        dropped=tuple(label for label in old.labels if label not in labels),
    )


def model_digest(model: Path | str | None) -> str:
    """What tells a model from any other; empty for none."""
    if model is None:
        return ""
    description = model_directory.read_json(Path(model) / model_directory.DESCRIPTION)
    return str(description.get("checksum")) if isinstance(description, dict) else ""
