"""The network: everything between sentences and the distribution over their tags."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ner.batch import Batch, pad
from ner.config import ConfigError
from ner.crf import CRF, LinearChain, SpanTags
from ner.embeddings import EMBEDDINGS, ContextEmbedding, Embedding, TypeEmbedding
from ner.encoder import Encoder
from ner.indexed import Indexed, TypeTable, candidates, one_hot
from ner.options import instantiate, lookup
from ner.schemes import OUTSIDE, Scheme, distinct_labels, scheme_named
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


class Network(nn.Module):
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
        super().__init__()
        self.scheme = _writable(scheme)
        self.labels = distinct_labels(labels)
        self.tags = self.scheme.tags(self.labels)
        self._numbers = {tag: number for number, tag in enumerate(self.tags)}
        self.embeddings = nn.ModuleDict(dict(embeddings))
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
        spelling = self.scheme.spelling(self.labels)
        self.span_tags = SpanTags(**{name: torch.tensor(tags) for name, tags in spelling.items()})

    def settings(self) -> dict[str, Any]:
        """What makes this network again, as JSON holds it; ``from_settings`` reads it."""
        names = {part: name for name, part in EMBEDDINGS.items()}
        return {
            "embeddings": {
                name: {"kind": names[type(part)], **part.settings()}  # type: ignore[index, operator]
                for name, part in self.embeddings.items()
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

    def type_table(self) -> TypeTable:
        """An empty table of tokens for this network's embeddings."""
        return TypeTable(self.type_embeddings)

    def index(self, sentences: Sequence[Sentence], table: TypeTable) -> list[Indexed]:
        """Sentences as numbers.

        Raises:
            ValueError: A span is not of this network's labels, or spans overlap.
        """
        rows = table.index([sentence.tokens for sentence in sentences])
        parts = [part.index_all(sentences) for part in self.context_embeddings]
        contexts = zip(*parts, strict=True) if parts else repeat((), len(sentences))
        indexed = []
        for types, own, sentence in zip(rows, contexts, sentences, strict=True):
            tags = self._tags(sentence)
            indexed.append(Indexed(types, own, tags, self._candidates(sentence, tags)))
        return indexed

    def collate(self, indexed: Sequence[Indexed], table: TypeTable) -> Batch:
        """Indexed sentences, at least one of them with a token, as a batch."""
        lengths = np.fromiter(map(len, indexed), np.int64, len(indexed))
        length = int(lengths.max())
        flat = np.concatenate([sentence.types for sentence in indexed])
        types, rows = np.unique(flat, return_inverse=True)
        padded = np.zeros((len(indexed), length), dtype=np.int64)
        padded[np.arange(length) < lengths[:, None]] = rows
        contexts = tuple(
            tuple(pad(arrays, length) for arrays in zip(*parts, strict=True))
            for parts in zip(*(sentence.contexts for sentence in indexed), strict=True)
        )
        tags = [sentence.tags for sentence in indexed if sentence.tags is not None]
        return Batch(
            table.gather(types),
            torch.from_numpy(padded),
            contexts,
            torch.from_numpy(lengths),
            pad(tags, length) if len(tags) == len(indexed) else None,
            candidates(indexed, length, len(self.tags)),
        )

    def batch(self, sentences: Sequence[Sentence], table: TypeTable | None = None) -> Batch:
        """Sentences as a batch; a table remembers their tokens for the next one."""
        table = self.type_table() if table is None else table
        return self.collate(self.index(sentences, table), table)

    def vectors(self, batch: Batch) -> Tensor:
        """The vectors of the tokens, ``(batch, length, width)``, in the order of the parts."""
        types, contexts = iter(batch.types), iter(batch.contexts)
        vectors = []
        for part in self.embeddings.values():
            if isinstance(part, TypeEmbedding):
                distinct = part(*next(types))  # (types, width)
                flat = distinct.index_select(0, batch.rows.view(-1))
                vectors.append(flat.view(*batch.rows.shape, -1))
            else:
                vectors.append(part(*next(contexts)))
        return torch.cat(vectors, dim=2)

    def emissions(self, batch: Batch) -> Tensor:
        """The score of each tag at each token before the CRF, ``(batch, length, tags)``."""
        states = self.encoder(self.vectors(batch), batch.lengths)
        scores: Tensor = self.projection(states)
        return scores

    def forward(self, batch: Batch) -> LinearChain:
        """The distribution over the legal tag sequences of each sentence."""
        return self.crf.chain(self.emissions(batch), batch.lengths)

    def loss(self, batch: Batch) -> Tensor:
        """The mean over the sentences of the negative log-likelihood of what is annotated.

        Raises:
            ValueError: Some sentence is not annotated.
        """
        if batch.tags is None:
            raise ValueError("the loss needs annotated sentences; some have spans=None")
        emissions = self.emissions(batch)
        if batch.candidates is not None:
            partial: Tensor = self.crf.loss(emissions, batch.lengths, candidates=batch.candidates)
            return partial
        loss: Tensor = self.crf.loss(emissions, batch.lengths, batch.tags)
        return loss

    def _tags(self, sentence: Sentence) -> NDArray[np.int64] | None:
        if sentence.spans is None:
            return None
        tags = self.scheme.encode(sentence.spans, len(sentence))
        try:
            return np.fromiter(map(self._numbers.__getitem__, tags), np.int64, len(tags))
        except KeyError as error:
            raise ValueError(
                f"the tag {error.args[0]!r} is none of the model's; "
                f"its labels are {', '.join(self.labels)}"
            ) from None

    def _candidates(
        self, sentence: Sentence, tags: NDArray[np.int64] | None
    ) -> NDArray[np.bool_] | None:
        """Which tags each token may carry, where the annotation leaves some token's open."""
        looked_for = self.labels if sentence.labels is None else sentence.labels
        missed = [label for label in self.labels if label not in looked_for]
        if tags is None or not (sentence.unknown or missed):
            return None
        allowed = one_hot(tags, len(self.tags))
        possible = [n for tag, n in self._numbers.items() if tag.partition("-")[2] in missed]
        allowed[np.ix_(tags == self._numbers[OUTSIDE], possible)] = True
        allowed[list(sentence.unknown)] = True
        return allowed


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
