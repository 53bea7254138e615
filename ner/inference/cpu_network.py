"""A network on a CPU, on numpy arrays and without torch: from sentences to emissions.

The contribution of each distinct token to the gates of the first LSTM layer is computed once and
cached. What remains is a recurrence over the steps of a batch without padding, in C where the
kernels were built. Each direction runs by itself, so that its weights and the gates of a step stay
in the CPU cache.

With s the sigmoid, a step computes ``c(t) = s(f) c(t-1) + s(i) tanh(g)`` and ``h(t) = s(o)
tanh(c(t))``. A tanh takes several times as long as a sigmoid, so ``tanh(x) = 2 s(2x) - 1`` is used
instead. The factors of 2 are folded into the weights: cells are stored doubled (2c) and outputs
halved (h / 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ner import native
from ner.indexers import Arrays, ContextIndexer, TypeIndexer
from ner.inference.batch_engine import BatchEngine, GateBatch
from ner.inference.decoding import Decoding
from ner.inference.gates import (
    CACHE,
    ContextGates,
    ContextPart,
    PackedSequence,
    TypeGates,
    TypePart,
    capacity_of,
)
from ner.inference.span_decoder import Moves, SpanDecoder
from ner.sentence import Sentence
from ner.stored import EmbeddingPlan, StoredNetwork, Weights, below

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


class LSTMKernel(Protocol):
    """A recurrence of one layer of an LSTM; see ``ner.native.Recurrence``."""

    def run(self, gates: Floats, index: Integers, places: Integers, counts: Integers) -> Floats: ...


class FusedLSTM:
    """The weights of one layer of an LSTM, in one or two directions.

    Args:
        lstms: The weights of each direction, as `ner.stored.LSTM` lists them; the second is the
            backward one.
        scale: The factor of the input: 2 if it is the (halved) output of another layer.

    Attributes:
        inputs: From vectors to gates, ``(input_width, directions * 4 * width)``.
        bias: The bias of the gates, ``(directions * 4 * width,)``.
        recurrent: From halved outputs to gates, ``(directions, width, 4 * width)``.
    """

    def __init__(self, lstms: Sequence[Sequence[Floats]], scale: float = 1.0) -> None:
        self.width = lstms[0][1].shape[1]
        self.directions = len(lstms)
        weights = [self._arranged(lstm, scale) for lstm in lstms]
        self.inputs = np.ascontiguousarray(np.concatenate([part[0] for part in weights]).T)
        self.bias = np.concatenate([part[2] for part in weights])
        self.recurrent = np.ascontiguousarray(np.stack([part[1].T for part in weights]))

    def _arranged(self, lstm: Sequence[Floats], scale: float) -> list[Floats]:
        """Return input weights, recurrent weights and bias, with the gates in order i, f, o, g.

        The recurrent weights are doubled, since they multiply h / 2; the rows of g are doubled once
        more, since tanh(g) is computed as 2 s(2g) - 1.
        """
        width, (inputs, recurrent, bias, second_bias) = self.width, lstm
        order = np.arange(4 * width).reshape(4, width)[[0, 1, 3, 2]].reshape(-1)
        factors = (np.float32(scale), np.float32(2.0), np.float32(1.0))
        each = (inputs, recurrent, bias + second_bias)
        gates = [factor * part[order] for factor, part in zip(factors, each, strict=True)]
        for part in gates:
            part[3 * width :] *= 2.0
        return gates

    def gates(self, vectors: Floats) -> Floats:
        """Project inputs ``(tokens, input_width)`` to the gates of all directions."""
        gates: Floats = vectors @ self.inputs
        gates += self.bias
        return gates


def layers_of(lstms: Sequence[Sequence[Sequence[Floats]]]) -> list[FusedLSTM]:
    """Return the layers of an encoder, from the first to the last."""
    return [FusedLSTM(pair, 2.0 if number else 1.0) for number, pair in enumerate(lstms)]


@dataclass(frozen=True, slots=True, eq=False)
class MemberWeights:
    """The weights of one network, and its embeddings, ready for tagging.

    Attributes:
        parts: The embeddings, in the order of their vectors.
        contexts: For each context part, its place among the indexers of all members.
        layers: For each layer and direction, the weights of its LSTM; see `FusedLSTM`.
        projection: From outputs to emissions, ``(tags, width)``.
        bias: ``(tags,)``.
    """

    parts: Sequence[TypePart | ContextPart]
    contexts: Sequence[int]
    layers: Sequence[Sequence[Sequence[Floats]]]
    projection: Floats
    bias: Floats


class CPUNetwork:
    """A copy of a network's current weights, with a cache of the gates computed from them.

    Args:
        members: The network, or the members of an ensemble.
        indexers: What indexes the contexts of tokens, by ``index_all``.
        moves: The scores of the CRF.
        cache: The maximum size of the cache of gates, in bytes.
        recurrence: Makes the recurrence of a layer from its weights.
    """

    def __init__(
        self,
        members: Sequence[MemberWeights],
        indexers: Sequence[Any],
        moves: Moves,
        *,
        cache: int = CACHE,
        recurrence: Callable[[Floats], LSTMKernel] = native.Recurrence,
    ) -> None:
        self._members = [_Member(one, cache // len(members), recurrence) for one in members]
        self._indexers = indexers
        self.moves = moves

    @property
    def capacity(self) -> int:
        """The maximum number of tokens per call of ``read``."""
        return min(member.types.capacity for member in self._members)

    def contexts(self, sentences: Sequence[Sentence]) -> list[list[Arrays]]:
        """Return the output of each context indexer for sentences of any length."""
        return [indexer.index_all(sentences) for indexer in self._indexers]

    def read(self, sentences: Sequence[Sequence[str]], contexts: list[list[Arrays]]) -> GateBatch:
        """Index the tokens of sentences.

        Args:
            sentences: The tokens of each sentence, at most ``capacity`` in total.
            contexts: For each context indexer and sentence, the indices of its tokens.
        """
        looked = [member.types.look_up(sentences) for member in self._members]
        return GateBatch.of(looked, list(map(len, sentences)), contexts)

    def emissions(self, reading: GateBatch, numbers: Sequence[int]) -> Floats:
        """Return the emissions of some sentences, longest first, ``(tokens, tags)``."""
        lengths = np.array([len(reading.rows[0][number]) for number in numbers])
        packed = PackedSequence.of(lengths)
        contexts = [[own[number] for number in numbers] for own in reading.contexts]
        each = [
            member.emissions(
                packed, table, np.concatenate([own[number] for number in numbers]), contexts
            )
            for member, table, own in zip(self._members, reading.tables, reading.rows, strict=True)
        ]
        total: Floats = reduce(np.add, each)
        return total if len(each) == 1 else total / np.float32(len(each))


class _Member:
    """One member of an ensemble: its weights and cached gates."""

    def __init__(
        self, weights: MemberWeights, cache: int, recurrence: Callable[[Floats], LSTMKernel]
    ) -> None:
        self._layers = layers_of(weights.layers)
        self._kernels = [recurrence(layer.recurrent) for layer in self._layers]
        self._places = weights.contexts
        first = self._layers[0]
        types, columns, bias, start = [], [], first.bias.copy(), 0
        self._contexts = []
        for part in weights.parts:
            own = first.inputs[start : start + part.width]
            start += part.width
            if isinstance(part, TypePart):
                types.append(part)
                columns.append(own)
            else:
                self._contexts.append(ContextGates(part, own, first.directions))
                bias += self._contexts[-1].constant
        capacity = capacity_of(cache, first.inputs[0].nbytes)
        inputs = np.concatenate(columns)
        self.types = TypeGates(types, inputs, bias, first.directions, capacity)
        self._projection = np.ascontiguousarray(2.0 * weights.projection.T)
        self._bias = weights.bias.copy()

    def emissions(
        self,
        packed: PackedSequence,
        table: Floats,
        rows: Integers,
        contexts: Sequence[Sequence[Arrays]],
    ) -> Floats:
        """Return the emissions of packed tokens, sentence by sentence, ``(tokens, tags)``."""
        (first, *above), directions = self._kernels, self._layers[0].directions
        places, counts = packed.orders[:directions], packed.counts
        if self._contexts:
            gates, index = table.take(rows, 1), places
            for part, place in zip(self._contexts, self._places, strict=True):
                part.add_to(gates, contexts[place], packed.lengths)
        else:
            gates, index = table, rows[places]
        outputs = first.run(gates, index, places, counts)
        for layer, kernel in zip(self._layers[1:], above, strict=True):
            outputs = kernel.run(layer.gates(outputs), places, places, counts)
        emissions: Floats = outputs @ self._projection
        emissions += self._bias
        return emissions


class StoredEngine(BatchEngine):
    """Tags with a network as its directory stores it; thread-safe. It needs the kernels in C.

    Args:
        network: The network.
        decoding: The decoding settings.
    """

    def __init__(self, network: StoredNetwork, decoding: Decoding) -> None:
        super().__init__(SpanDecoder(network.scheme, network.labels, decoding))
        self.network, self.decoding = network, decoding
        self._emitter = CPUNetwork(*_stored(network), Moves(*network.moves()))

    def fits(self) -> bool:
        """Return whether this engine still supports its network, which never changes."""
        return True

    def emitter(self) -> CPUNetwork:
        return self._emitter


def _stored(network: StoredNetwork) -> tuple[list[MemberWeights], list[ContextIndexer]]:
    """Return the members of a network, and the distinct indexers of their contexts."""
    distinct: list[ContextIndexer] = []
    known: list[tuple[Any, Any]] = []
    members = []
    for one, weights in zip(network.plans, network.each(), strict=True):
        each = [(type(indexer), indexer.settings()) for indexer in one.contexts]
        for indexer, key in zip(one.contexts, each, strict=True):
            if key not in known:
                known.append(key)
                distinct.append(indexer)
        parts = [
            _part(plan, below(weights, f"embeddings.{name}."))
            for name, plan in one.embeddings.items()
        ]
        projection, bias = weights["projection.weight"], weights["projection.bias"]
        places = list(map(known.index, each))
        members.append(MemberWeights(parts, places, one.lstms(weights), projection, bias))
    return members, distinct


def _part(plan: EmbeddingPlan, weights: Weights) -> TypePart | ContextPart:
    """Return an embedding with its weights."""
    indexer, vectors = plan.indexer, plan.vectors(weights)
    if isinstance(indexer, TypeIndexer):
        return TypePart(plan.width, indexer.index, vectors)
    assert isinstance(indexer, ContextIndexer), "an indexer is one or the other"
    return ContextPart(plan.width, True, plan.sentencewise, indexer.index, vectors)
