"""The fast engine for CPUs: the same spans as the plain engine, several times faster.

The contribution of each distinct token to the gates of the first LSTM layer is computed once and
cached, and the recurrence runs without padding. ``BatchEngine`` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.embeddings import ContextEmbedding, TypeEmbedding
from ner.indexers import Arrays
from ner.inference.batch_engine import BatchEngine, GateBatch
from ner.inference.decoding import VITERBI, Decoding
from ner.inference.gates import ContextGates, TypeGates
from ner.inference.lstm import PackedSequence, inverse, layers_of, looked_up
from ner.inference.plain import PlainEngine
from ner.inference.span_decoder import Moves, SpanDecoder
from ner.inference.token_cache import CACHE, capacity_of
from ner.scorer import Scorer, Stack
from ner.sentence import Sentence


class CPUNetwork:
    """A copy of a network's current weights, with a cache of the gates computed from them.

    Args:
        network: A float32 network on the CPU, or an ensemble of such networks.
        cache: The maximum size of the cache of gates, in bytes.
    """

    def __init__(self, network: Scorer, *, cache: int = CACHE) -> None:
        stacks = network.stacks
        self._members = [_Member(stack, cache // len(stacks)) for stack in stacks]
        self._contexts = network.context_embeddings
        self.moves = moves_of(network)

    @property
    def capacity(self) -> int:
        """The maximum number of tokens per call of ``read``."""
        return min(member.types.capacity for member in self._members)

    def contexts(self, sentences: Sequence[Sentence]) -> list[list[Arrays]]:
        """Return the output of each context embedding for sentences of any length."""
        return [part.index_all(sentences) for part in self._contexts]

    @torch.inference_mode()
    def read(
        self, sentences: Sequence[Sequence[str]], contexts: list[list[Arrays]]
    ) -> GateBatch[Tensor]:
        """Index the tokens of sentences.

        Args:
            sentences: The tokens of each sentence, at most ``capacity`` in total.
            contexts: For each context embedding and sentence, the indices of its tokens.
        """
        looked = [member.types.look_up(sentences) for member in self._members]
        return GateBatch.of(looked, list(map(len, sentences)), contexts)

    @torch.inference_mode()
    def emissions(self, reading: GateBatch[Tensor], numbers: Sequence[int]) -> NDArray[np.float32]:
        """Return the emissions of some sentences, longest first, ``(tokens, tags)``."""
        lengths = np.array([len(reading.rows[0][number]) for number in numbers])
        packed = PackedSequence.of(lengths)
        contexts = [[own[number] for number in numbers] for own in reading.contexts]
        total: Tensor | None = None
        for member, table, own in zip(self._members, reading.tables, reading.rows, strict=True):
            rows = np.concatenate([own[number] for number in numbers])
            read = [contexts[place] for place in member.stack.contexts]
            emissions = member.emissions(packed, table, rows, read)
            total = emissions if total is None else total.add_(emissions)
        assert total is not None, "an ensemble has members"
        return (total if len(self._members) == 1 else total.div_(len(self._members))).numpy()


class _Member:
    """One member of an ensemble: its stack, weights and cached gates."""

    def __init__(self, stack: Stack, cache: int) -> None:
        self.stack = stack
        self.layers = layers_of(stack.encoder)
        self._kernels = [layer.kernel for layer in self.layers if layer.kernel]
        first = self.layers[0]
        types, weights, bias = [], [], first.bias.clone()
        self.contexts = []
        for part, columns in stack.columns():
            own = first.inputs[columns]
            if isinstance(part, TypeEmbedding):
                types.append(part)
                weights.append(own)
            elif isinstance(part, ContextEmbedding):
                self.contexts.append(ContextGates(part, own, first.directions))
                bias += self.contexts[-1].constant
        self.types = TypeGates(
            types,
            torch.cat(weights),
            bias,
            first.directions,
            capacity_of(cache, first.inputs.shape[1] * first.inputs.element_size()),
        )
        self._projection = (2.0 * stack.projection.weight.detach()).t().contiguous()
        self._projections = torch.split(self._projection, first.width)
        self._bias = stack.projection.bias.detach().clone()

    def emissions(
        self,
        packed: PackedSequence,
        table: Tensor,
        rows: NDArray[np.int64],
        contexts: Sequence[Sequence[Arrays]],
    ) -> Tensor:
        """Return the emissions of packed tokens, sentence by sentence, ``(tokens, tags)``."""
        if self._kernels:
            return self._natively(packed, table, rows, contexts)
        if len(packed.lengths) == 1:
            return self._of_one(packed, table, rows, contexts)
        first, *above = self.layers
        orders = [torch.from_numpy(order) for order in packed.orders[: first.directions]]
        flat = torch.from_numpy(rows)
        if self.contexts:
            gates = table.new_empty(first.directions, len(rows), table.shape[2])
            for order, own, out in zip(orders, table, gates, strict=True):
                torch.index_select(own, 0, flat[order], out=out)
            for part, sentences in zip(self.contexts, contexts, strict=True):
                part.add_to(gates, sentences, packed)
            outputs = first.run([torch.split(own, packed.counts) for own in gates], packed.counts)
        else:
            ways = zip(table, orders, strict=True)
            steps = [looked_up(own, flat[order], packed.counts) for own, order in ways]
            outputs = first.run(steps, packed.counts)
        places = [torch.from_numpy(inverse(order)) for order in packed.orders[: first.directions]]
        for layer in above:
            read = [out.index_select(0, place) for out, place in zip(outputs, places, strict=True)]
            inputs = layer.gates(torch.cat(read, 1)).chunk(layer.directions, 1)
            steps = [
                looked_up(own, order, packed.counts)
                for own, order in zip(inputs, orders, strict=True)
            ]
            outputs = layer.run(steps, packed.counts)
        return self._projected(outputs, places)

    def _natively(
        self,
        packed: PackedSequence,
        table: Tensor,
        rows: NDArray[np.int64],
        contexts: Sequence[Sequence[Arrays]],
    ) -> Tensor:
        """Return the emissions of packed tokens by the C kernels."""
        (first, *above), directions = self._kernels, self.layers[0].directions
        places = np.stack(packed.orders[:directions])
        counts, gates, index = np.array(packed.counts), table.numpy(), rows[places]
        if self.contexts:
            gates = np.stack([own.take(way, 0) for own, way in zip(gates, index, strict=True)])
            index = np.tile(np.arange(len(rows)), (directions, 1))
            for part, sentences in zip(self.contexts, contexts, strict=True):
                part.add_to(torch.from_numpy(gates), sentences, packed)
        outputs = torch.from_numpy(first.run(gates, index, places, counts))
        for layer, kernel in zip(self.layers[1:], above, strict=True):
            gates = layer.gates(outputs).numpy()
            outputs = torch.from_numpy(kernel.run(gates, places, places, counts))
        return torch.addmm(self._bias, outputs, self._projection)

    def _of_one(
        self,
        packed: PackedSequence,
        table: Tensor,
        rows: NDArray[np.int64],
        contexts: Sequence[Sequence[Arrays]],
    ) -> Tensor:
        """Return the emissions of a single sentence, ``(tokens, tags)``."""
        first, *above = self.layers
        ways = [rows, rows[::-1]][: first.directions]
        gates = np.stack([own.take(way, 0) for own, way in zip(table.numpy(), ways, strict=True)])
        for part, sentences in zip(self.contexts, contexts, strict=True):
            part.add_to(torch.from_numpy(gates), sentences, packed)
        outputs = _along_text(first.run_one(gates))
        for layer in above:
            inputs = layer.gates(torch.from_numpy(outputs)).numpy()
            parts = np.split(inputs, layer.directions, 1)
            gates = np.stack([parts[0], *(part[::-1] for part in parts[1:])])
            outputs = _along_text(layer.run_one(gates))
        return torch.addmm(self._bias, torch.from_numpy(outputs), self._projection)

    def _projected(self, outputs: Tensor, places: Sequence[Tensor]) -> Tensor:
        """Project halved outputs to emissions, sentence by sentence, ``(tokens, tags)``."""
        emissions = torch.addmm(self._bias, outputs[0], self._projections[0])
        emissions = emissions.index_select(0, places[0])
        if len(places) > 1:
            backward = torch.mm(outputs[1], self._projections[1])
            emissions += backward.index_select(0, places[1])
        return emissions


def _along_text(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Concatenate the outputs of one sentence, ``(tokens, directions * width)``.

    Args:
        outputs: ``(tokens, directions, width)``; the backward ones start at the end.
    """
    return np.concatenate(
        [outputs[:, 0], *(outputs[::-1, d] for d in range(1, outputs.shape[1]))], 1
    )


def moves_of(network: Scorer) -> Moves:
    """Return the scores of a network's CRF."""
    chain = network.chain(torch.zeros(0, 1, len(network.tags)), torch.zeros(0).long())
    scores = (chain.transitions, chain.start, chain.end)
    return Moves(*(score.detach().float().cpu().numpy() for score in scores))


class FastEngine(BatchEngine[Tensor]):
    """Tags on the CPU with a float32 network. Thread-safe.

    The weights are copied on first use, and again after an optimiser or ``load_state_dict`` has
    changed them. (Changes of ``parameter.data`` cannot be detected.)

    Args:
        network: The network; it is never modified.
        decoding: The decoding settings.
        cache: The maximum size of the cache of gates, in bytes.
    """

    def __init__(
        self, network: Scorer, decoding: Decoding = VITERBI, *, cache: int = CACHE
    ) -> None:
        super().__init__(SpanDecoder(network.scheme, network.labels, decoding))
        self.network = network
        self.decoding = decoding
        self.cache = cache
        self._parameters = list(network.parameters())  # once: traversing the modules is slow
        self._lock = Lock()
        self._current: tuple[tuple[int, ...], CPUNetwork] | None = None

    @staticmethod
    def serves(network: Scorer) -> bool:
        """Return whether this engine supports a network in its current state."""
        recurrent = all(len(stack.encoder.forwards) for stack in network.stacks)
        return recurrent and not network.training and _usual(list(network.parameters()))

    def fits(self) -> bool:
        """Return whether this engine still supports its network."""
        return not self.network.training and _usual(self._parameters)

    def emitter(self) -> CPUNetwork:
        """Return the network with its current weights."""
        state = tuple([part for w in self._parameters for part in (w.data_ptr(), w._version)])
        current = self._current
        if current is None or current[0] != state:
            with self._lock:
                current = self._current
                if current is None or current[0] != state:
                    with torch.inference_mode():
                        prepared = CPUNetwork(self.network, cache=self.cache)
                    current = self._current = state, prepared
        return current[1]


def _usual(weights: list[torch.nn.Parameter]) -> bool:
    return all(
        w.dtype is torch.float32 and w.device.type == "cpu" and not w.is_inference()
        for w in weights
    )


def engine_for(network: Scorer, decoding: Decoding | None = None) -> FastEngine | PlainEngine:
    """Return the fastest engine that supports a network in its current state.

    Args:
        network: The network.
        decoding: The decoding settings.
    """
    engine = FastEngine if FastEngine.serves(network) else PlainEngine
    return engine(network, decoding or Decoding())
