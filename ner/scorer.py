"""The scorer of tags: one network, or several whose scores are averaged.

All that is above asks a `Scorer`, and never which of the two it has. A scorer consists of one or
more `Stack`; whatever is a sum over them is written here, once. `Indexed` is what it makes of a
sentence before sentences are put together in a batch.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise, repeat
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ner.batch import Batch, Tensors, pad
from ner.crf import CRF, LinearChain, SpanTags
from ner.embeddings import ContextEmbedding, Embedding, TypeEmbedding
from ner.encoder import Encoder
from ner.indexers import Arrays
from ner.schemes import OUTSIDE, Scheme
from ner.sentence import Sentence

# Nats by which a new tag is below O until training begins. The probability of a span falls by the
# mass of the paths through new tags, about exp(-IMPROBABLE / temperature) for each token: 1e-10 at
# a temperature of 1.75, which is lost in the rounding of float32.
IMPROBABLE = 40.0
LEARNABLE = 8.0  # the same when it begins: more takes more steps to be learnt


@dataclass(frozen=True, slots=True, eq=False)
class Indexed:
    """A sentence as numbers.

    Attributes:
        types: The row of each token in a ``TypeTable``, ``(tokens,)``.
        contexts: The arrays of each context embedding.
        tags: The number of each token's tag, ``(tokens,)``, if the sentence is annotated.
        candidates: The tags each token may have, ``(tokens, tags)``, if the annotation is partial.
    """

    types: NDArray[np.int64]
    contexts: tuple[Arrays, ...]
    tags: NDArray[np.int64] | None = None
    candidates: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.types)

    def part(self, start: int, end: int) -> Indexed:
        """Return the tokens ``[start, end)``; no entity may cross either end."""
        return Indexed(
            self.types[start:end],
            tuple(tuple(array[start:end] for array in arrays) for arrays in self.contexts),
            None if self.tags is None else self.tags[start:end],
            None if self.candidates is None else self.candidates[start:end],
        )


class TypeTable:
    """The distinct tokens so far, each indexed once."""

    def __init__(self, embeddings: Sequence[TypeEmbedding]) -> None:
        self._embeddings = embeddings
        self._rows: dict[str, int] = {}
        self._arrays: list[list[NDArray[np.int64]]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def index(self, sentences: Sequence[Sequence[str]]) -> list[NDArray[np.int64]]:
        """Return the row of each token of each sentence, adding new tokens."""
        known = self._rows
        new = set(chain.from_iterable(sentences)).difference(known)
        if new:
            self._add(sorted(new))
        ends = list(accumulate(map(len, sentences), initial=0))
        numbers = map(known.__getitem__, chain.from_iterable(sentences))
        rows = np.fromiter(numbers, np.int64, ends[-1])
        return [rows[start:end] for start, end in pairwise(ends)]

    def gather(self, rows: NDArray[np.int64]) -> tuple[Tensors, ...]:
        """Return the input of the embeddings for some rows."""
        if self._arrays is None:
            return tuple(() for _ in self._embeddings)
        return tuple(
            tuple(torch.from_numpy(array[rows]) for array in parts) for parts in self._arrays
        )

    def _add(self, tokens: list[str]) -> None:
        for token in tokens:
            self._rows[token] = len(self._rows)
        fresh = [list(embedding.index(tokens)) for embedding in self._embeddings]
        if self._arrays is None:
            self._arrays = fresh
            return
        self._arrays = [
            [np.concatenate(pair) for pair in zip(*both, strict=True)]
            for both in zip(self._arrays, fresh, strict=True)
        ]


def candidates(indexed: Sequence[Indexed], length: int, tags: int) -> Tensor | None:
    """Return the tags each token may have, ``(batch, length, tags)``; ``None`` if all are known."""
    if all(sentence.candidates is None for sentence in indexed):
        return None
    allowed = np.zeros((len(indexed), length, tags), dtype=bool)
    for row, sentence in zip(allowed, indexed, strict=True):
        if sentence.candidates is not None:
            row[: len(sentence)] = sentence.candidates
        elif sentence.tags is not None:
            row[: len(sentence)] = one_hot(sentence.tags, tags)
    return torch.from_numpy(allowed)


def one_hot(tags: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Return a one-hot matrix of the tags of tokens, ``(tokens, tags)``."""
    hot: NDArray[np.bool_] = tags[:, None] == np.arange(count)
    return hot


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Embeddings, an encoder, a projection and a CRF.

    Attributes:
        embeddings: The embeddings by name, in the order of their vectors.
        encoder: Maps vectors to states.
        projection: Maps states to emissions.
        crf: The scores of transitions, starts and ends.
        types: For each of its type embeddings, the scorer's one with the same indexer.
        contexts: The same for its context embeddings.
    """

    embeddings: Mapping[str, Embedding]
    encoder: Encoder
    projection: nn.Linear
    crf: CRF
    types: tuple[int, ...]
    contexts: tuple[int, ...]

    def columns(self) -> Iterator[tuple[Embedding, slice]]:
        """Yield each embedding and its columns in the input of the encoder."""
        place = 0
        for part in self.embeddings.values():
            yield part, slice(place, place + part.width)
            place += part.width

    def of_tags(self) -> tuple[Tensor, ...]:
        """Return the weights whose first axis is tags, except transitions."""
        crf, projection = self.crf, self.projection
        return (
            projection.weight,
            projection.bias,
            crf.start_transitions,
            crf.end_transitions,
        )

    def vectors(self, batch: Batch) -> Tensor:
        """Return the vectors of the tokens of a batch, ``(batch, length, width)``."""
        types = (batch.types[place] for place in self.types)
        contexts = (batch.contexts[place] for place in self.contexts)
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
        """Return its own scores of tags before the CRF, ``(batch, length, tags)``."""
        return self.scores(self.vectors(batch), batch.lengths)

    def scores(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Return the same of vectors ``(batch, length, width)``."""
        scores: Tensor = self.projection(self.encoder(vectors, lengths))
        return scores


class Scorer(nn.Module, ABC):
    """Maps sentences to a distribution over their tags, and computes the loss.

    Args:
        scheme: The tagging scheme.
        labels: The labels of entities, in the order of their tags.

    Attributes:
        tags: The tags, in the order of their numbers.
        span_tags: The tags that spell a span of each label.
        type_embeddings: The type embeddings, one for each distinct indexer.
        context_embeddings: The context embeddings, likewise.
    """

    type_embeddings: Sequence[TypeEmbedding]
    context_embeddings: Sequence[ContextEmbedding]

    def __init__(self, scheme: Scheme, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.scheme = scheme
        self.labels = labels
        self.tags = scheme.tags(labels)
        self._numbers = {tag: number for number, tag in enumerate(self.tags)}
        spelling = scheme.spelling(labels)
        self.span_tags = SpanTags(**{name: torch.tensor(tags) for name, tags in spelling.items()})

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the settings that rebuild it, without weights, as JSON values."""

    @property
    @abstractmethod
    def stacks(self) -> Sequence[Stack]:
        """The networks whose scores are averaged, at least one."""

    def learning_rates(self) -> dict[nn.Parameter, float]:
        """Return the maximum learning rate of those weights that have their own."""
        return {
            weight: rate
            for stack in self.stacks
            for part in stack.embeddings.values()
            for weight, rate in part.learning_rates()
        }

    def fine_tune(self, on: bool) -> bool:
        """Fine-tune pretrained weights from now on, or freeze them; return whether it has any."""
        parts = [part for stack in self.stacks for part in stack.embeddings.values()]
        return True in [part.fine_tune(on) for part in parts]  # every one is asked

    def merged(self) -> Self:
        """Return this scorer; if embeddings have adapters, a copy in which these are merged."""
        if not any(part.adapted for s in self.stacks for part in s.embeddings.values()):
            return self
        merged = copy.deepcopy(self)
        merged.fine_tune(False)
        return merged

    def blocks(self, indexed: Sequence[Indexed]) -> list[int] | None:
        """Return the block of each sentence: to train whole blocks together is faster."""
        for place, part in enumerate(self.context_embeddings):
            found = part.blocks(sentence.contexts[place] for sentence in indexed)
            if found is not None:
                return found
        return None

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def named_embeddings(self) -> dict[str, Embedding]:
        """Return an embedding of each name in any stack."""
        return {n: part for stack in reversed(self.stacks) for n, part in stack.embeddings.items()}

    def type_table(self) -> TypeTable:
        """Return an empty table of tokens for its embeddings."""
        return TypeTable(self.type_embeddings)

    def index(self, sentences: Sequence[Sentence], table: TypeTable) -> list[Indexed]:
        """Index sentences.

        Raises:
            ValueError: A span has an unknown label, or spans overlap.
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
        """Return a batch of indexed sentences, at least one of them not empty."""
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
        """Return a batch of sentences; a table keeps their tokens for the next one."""
        table = self.type_table() if table is None else table
        return self.collate(self.index(sentences, table), table)

    def each(self, batch: Batch) -> list[Tensor]:
        """Return the emissions of each stack, ``(batch, length, tags)``."""
        return [stack.emissions(batch) for stack in self.stacks]

    def emissions(self, batch: Batch) -> Tensor:
        """Return the score of each tag at each token before the CRF, ``(batch, length, tags)``."""
        return _mean(self.each(batch))

    def chain(
        self, emissions: Tensor, lengths: Tensor, *, candidates: Tensor | None = None
    ) -> LinearChain:
        """Return the distribution over legal tag sequences that emissions give.

        Args:
            emissions: ``(batch, length, tags)``; anything at padding.
            lengths: ``(batch,)``.
            candidates: The tags each token may have, bool ``(batch, length, tags)``.
        """
        first, *others = (
            stack.crf.chain(emissions, lengths, candidates=candidates) for stack in self.stacks
        )
        if not others:
            return first
        names = ("transitions", "start", "end")
        means = {n: _mean([getattr(chain, n) for chain in (first, *others)]) for n in names}
        return replace(first, **means)

    def forward(self, batch: Batch) -> LinearChain:
        """Return the distribution over the legal tag sequences of each sentence."""
        return self.chain(self.emissions(batch), batch.lengths)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean over the sentences of the negative log-likelihood of the annotation.

        Raises:
            ValueError: Some sentence is not annotated.
        """
        if batch.tags is None:
            raise ValueError("the loss needs annotated sentences, but some have spans=None")
        return self.loss_of(self.each(batch), batch.lengths, batch.tags, batch.candidates)

    def loss_of(
        self,
        each: Sequence[Tensor],
        lengths: Tensor,
        tags: Tensor,
        candidates: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of the stacks' losses: each is trained independently.

        Args:
            each: The emissions of each stack, ``(batch, length, tags)``.
            lengths: ``(batch,)``.
            tags: The gold tags, ``(batch, length)``; ignored if there are candidates.
            candidates: The tags each token may have, bool ``(batch, length, tags)``.
        """
        gold = tags if candidates is None else None
        losses = [
            stack.crf.loss(emissions, lengths, gold, candidates=candidates)
            for stack, emissions in zip(self.stacks, each, strict=True)
        ]
        return _mean(losses)

    @torch.no_grad()
    def adopt(self, other: Scorer) -> None:
        """Copy the weights of a scorer with the same parts, matching tags by name.

        A tag that the other lacks starts like O, but `IMPROBABLE` nats lower at each token: a path
        through new tags scores less than the same path with O in their place, which is legal, too.
        So the first predictions and their scores are those of the other scorer, except for its
        dropped labels.
        """
        known = [tag if tag in other.tags else OUTSIDE for tag in self.tags]
        fresh = torch.tensor([tag not in other.tags for tag in self.tags])
        theirs = torch.tensor([other.tags.index(tag) for tag in known])
        for own, given in zip(self.stacks, other.stacks, strict=True):
            own.encoder.load_state_dict(given.encoder.state_dict())
            for name, part in own.embeddings.items():
                part.load_state_dict(given.embeddings[name].state_dict())
            weights = zip(own.of_tags(), given.of_tags(), strict=True)
            for weight, old in weights:
                weight.copy_(old[theirs])
            own.projection.bias[fresh] -= IMPROBABLE
            own.crf.transitions.copy_(given.crf.transitions[theirs[:, None], theirs])

    @torch.no_grad()
    def admit(self) -> None:
        """Raise new tags, if they still are as `adopt` made them, to where they can be learnt."""
        outside = self._numbers[OUTSIDE]
        for stack in self.stacks:
            weight, bias = stack.projection.weight, stack.projection.bias
            new = (weight == weight[outside]).all(1) & (bias == bias[outside] - IMPROBABLE)
            bias[new] += IMPROBABLE - LEARNABLE

    def _tags(self, sentence: Sentence) -> NDArray[np.int64] | None:
        if not sentence.spans:
            return None if sentence.spans is None else np.zeros(len(sentence), np.int64)
        tags = self.scheme.encode(sentence.spans, len(sentence))
        try:
            return np.fromiter(map(self._numbers.__getitem__, tags), np.int64, len(tags))
        except KeyError as error:
            raise ValueError(
                f"the model has no tag {error.args[0]!r}; its labels are {', '.join(self.labels)}"
            ) from None

    def _candidates(
        self, sentence: Sentence, tags: NDArray[np.int64] | None
    ) -> NDArray[np.bool_] | None:
        """Return the tags each token may have; ``None`` if the annotation is complete."""
        looked_for = self.labels if sentence.labels is None else sentence.labels
        missed = [label for label in self.labels if label not in looked_for]
        if tags is None or not (sentence.unknown or missed):
            return None
        allowed = one_hot(tags, len(self.tags))
        possible = [n for tag, n in self._numbers.items() if tag.partition("-")[2] in missed]
        allowed[np.ix_(tags == self._numbers[OUTSIDE], possible)] = True
        allowed[list(sentence.unknown)] = True
        return allowed


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack(list(tensors)).mean(0)
