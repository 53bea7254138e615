"""The network: everything between sentences and the distribution over their tags; or several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ner.config import ConfigError
from ner.crf import CRF
from ner.embeddings import EMBEDDINGS, ContextEmbedding, Embedding, TypeEmbedding
from ner.encoder import Encoder
from ner.indexers import Indexer
from ner.indexers.base import Counted, CountedOnce, token_counts
from ner.options import instantiate, lookup
from ner.pretrained import Pretrained
from ner.schemes import WRITABLE, Scheme, distinct_labels, scheme_named
from ner.scorer import Scorer, Stack
from ner.sentence import Sentence
from ner.stored import allowed_moves, each_member, listed_members

RECIPE: Mapping[str, Any] = {"words": {}, "characters": {}, "affixes": {}}
# The recipe for corpora whose tokens are characters, pairs of which are often words.
CHARACTERWISE: Mapping[str, Any] = {
    "words": {},
    "pairs": {},
    "affixes": {"features": ["case", "form"]},
}
DOCUMENTWISE: Mapping[str, Any] = {
    "document": {},
    "topic": {},
}  # in addition, if documents are known
Part = TypeVar("Part", TypeEmbedding, ContextEmbedding)


if hasattr(os, "register_at_fork"):  # OpenMP's threads do not outlive a fork: torch would hang
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Network(Scorer):
    """Embeddings, a BiLSTM, a linear projection and a CRF.

    Args:
        embeddings: The embeddings by name.
        labels: The labels of entities, in the order of their tags.
        scheme: The tagging scheme inside the network.
        encoder: Settings of the encoder.
        constrain_training: Whether the normaliser of the loss sums over legal sequences only.
            Decoding is always constrained.
        transitions: Whether scores of transitions are learnt. Without them the loss is the cross
            entropy of a softmax at each token.
    """

    def __init__(
        self,
        embeddings: Mapping[str, Embedding],
        labels: Sequence[str],
        *,
        scheme: str = "BIOES",
        encoder: Mapping[str, Any] | None = None,
        constrain_training: bool = True,
        transitions: bool = True,
    ) -> None:
        super().__init__(_writable(scheme), distinct_labels(labels))
        self.embeddings = nn.ModuleDict(dict(embeddings))
        self._parts = dict(embeddings)
        self.type_embeddings = [e for e in embeddings.values() if isinstance(e, TypeEmbedding)]
        self.context_embeddings = [
            e for e in embeddings.values() if isinstance(e, ContextEmbedding)
        ]
        if not self.type_embeddings:
            raise ConfigError("model.embeddings: at least one must read the tokens themselves")
        width = sum(e.width for e in embeddings.values())
        self.encoder: Encoder = instantiate(Encoder, encoder, width, of="model.encoder")
        self.projection = nn.Linear(self.encoder.output_width, len(self.tags))
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        self.constrain_training = constrain_training
        self.crf = CRF(
            len(self.tags),
            batch_first=True,
            allowed=_allowed(self.scheme, self.tags),
            constrain_training=constrain_training and transitions,
        )
        self.transitions = transitions
        if not transitions:  # the sum over all paths is then a product of sums over tags
            for weight in self.crf.parameters():
                nn.init.zeros_(weight.requires_grad_(False))

    @property
    def stacks(self) -> tuple[Stack]:
        """This network only."""
        types = tuple(range(len(self.type_embeddings)))
        contexts = tuple(range(len(self.context_embeddings)))
        return (Stack(self._parts, self.encoder, self.projection, self.crf, types, contexts),)

    def settings(self) -> dict[str, Any]:
        """Return the settings that rebuild this network, as JSON; ``from_settings`` reads them."""
        names = {part: name for name, part in EMBEDDINGS.items()}
        return {
            "embeddings": {
                name: {"kind": names[type(part)], **part.settings()}
                for name, part in self._parts.items()
            },
            "labels": list(self.labels),
            "scheme": self.scheme.name,
            "encoder": self.encoder.settings(),
            "constrain_training": self.constrain_training,
            "transitions": self.transitions,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Network:
        """Build a network with fresh weights from the settings of another.

        Raises:
            ConfigError: The settings are invalid.
        """
        rest = dict(settings)
        embeddings = {}
        for name, part in rest.pop("embeddings").items():
            kind = lookup(EMBEDDINGS, part["kind"], of="embedding")
            own = {key: value for key, value in part.items() if key != "kind"}
            embeddings[name] = instantiate(kind, own, of=f"embedding {name!r}")
        return instantiate(cls, rest, embeddings, of="network")


class Ensemble(Scorer):
    """The mean of several networks: of their emissions and of the scores of their CRFs.

    Networks that began from different weights err in different places, and networks that read
    different things all the more. Their mean is a better tagger than any of them, at as many times
    the cost (Dietterich 2000; for NER Reimers and Gurevych 2017 on how far seeds are apart).

    Members may have different parts. Those with the same indexer share its output, so sentences are
    indexed once for all members with the same vocabularies.

    Args:
        members: Networks with the same labels and scheme.

    Raises:
        ValueError: There are no members, or their labels or schemes differ.
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
        """The stacks of its members, whose embeddings share the output of equal indexers."""
        return tuple(
            replace(member.stacks[0], types=types, contexts=contexts)
            for member, (types, contexts) in zip(self.networks, self._places, strict=True)
        )

    def settings(self) -> dict[str, Any]:
        """Return the settings that rebuild this ensemble: the shared ones, and each member's own.

        If members share all settings, ``members`` is their number.
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
    """Return the parts with distinct indexers, and the index in them of each member's parts."""
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
    """Build a network or an ensemble with fresh weights from the settings of another.

    Raises:
        ConfigError: The settings are invalid.
        ValueError: There are no members.
    """
    if "members" not in settings:
        return Network.from_settings(settings)
    return Ensemble([Network.from_settings(own) for own in each_member(settings)])


def plan(settings: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a network with these settings by name, as meta tensors.

    These take no memory, and equal members take no more time than one. Errors are those of
    ``from_settings``.
    """
    known: list[tuple[Mapping[str, Any], dict[str, Any]]] = []
    for number, own in enumerate(each_member(settings)):
        state = next((held for other, held in known if other == own), None)
        if state is None:
            with torch.device("meta"), _Undrawn():
                state = Network.from_settings(own).state_dict()
            known.append((own, state))
        start = f"members.{number}." if "members" in settings else ""
        yield from ((start + name, tensor) for name, tensor in state.items())


class _Undrawn(TorchFunctionMode):
    """Skips random initialisation, for which torch would load its compiler on meta tensors."""

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


FEW, SEVERAL = 3_000, 3  # members for fewer training entities than that


def automatic_members(sentences: Sequence[Sentence]) -> int:
    """Return the number of members for ``members: auto``."""
    return SEVERAL if sum(len(one.spans or ()) for one in sentences) < FEW else 1


def build(  # noqa: PLR0913 - one argument for each setting
    sentences: Sequence[Sentence],
    *,
    members: int | list[dict[str, Any]] | Literal["auto"] = 1,
    scheme: str = "BIOES",
    embeddings: Mapping[str, Any] | None = None,
    encoder: Mapping[str, Any] | Literal[False] | None = None,
    crf: Mapping[str, Any] | Literal[False] | None = None,
    pretrained: str | None = None,
) -> Scorer:
    """Build a fresh network or ensemble for training sentences.

    The keyword arguments are the section ``model`` of a configuration.

    Args:
        sentences: The sentences to train on, for vocabularies and labels.
        members: The number of networks trained together and averaged; or a list of the settings of
            each (``embeddings`` by name, ``encoder``, ``crf``), which override the shared ones;
            ``auto``: three for fewer than 3,000 training entities, else one.
        scheme: The tagging scheme inside the network.
        embeddings: Settings of each embedding by its name, which is its kind unless ``kind`` is
            given; ``false`` omits an embedding of the recipe.
        encoder: Settings of the encoder; ``false`` omits the BiLSTM.
        crf: Settings of the CRF; ``false`` replaces it by a softmax at each token.
        pretrained: A directory written by ``ner pretrain``, which every member begins with.

    Raises:
        ConfigError: A setting is invalid.
        ValueError: No sentence has an entity, or the number of members is out of range.
    """
    encoder = {"layers": 0} if encoder is False else encoder
    crf = {"transitions": False} if crf is False else crf
    shared = {"embeddings": embeddings, "encoder": encoder, "crf": crf}
    sentences = sentences if isinstance(sentences, Counted) else CountedOnce(sentences)
    start = None if pretrained is None else Pretrained.load(pretrained)
    networks = []
    count = automatic_members(sentences) if members == "auto" else members
    for number, own in enumerate(listed_members(count)):
        for name in own:
            lookup(shared, name, of=f"setting of model.members.{number}")
        merged = {name: {**(all_ or {}), **(own.get(name) or {})} for name, all_ in shared.items()}
        networks.append(_build_one(sentences, scheme, start=start, **merged))
    return networks[0] if len(networks) == 1 else Ensemble(networks)


def _build_one(
    sentences: Sequence[Sentence],
    scheme: str,
    *,
    embeddings: Mapping[str, Any],
    encoder: Mapping[str, Any],
    crf: Mapping[str, Any],
    start: Pretrained | None,
) -> Network:
    _writable(scheme)  # before vocabularies are built, which takes time
    labels = sorted({span.label for sentence in sentences for span in sentence.spans or ()})
    if not labels:
        raise ValueError("no training sentence has an entity")
    distinct_labels(labels)  # here, so that the error is not blamed on the settings below
    more = {} if start is None else start.recipe()
    parts: dict[str, Embedding] = {}
    for name, settings in {**recipe(sentences), **more, **embeddings}.items():
        if settings is False:
            lookup(EMBEDDINGS, name, of="embedding")  # refuses an unknown name
            continue
        own = dict(settings) if isinstance(settings, Mapping) else settings
        kind = own.pop("kind", name) if isinstance(own, dict) else name
        part = lookup(EMBEDDINGS, kind, of="embedding")
        fitted = instantiate(part.fit, own, sentences, of=f"model.embeddings.{name}")
        parts[name] = fitted if start is None else start.joined(name, fitted)
    network = instantiate(_with_crf, crf, parts, labels, scheme, encoder, of="model.crf")
    if start is not None:
        start.start(parts, network.encoder)
    return network


def recipe(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Return the settings of the embeddings that suit training sentences, by name."""
    counts = token_counts(sentences)
    single = sum(number for token, number in counts.items() if len(token) == 1)
    parts = CHARACTERWISE if single > 3 * (counts.total() - single) else RECIPE
    known = any(s.document is not None and len(s.document.tokens) > 1 for s in sentences)
    return {**parts, **(DOCUMENTWISE if known else {})}


def _with_crf(
    parts: Mapping[str, Embedding],
    labels: Sequence[str],
    scheme: str,
    encoder: Mapping[str, Any] | None,
    *,
    constrain_training: bool = True,
    transitions: bool = True,
) -> Network:
    return Network(
        parts,
        labels,
        scheme=scheme,
        encoder=encoder,
        constrain_training=constrain_training,
        transitions=transitions,
    )


def _writable(name: str) -> Scheme:
    """Return the scheme of that name.

    Raises:
        ConfigError: It is unknown, or its tags alone do not mark where a span begins.
    """
    try:
        scheme = scheme_named(name)
    except ValueError:
        wrong = f"unknown scheme {name!r}"
    else:
        if scheme.name in WRITABLE:
            return scheme
        wrong = f"{name} can only be read"
    raise ConfigError(f"model.scheme: {wrong}; use one of {', '.join(WRITABLE)}")


def _allowed(scheme: Scheme, tags: Sequence[str]) -> Tensor:
    """Return which tag may follow which, as `allowed_moves` does."""
    if torch.get_default_device().type == "meta":  # only its shape matters, which may be huge
        return torch.empty(len(tags) + 1, len(tags) + 1, dtype=torch.bool)
    return torch.from_numpy(allowed_moves(scheme, tags))
