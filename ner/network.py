"""The network: everything between sentences and the distribution over their tags."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ner.config import ConfigError
from ner.crf import CRF
from ner.embeddings import EMBEDDINGS, ContextEmbedding, Embedding, TypeEmbedding
from ner.encoder import Encoder
from ner.options import instantiate, lookup
from ner.schemes import OUTSIDE, Scheme, distinct_labels, scheme_named
from ner.scorer import Scorer, Stack
from ner.sentence import Sentence

WRITABLE = ("BIO", "BIOES", "BILOU", "BMES")  # schemes whose tags alone say where a span begins
RECIPE: Mapping[str, Any] = {"words": {}, "characters": {}, "affixes": {}}
# The same where tokens are characters: pairs of them are often the words.
CHARACTERWISE: Mapping[str, Any] = {
    "words": {},
    "pairs": {},
    "affixes": {"features": ["case", "form"]},
}
DOCUMENTWISE: Mapping[str, Any] = {"document": {}, "topic": {}}  # more, where documents are known


if hasattr(os, "register_at_fork"):  # OpenMP's threads do not outlive a fork: torch would hang
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Network(Scorer):
    """Embeddings, a BiLSTM, a linear projection and a CRF.

    Args:
        embeddings: The embeddings by the names of their parts.
        labels: The labels of entities, in the order of their tags.
        scheme: How spans are written as tags inside the network.
        encoder: Settings of the encoder.
        constrain_training: Whether the normaliser of the loss sums over legal sequences only.
            Decoding is always constrained.
    """

    def __init__(
        self,
        embeddings: Mapping[str, Embedding],
        labels: Sequence[str],
        *,
        scheme: str = "BIOES",
        encoder: Mapping[str, Any] | None = None,
        constrain_training: bool = True,
    ) -> None:
        super().__init__(_writable(scheme), distinct_labels(labels))
        self.embeddings = nn.ModuleDict(dict(embeddings))
        self._parts = dict(embeddings)
        self.type_embeddings = [e for e in embeddings.values() if isinstance(e, TypeEmbedding)]
        self.context_embeddings = [
            e for e in embeddings.values() if isinstance(e, ContextEmbedding)
        ]
        if not self.type_embeddings:
            raise ConfigError("model.embeddings: at least one must see the tokens themselves")
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
            constrain_training=constrain_training,
        )

    @property
    def stacks(self) -> tuple[Stack]:
        """Itself, alone."""
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
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Network:
        """Make a network, its weights not yet those of the one that wrote the settings.

        Raises:
            ConfigError: The settings are not such as a network writes.
        """
        rest = dict(settings)
        embeddings = {}
        for name, part in rest.pop("embeddings").items():
            kind = lookup(EMBEDDINGS, part["kind"], of="embedding")
            own = {key: value for key, value in part.items() if key != "kind"}
            embeddings[name] = instantiate(kind, own, of=f"embedding {name!r}")
        return instantiate(cls, rest, embeddings, of="network")


def build(
    sentences: Sequence[Sentence],
    *,
    scheme: str = "BIOES",
    embeddings: Mapping[str, Any] | None = None,
    encoder: Mapping[str, Any] | None = None,
    crf: Mapping[str, Any] | None = None,
) -> Network:
    """A fresh network for training sentences.

    Its keyword arguments are the section ``model`` of a configuration.

    Args:
        sentences: The sentences it will be trained on, for the vocabularies and labels.
        scheme: How spans are written as tags inside the network.
        embeddings: Settings of each embedding by its name, which is its kind unless ``kind``
            says otherwise; ``false`` leaves out one of the recipe's.
        encoder: Settings of the encoder.
        crf: Settings of the CRF.

    Raises:
        ConfigError: A setting cannot be used.
        ValueError: No sentence has an entity.
    """
    _writable(scheme)  # here and not in the network alone: the vocabularies of a corpus take time
    labels = sorted({span.label for sentence in sentences for span in sentence.spans or ()})
    if not labels:
        raise ValueError("no training sentence has an entity")
    distinct_labels(labels)  # what is wrong with the corpus is no fault of the settings below
    parts = {}
    for name, settings in {**recipe(sentences), **(embeddings or {})}.items():
        if settings is False:
            lookup(EMBEDDINGS, name, of="embedding")  # a name that is not one leaves nothing out
            continue
        own = dict(settings) if isinstance(settings, Mapping) else settings
        kind = own.pop("kind", name) if isinstance(own, dict) else name
        part = lookup(EMBEDDINGS, kind, of="embedding")
        parts[name] = instantiate(part.fit, own, sentences, of=f"model.embeddings.{name}")
    return instantiate(_with_crf, crf, parts, labels, scheme, encoder, of="model.crf")


def recipe(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """The settings of the embeddings that suit training sentences, by their names."""
    counts = Counter(len(token) == 1 for sentence in sentences for token in sentence.tokens)
    parts = CHARACTERWISE if counts[True] > 3 * counts[False] else RECIPE
    known = any(s.document is not None and len(s.document.tokens) > 1 for s in sentences)
    return {**parts, **(DOCUMENTWISE if known else {})}


def _with_crf(
    parts: Mapping[str, Embedding],
    labels: Sequence[str],
    scheme: str,
    encoder: Mapping[str, Any] | None,
    *,
    constrain_training: bool = True,
) -> Network:
    return Network(
        parts, labels, scheme=scheme, encoder=encoder, constrain_training=constrain_training
    )


def _writable(name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        ConfigError: There is none, or its tags alone do not say where a span begins.
    """
    try:
        scheme = scheme_named(name)
    except ValueError:
        wrong = f"no scheme is called {name!r}"
    else:
        if scheme.name in WRITABLE:
            return scheme
        wrong = f"{name} is for reading"
    raise ConfigError(f"model.scheme: {wrong}; use one of {', '.join(WRITABLE)}")


def _allowed(scheme: Scheme, tags: Sequence[str]) -> Tensor:
    """Which tag may follow which, ``(tags + 1, tags + 1)``; the last are the sentence's ends.

    Whether two labels are the same decides, not which they are: a table for two tells of all.
    """
    if torch.get_default_device().type == "meta":  # torch would load its compiler for the sums
        return torch.empty(len(tags) + 1, len(tags) + 1, dtype=torch.bool)
    kinds = (OUTSIDE, *(f"{prefix}-{label}" for label in "ab" for prefix in scheme.roles))
    table = torch.tensor([[scheme.allows(left, right) for right in kinds] for left in kinds])
    prefixes, place = len(scheme.roles), torch.arange(len(tags) - 1)
    kind = nn.functional.pad(1 + place % prefixes, (1, 1))  # O, and the ends, which are as O
    label = nn.functional.pad(place // prefixes, (1, 1), value=-1)
    other = (label.unsqueeze(1) != label) & (label >= 0)  # the right one's label is the other one
    return table[kind.unsqueeze(1), kind + prefixes * other]
