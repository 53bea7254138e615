"""Starting from a trained model: what it knows is kept, labels are matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ner import model_directory
from ner.ensemble import from_settings, members_of
from ner.network import Network
from ner.sentence import Sentence
from ner.tagger import load

LABELLED = ("projection.", "crf.")  # weights with an axis of tags


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

    old: Network
    network: Network
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
    for one, other in zip(members_of(old), members_of(network), strict=True):
        _copy(one, other)
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


@torch.no_grad()
def _copy(old: Network, new: Network) -> None:
    """Copy all weights; those with axes of tags, tag by tag."""
    shared = [tag for tag in new.tags if tag in old.tags]
    theirs = torch.tensor([old.tags.index(tag) for tag in shared])
    ours = torch.tensor([new.tags.index(tag) for tag in shared])
    weights = old.state_dict()
    for name, weight in new.state_dict().items():
        if not name.startswith(LABELLED):
            weight.copy_(weights[name])
            continue
        given = weights[name]
        if name.startswith("crf.") and weight.dim() == 2:  # from tag to tag
            weight[ours[:, None], ours] = given[theirs[:, None], theirs]
        else:
            weight[ours] = given[theirs]
