"""Initialise a run: a new network, or a trained one whose labels are matched by name.

Against forgetting, a trained network rehearses its old labels while it learns new ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ner import model_directory
from ner.batch import Batch
from ner.config import ConfigError
from ner.evaluation import Score, evaluate
from ner.inference.decoding import Decoding
from ner.network import automatic_members, build, from_settings
from ner.options import instantiate
from ner.schemes import OUTSIDE
from ner.scorer import Scorer
from ner.sentence import Sentence
from ner.tagger import Tagger, load
from ner.training.corpora import Corpora, Sentences, like
from ner.training.settings import RunSettings, TrainingSettings

_LEAST = 1e-12  # below any probability with a noticeable gradient


class Distillation:
    """The old model's marginals as soft targets of the new one (Li and Hoiem 2017 for images).

    Where the new sentences are annotated with O, the distribution of the new model over the old
    tags should equal that of the old one, with the tags of new labels counted as O.

    Args:
        old: The network to start from, which is not changed.
        new: The network to train, with all labels of the old one and more.
        weight: The weight of this loss, relative to that of the annotation.
    """

    def __init__(self, old: Scorer, new: Scorer, weight: float) -> None:
        self.old = old.eval().requires_grad_(False)
        self.new = new
        self.weight = weight
        self._outside = new.tags.index(OUTSIDE)
        known = [tag if tag in old.tags else OUTSIDE for tag in new.tags]
        places = torch.tensor([old.tags.index(tag) for tag in known])
        device = next(new.parameters()).device
        self._onto = torch.nn.functional.one_hot(places, len(old.tags)).float().to(device)

    def loss(self, batch: Batch) -> Tensor:
        """Return the weighted cross-entropy of the new marginals: sums, averaged over sentences."""
        wanted = self.old(batch).marginals().float()  # (batch, length, old tags), 0 at padding
        found = self.new(batch).marginals().float() @ self._onto
        entropies = -(wanted * found.clamp_min(_LEAST).log()).sum(2)
        free = torch.ones_like(entropies) if batch.tags is None else batch.tags == self._outside
        loss: Tensor = (entropies * free).sum() * (self.weight / len(batch.lengths))
        return loss


def as_partial_annotation(sentences: Sentences) -> Sentences:
    """Return sentences whose O no longer excludes entities of old labels.

    Sentences that do not declare their labels now declare those of all sentences.
    """
    labels = frozenset(span.label for sentence in sentences for span in sentence.spans or ())

    def partial(sentence: Sentence) -> Sentence:
        return replace(sentence, labels=labels) if sentence.labels is None else sentence

    return like(sentences, (sentences, range(len(sentences)), partial))


def forgetting_report(
    old: Tagger, sentences: Sequence[Sentence], predicted: Iterable[Sequence[Any]]
) -> dict[str, Any] | None:
    """Return F1 on the labels of an old model before and after; ``None`` without such entities.

    Args:
        old: The old model.
        sentences: Annotated sentences.
        predicted: The predictions of the new model.
    """
    before = evaluate(sentences, old.predict(sentences)).labels
    after = evaluate(sentences, list(predicted)).labels
    labels = [label for label in old.network.labels if label in before and before[label].gold]
    if not labels:
        return None
    first, last = (
        sum((scores.get(label, Score()) for label in labels), Score()).f1
        for scores in (before, after)
    )
    return {"labels": labels, "before": first, "after": last, "drop": first - last}


class ForgettingError(ValueError):
    """A run lost more of the labels of the model it started from than it may."""


@dataclass(frozen=True, slots=True)
class Retention:
    """A limit on what may be lost of the labels of an old model.

    Attributes:
        labels: Those that the development sentences have.
        before: The F1 of the old model on them.
        most: The most that F1 may fall, in points.
    """

    labels: tuple[str, ...]
    before: float
    most: float

    @classmethod
    def of(cls, old: Tagger, development: Sequence[Sentence], most: float) -> Retention:
        """Score the old model.

        Raises:
            ConfigError: The development sentences have no entity of its labels.
        """
        scores = evaluate(development, old.predict(development)).labels if development else {}
        labels = tuple(one for one in old.labels if one in scores and scores[one].gold)
        if not labels:
            raise ConfigError(
                "training.max_drop needs development sentences with entities of the labels of the "
                "model to start from"
            )
        return cls(labels, cls(labels, 0.0, most)._f1(scores), most)

    def _f1(self, scores: Mapping[str, Score]) -> float:
        return 100.0 * sum((scores.get(one, Score()) for one in self.labels), Score()).f1

    def excess(self, scores: Mapping[str, Score]) -> str | None:
        """Say by how much too much F1 of the old labels has fallen; ``None`` where it has not."""
        drop = self.before - self._f1(scores)
        if drop <= self.most:
            return None
        return (
            f"not kept: F1 of the labels {', '.join(self.labels)} is {drop:.2f} below the "
            f"{self.before:.2f} of the model to start from (max_drop {self.most:g})"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Initialisation:
    """A network that is ready to be trained.

    Attributes:
        network: The network, on the training device.
        corpora: The sentences to train on.
        distillation: The loss against forgetting, if requested.
        remarks: Remarks for the user.
        retention: The limit on the loss of F1 on old labels, if there is one.
        decoding: That of the model to start from, until an epoch has chosen its own.
    """

    network: Scorer
    corpora: Corpora
    distillation: Distillation | None
    remarks: tuple[str, ...]
    retention: Retention | None = None
    decoding: Decoding | None = None


def with_members(settings: RunSettings, corpora: Corpora) -> tuple[RunSettings, list[str]]:
    """Return settings with the number that ``members: auto`` stands for, and what it costs."""
    if settings.model.get("members") != "auto":
        return settings, []
    count = automatic_members(corpora.train)
    remark = f"few training entities: {count} members, which take {count} times the time and memory"
    settings = replace(settings, model={**settings.model, "members": count})
    return settings, [remark] if count > 1 else []


def initialise(
    settings: RunSettings, corpora: Corpora, init_from: Path | str | None, device: torch.device
) -> Initialisation:
    """Create the network of a run.

    Args:
        settings: The settings of the run.
        corpora: Its sentences.
        init_from: The directory of a model to start from, whose labels may differ.
        device: The training device.

    Raises:
        ConfigError: A setting of the network is invalid, or there is nothing to rehearse.
        ModelError: The model to start from cannot be read.
    """
    if init_from is not None:
        return _from_model(init_from, corpora, settings.training, device)
    for name in ("rehearsal", "max_drop"):
        if getattr(settings.training, name):
            raise ConfigError(f"training.{name} needs a model to start from: --init-from")
    network = instantiate(build, settings.model, corpora.train, of="model")
    remarks = [
        remark
        for part in network.named_embeddings().values()
        for remark in getattr(part, "remarks", ())
    ]
    return Initialisation(network.to(device), corpora, None, tuple(remarks))


def _from_model(
    path: Path | str, corpora: Corpora, training: TrainingSettings, device: torch.device
) -> Initialisation:
    """Create a network from a trained one, with what keeps it from forgetting."""
    weight, most, retention, distillation = training.rehearsal, training.max_drop, None, None
    transfer = start_from(path, corpora.train, keep=weight > 0.0)
    network, remarks = transfer.network.to(device), tuple(transfer.lines())
    if most is not None:
        retention = Retention.of(load(path, device=str(device)), corpora.development, most)
    if weight > 0.0:
        corpora = replace(corpora, train=as_partial_annotation(corpora.train))
        distillation = Distillation(transfer.old.to(device), network, weight)
    return Initialisation(network, corpora, distillation, remarks, retention, transfer.decoding)


def prepare_torch(device: torch.device, threads: int | None, *, deterministic: bool) -> None:
    """Apply the settings of a run to torch in this process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if deterministic and device.type == "cuda":
        # cuBLAS is deterministic only with this setting
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A network that starts from a trained one.

    Attributes:
        old: The trained network.
        network: The new network: embeddings, vocabularies and encoder are those of the old one, and
            so are the weights of kept tags; new tags start
            improbable, see ``Scorer.adopt``.
        kept: The labels of both; with rehearsal, all labels of the old network.
        new: The labels that only the training sentences have.
        dropped: The labels that only the old network has.
        decoding: The decoding of the old model.
    """

    old: Scorer
    network: Scorer
    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]
    decoding: Decoding

    def lines(self) -> list[str]:
        """Return the remarks on the labels."""
        named = (("kept", self.kept), ("new", self.new), ("dropped", self.dropped))
        return [f"labels {what}: {', '.join(labels) or 'none'}" for what, labels in named]


def start_from(model: Path | str, sentences: Sequence[Sentence], *, keep: bool = False) -> Transfer:
    """Create a network for training sentences from the weights of a model.

    Args:
        model: The directory of the model.
        sentences: The training sentences.
        keep: Whether to keep labels of the model that the sentences lack.

    Raises:
        ModelError: The model cannot be read.
        ValueError: No sentence has an entity.
    """
    tagger = load(model)
    old = tagger.network
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
        decoding=tagger.decoding,
    )


def model_digest(model: Path | str | None) -> str:
    """Return a digest that identifies a model; empty for none."""
    if model is None:
        return ""
    description = model_directory.read_json(Path(model) / model_directory.DESCRIPTION)
    return str(description.get("checksum")) if isinstance(description, dict) else ""
