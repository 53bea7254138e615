"""Several networks as one: trained together, saved together, averaged.

Networks that began from different weights err in different places, and networks that read
different things all the more. Their mean is a better tagger than any of them, at as many times
the cost (Dietterich 2000; for NER Reimers and Gurevych 2017 on how far seeds are apart).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ner import network as single
from ner.embeddings import ContextEmbedding, TypeEmbedding
from ner.indexers import Indexer
from ner.network import Network
from ner.options import lookup
from ner.scorer import Scorer, Stack
from ner.sentence import Sentence

LARGEST = 100  # members
Part = TypeVar("Part", TypeEmbedding, ContextEmbedding)


class Ensemble(Scorer):
    """The mean of several networks: of their emissions and of the scores of their CRFs.

    Members may have different parts. Those that read the same numbers share them, so sentences are
    indexed once for all members of the same vocabularies.

    Args:
        members: Networks of the same labels and scheme.

    Raises:
        ValueError: There is none, or their labels or schemes differ.
    """

    def __init__(self, members: Sequence[Network]) -> None:
        if not members:
            raise ValueError("an ensemble needs at least one member")
        first = members[0]
        for member in members[1:]:
            if (member.scheme, member.labels) != (first.scheme, first.labels):
                raise ValueError("the members of an ensemble must have the same labels and scheme")
        super().__init__(first.scheme, first.labels)
        self.members = nn.ModuleList(members)
        self.type_embeddings, types = _shared([m.type_embeddings for m in members])
        self.context_embeddings, contexts = _shared([m.context_embeddings for m in members])
        self._places = list(zip(types, contexts, strict=True))

    @property
    def networks(self) -> list[Network]:
        """The members, typed."""
        return [member for member in self.members if isinstance(member, Network)]

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Those of its members, whose embeddings share the numbers they read alike."""
        return tuple(
            replace(member.stacks[0], types=types, contexts=contexts)
            for member, (types, contexts) in zip(self.networks, self._places, strict=True)
        )

    def settings(self) -> dict[str, Any]:
        """Return the settings that rebuild this ensemble: the shared ones, and each member's own.

        Where they share everything, ``members`` is how many there are.
        """
        each = [member.settings() for member in self.networks]
        shared = {
            name: value
            for name, value in each[0].items()
            if all(other[name] == value for other in each[1:])
        }
        own = [{n: value for n, value in one.items() if n not in shared} for one in each]
        return {"members": own if any(own) else len(own), **shared}


def _shared(parts: Sequence[Sequence[Part]]) -> tuple[list[Part], list[tuple[int, ...]]]:
    """Parts that index differently, and which of them each member's parts agree with."""
    distinct: list[Part] = []
    known: list[tuple[type[Indexer], dict[str, Any], int]] = []
    places = []
    for own in parts:
        indexers = [
            (type(part.indexer), part.indexer.settings(), 0 if part.shared else id(part))
            for part in own
        ]
        for part, indexer in zip(own, indexers, strict=True):
            if indexer not in known:
                known.append(indexer)
                distinct.append(part)
        places.append(tuple(map(known.index, indexers)))
    return distinct, places


def from_settings(settings: Mapping[str, Any]) -> Scorer:
    """Make a network or an ensemble, its weights not yet those of the one that wrote the settings.

    Raises:
        ConfigError: The settings are not such as a network writes.
        ValueError: There are no members.
    """
    if "members" not in settings:
        return Network.from_settings(settings)
    return Ensemble([Network.from_settings(own) for own in _each(settings)])


def plan(settings: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Return the tensors by name that a network of these settings has, as meta tensors.

    They take no memory, and members that are alike take no more time than one.

    Raises:
        ConfigError: As ``from_settings``.
        ValueError: As ``from_settings``.
    """
    known: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
    for number, own in enumerate(_each(settings)):
        state = next((held for other, held in known if other == own), None)
        if state is None:
            with torch.device("meta"), _Undrawn():
                state = Network.from_settings(own).state_dict()
            known.append((own, state))
        start = f"members.{number}." if "members" in settings else ""
        yield from ((start + name, tensor) for name, tensor in state.items())


class _Undrawn(TorchFunctionMode):
    """Draws no random numbers: for tensors without memory torch would load its compiler first."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def _each(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The settings of each member; of a single network, its own."""
    if "members" not in settings:
        return [settings]
    shared = {name: value for name, value in settings.items() if name != "members"}
    return [{**shared, **own} for own in _listed(settings["members"])]


def build(
    sentences: Sequence[Sentence],
    *,
    members: int | list[dict[str, Any]] = 1,
    scheme: str = "BIOES",
    embeddings: Mapping[str, Any] | None = None,
    encoder: Mapping[str, Any] | None = None,
    crf: Mapping[str, Any] | None = None,
) -> Scorer:
    """A fresh network, or an ensemble of them, for training sentences.

    Its keyword arguments are the section ``model`` of a configuration.

    Args:
        sentences: The sentences it will be trained on, for the vocabularies and labels.
        members: How many networks are trained side by side, and averaged; or a list of what each
            of them has for itself: ``embeddings`` by their names, settings of its ``encoder`` or
            ``crf``, which go before those of all.
        scheme: How spans are written as tags inside the network.
        embeddings: As in ``ner.network.build``.
        encoder: Settings of the encoder.
        crf: Settings of the CRF.

    Raises:
        ConfigError: A setting cannot be used.
        ValueError: No sentence has an entity, or the number of members is not possible.
    """
    shared = {"embeddings": embeddings, "encoder": encoder, "crf": crf}
    networks = []
    for number, own in enumerate(_listed(members)):
        for name in own:
            lookup(shared, name, of=f"setting of model.members.{number}")
        merged = {name: {**(all_ or {}), **(own.get(name) or {})} for name, all_ in shared.items()}
        networks.append(single.build(sentences, scheme=scheme, **merged))
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def _listed(members: Any) -> list[Mapping[str, Any]]:
    """Return the settings of each member that are not shared.

    Raises:
        ValueError: It is neither a number of members nor a list of settings, or too long.
    """
    if type(members) is int and 1 <= members <= LARGEST:
        return [{}] * members
    listed = isinstance(members, list) and all(isinstance(own, dict) for own in members)
    if listed and 1 <= len(members) <= LARGEST:
        return list(members)
    raise ValueError(
        f"members must be a whole number from 1 to {LARGEST}, or a list of so many settings, "
        f"got {members!r:.80}"
    )
