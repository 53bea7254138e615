"""Several networks of the same settings as one: trained together, saved together, averaged.

Networks that began from different weights err in different places. Their mean is a better
tagger than any of them, at as many times the cost (Dietterich 2000; for NER Reimers and
Gurevych 2017 on how far seeds are apart).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ner import network as single
from ner.batch import Batch
from ner.crf import LinearChain
from ner.network import Network
from ner.sentence import Sentence

LARGEST = 100  # members


class Ensemble(Network):
    """The mean of several networks: of their emissions and of the scores of their CRFs.

    Every member reads the same numbers, so sentences are indexed once.

    Args:
        members: Networks of the same settings, whose weights differ.

    Raises:
        ValueError: There is none, or their settings differ.
    """

    def __init__(self, members: Sequence[Network]) -> None:
        nn.Module.__init__(self)  # what a Network owns, the members own
        if not members:
            raise ValueError("an ensemble needs at least one member")
        first = members[0]
        if any(member.settings() != first.settings() for member in members[1:]):
            raise ValueError("the members of an ensemble must be of the same settings")
        self.members = nn.ModuleList(members)
        self.scheme = first.scheme
        self.labels = first.labels
        self.tags = first.tags
        self.span_tags = first.span_tags
        self.constrain_training = first.constrain_training
        self.type_embeddings = first.type_embeddings
        self.context_embeddings = first.context_embeddings
        self._numbers = first._numbers

    @property
    def networks(self) -> list[Network]:
        """The members, typed."""
        return [member for member in self.members if isinstance(member, Network)]

    @property
    def embeddings(self) -> nn.ModuleDict:  # type: ignore[override]
        """The embeddings of the first member, by which sentences are indexed."""
        return self.networks[0].embeddings

    def settings(self) -> dict[str, Any]:
        """What makes this ensemble again: those of one member, and how many there are."""
        return {"members": len(self.members), **self.networks[0].settings()}

    def emissions(self, batch: Batch) -> Tensor:
        """The mean of the members' emissions, ``(batch, length, tags)``."""
        return torch.stack([member.emissions(batch) for member in self.networks]).mean(0)

    def forward(self, batch: Batch) -> LinearChain:
        """The distribution over tag sequences that the mean of the members' scores gives."""
        chains = [member(batch) for member in self.networks]
        emissions, transitions, start, end = (
            torch.stack([getattr(chain, name) for chain in chains]).mean(0)
            for name in ("emissions", "transitions", "start", "end")
        )
        return LinearChain(emissions, transitions, start, end, chains[0].lengths)

    def loss(self, batch: Batch) -> Tensor:
        """The mean of the members' losses: each learns by itself.

        Raises:
            ValueError: Some sentence is not annotated.
        """
        return torch.stack([member.loss(batch) for member in self.networks]).mean()


def members_of(network: Network) -> list[Network]:
    """The members of an ensemble; of a single network, itself."""
    return network.networks if isinstance(network, Ensemble) else [network]


def from_settings(settings: Mapping[str, Any]) -> Network:
    """Make a network or an ensemble, its weights not yet those of the one that wrote the settings.

    Raises:
        ConfigError: The settings are not such as a network writes.
        ValueError: There are no members.
    """
    if "members" not in settings:
        return Network.from_settings(settings)
    own = {name: value for name, value in settings.items() if name != "members"}
    count = settings["members"]
    if type(count) is not int or not 1 <= count <= LARGEST:
        raise ValueError(f"members must be a whole number from 1 to {LARGEST}, got {count!r}")
    return Ensemble([Network.from_settings(own) for _ in range(count)])


def build(
    sentences: Sequence[Sentence],
    *,
    members: int = 1,
    scheme: str = "BIOES",
    embeddings: Mapping[str, Any] | None = None,
    encoder: Mapping[str, Any] | None = None,
    crf: Mapping[str, Any] | None = None,
) -> Network:
    """A fresh network, or an ensemble of them, for training sentences.

    Its keyword arguments are the section ``model`` of a configuration.

    Args:
        sentences: The sentences it will be trained on, for the vocabularies and labels.
        members: How many networks are trained side by side, and averaged.
        scheme: How spans are written as tags inside the network.
        embeddings: As in ``ner.network.build``.
        encoder: Settings of the encoder.
        crf: Settings of the CRF.

    Raises:
        ConfigError: A setting cannot be used.
        ValueError: No sentence has an entity, or the number of members is not possible.
    """
    if not 1 <= members <= LARGEST:
        raise ValueError(f"members must be from 1 to {LARGEST}, got {members}")
    networks = [
        single.build(sentences, scheme=scheme, embeddings=embeddings, encoder=encoder, crf=crf)
        for _ in range(members)
    ]
    return networks[0] if members == 1 else Ensemble(networks)
