"""The fast engine for CPUs: the same spans as the plain engine, several times faster.

It gives the weights of a network of torch to `CPUNetwork`; torch computes the vectors of tokens,
and the recurrence where the kernels in C were not built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ner import native
from ner.embeddings import ContextEmbedding, Embedding, TypeEmbedding
from ner.encoder import Encoder
from ner.inference.batch_engine import BatchEngine
from ner.inference.cpu_network import CPUNetwork, MemberWeights
from ner.inference.decoding import VITERBI, Decoding
from ner.inference.gates import CACHE, ContextPart, TypePart
from ner.inference.plain import PlainEngine
from ner.inference.span_decoder import Moves, SpanDecoder
from ner.scorer import Scorer, Stack

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def _part(embedding: Embedding) -> TypePart | ContextPart:
    """Return an embedding whose vectors torch computes."""
    if isinstance(embedding, TypeEmbedding):
        return TypePart(embedding.width, embedding.index, lambda *a: _computed(embedding, a))
    assert isinstance(embedding, ContextEmbedding), "an embedding is one or the other"
    tokenwise, axis = embedding.tokenwise, 1 if embedding.tokenwise else 0
    return ContextPart(
        embedding.width,
        tokenwise,
        embedding.sentencewise,
        embedding.index,
        lambda *arrays: _computed(embedding, arrays, axis),
    )


@torch.inference_mode()
def _computed(embedding: nn.Module, arrays: Sequence[NDArray[Any]], axis: int = -1) -> Floats:
    """Return the vectors of an embedding; in batches along a new axis, unless it is negative."""
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    if axis < 0:
        vectors: Floats = embedding(*tensors).numpy()
        return vectors
    found: Floats = embedding(*(tensor.unsqueeze(axis) for tensor in tensors)).squeeze(axis).numpy()
    return found


def lstms_of(encoder: Encoder) -> list[list[list[Floats]]]:
    """Return the weights of each layer and direction of an encoder."""
    stacks = [list(encoder.forwards), *([list(encoder.backwards)] if encoder.bidirectional else [])]
    return [
        [[weight.detach().numpy() for weight in lstm.parameters()] for lstm in layer]
        for layer in zip(*stacks, strict=True)
    ]


def _weights(stack: Stack) -> MemberWeights:
    """Return the weights and embeddings of one network."""
    return MemberWeights(
        [_part(embedding) for embedding in stack.embeddings.values()],
        stack.contexts,
        lstms_of(stack.encoder),
        stack.projection.weight.detach().numpy(),
        stack.projection.bias.detach().numpy(),
    )


def moves_of(network: Scorer) -> Moves:
    """Return the scores of a network's CRF."""
    chain = network.chain(torch.zeros(0, 1, len(network.tags)), torch.zeros(0).long())
    scores = (chain.transitions, chain.start, chain.end)
    return Moves(*(score.detach().float().cpu().numpy() for score in scores))


class TorchRecurrence:
    """The recurrence of one layer of an LSTM by torch; what ``ner.native.Recurrence`` does in C.

    Args:
        recurrent: From halved outputs to gates, ``(directions, width, 4 * width)``.
    """

    def __init__(self, recurrent: Floats) -> None:
        self.directions, self.width, _ = recurrent.shape
        self._recurrent = torch.from_numpy(recurrent)

    @cached_property
    def _whole(self) -> Tensor:
        """The recurrent weights for outputs that are not halved and a true tanh, ``_one``."""
        weights = 0.5 * self._recurrent
        weights[:, :, 3 * self.width :] *= 0.5
        return weights

    @torch.inference_mode()
    def run(self, gates: Floats, index: Integers, places: Integers, counts: Integers) -> Floats:
        """Return halved outputs, h / 2, ``(tokens, directions * width)``.

        The arguments are those of ``ner.native.Recurrence.run``.
        """
        if gates.ndim == 2:
            gates = gates.reshape(len(gates), self.directions, -1).transpose(1, 0, 2)
        found = np.empty((places.shape[1], self.directions, self.width), np.float32)
        if counts[0] == 1:
            own = np.stack([table.take(rows, 0) for table, rows in zip(gates, index, strict=True)])
            for way, outputs in enumerate(self._one(own).transpose(1, 0, 2)):
                found[places[way], way] = outputs
            return found.reshape(len(found), -1)
        sizes, packed = counts.tolist(), torch.empty(len(found), self.width)
        for way, weights in enumerate(self._recurrent):
            given = _looked_up(torch.from_numpy(gates[way]), index[way], sizes)
            self._along(given, torch.split(packed, sizes), weights)
            found[places[way], way] = packed.numpy()
        return found.reshape(len(found), -1)

    def _one(self, gates: Floats) -> Floats:
        """Return the halved outputs of one sentence, with as few calls as possible.

        With one row per step, calls cost more than arithmetic, and numpy's calls cost less than
        torch's. Only products and sigmoids are left to torch, on the same memory.

        Args:
            gates: The input's contribution, ``(directions, tokens, 4 * width)``; the backward
                direction starts at the end of the sentence.

        Returns:
            ``(tokens, directions, width)``, in the same order.
        """
        directions, tokens, _ = gates.shape
        width = self.width
        given = gates.reshape(directions, tokens, 4, width).transpose(1, 2, 0, 3).copy()
        given[:, 3] *= 0.5  # 2g -> g, for a true tanh
        outputs = np.empty((tokens, directions, width), np.float32)
        state, gate = np.empty((directions, 1, width), np.float32), np.empty_like(given[0])
        cells, change = np.zeros((2, directions, width), np.float32)
        reached = np.zeros((directions, 4 * width), np.float32)
        before, product = torch.from_numpy(state), torch.from_numpy(reached).unsqueeze(1)
        doors, (enter, keep, leave, new) = torch.from_numpy(gate[:3]), gate
        turned, here = reached.reshape(directions, 4, width).transpose(1, 0, 2), state[:, 0]
        for number, (own, output) in enumerate(zip(given, outputs, strict=True)):
            if number:
                torch.bmm(before, self._whole, out=product)
            np.add(own, turned, gate)
            doors.sigmoid_()
            np.tanh(new, new)
            # c(t) = s(f) c(t-1) + s(i) tanh(g); h(t) = s(o) tanh(c(t))
            np.multiply(enter, new, change)
            np.multiply(cells, keep, cells)
            np.add(cells, change, cells)
            np.tanh(cells, change)
            np.multiply(leave, change, here)
            output[...] = here
        outputs *= 0.5
        return outputs

    def _along(self, steps: Iterator[Tensor], outputs: Sequence[Tensor], weights: Tensor) -> None:
        """Write the halved outputs of one direction, step by step."""
        cells = outputs[0].new_zeros(outputs[0].shape)  # 2c
        squashed = torch.empty_like(cells)
        before: Tensor | None = None
        for gate, output in zip(steps, outputs, strict=True):
            n = len(gate)
            enter, keep, leave, new = torch.split(gate, self.width, 1)
            if n != len(cells):
                cells, squashed = cells[:n], squashed[:n]
            if before is not None:
                gate.addmm_(before if len(before) == n else before[:n], weights)
            gate.sigmoid_()
            # tanh(g) = 2 (s(2g) - 1/2), so 2c(t) = s(f) 2c(t-1) + 4 s(i) (s(2g) - 1/2)
            new.sub_(0.5)
            cells.mul_(keep).addcmul_(enter, new, value=4.0)
            # h(t) / 2 = s(o) (s(2c(t)) - 1/2)
            torch.sigmoid(cells, out=squashed).sub_(0.5)
            torch.mul(leave, squashed, out=output)
            before = output


def _looked_up(table: Tensor, index: Integers, counts: list[int]) -> Iterator[Tensor]:
    """Yield rows of a table, step by step, each just before it is used.

    All steps are written to the same buffer, which therefore stays in the CPU cache.

    Args:
        table: ``(capacity, width)``.
        index: In packed order, ``(tokens,)``.
        counts: The number of rows at each step, descending.
    """
    gate = table.new_empty(counts[0], table.shape[1])
    for some in torch.split(torch.from_numpy(index), counts):
        if len(some) != len(gate):
            gate = gate[: len(some)]
        torch.index_select(table, 0, some, out=gate)
        yield gate


class FastEngine(BatchEngine):
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
                    current = self._current = state, self._prepared()
        return current[1]

    def _prepared(self) -> CPUNetwork:
        recurrence: Callable[[Floats], native.Recurrence | TorchRecurrence] = native.Recurrence
        return CPUNetwork(
            [_weights(stack) for stack in self.network.stacks],
            self.network.context_embeddings,
            moves_of(self.network),
            cache=self.cache,
            recurrence=recurrence if native.kernels else TorchRecurrence,
        )


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
