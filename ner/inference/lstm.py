"""An LSTM for inference only: the same numbers as ``nn.LSTM``, faster on a CPU.

The contribution of the input to the gates is computed elsewhere, so that it can be cached. What
remains is a loop over the steps of a batch without padding. Each direction runs by itself, so that
its weights and the gates of a step stay in the CPU cache.

With s the sigmoid, a step computes ``c(t) = s(f) c(t-1) + s(i) tanh(g)`` and ``h(t) = s(o)
tanh(c(t))``. torch's tanh is several times slower than its sigmoid, so ``tanh(x) = 2 s(2x) - 1``
is used instead. The factors of 2 are folded into the weights: cells are stored doubled (2c) and
outputs halved (h / 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ner import native
from ner.encoder import Encoder

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PackedSequence:
    """The layout of a batch, sentence by sentence ("flat") and step by step ("packed").

    Packed order has the first tokens of all sentences, then all second tokens, and so on; for the
    backward direction, all last tokens come first.

    Attributes:
        lengths: Tokens per sentence, descending, ``(batch,)``.
        counts: The number of active sentences at each step.
        forward: The flat index of each packed token, ``(tokens,)``.
        backward: The same for the backward direction, ``(tokens,)``.
    """

    lengths: Integers
    counts: list[int]
    forward: Integers
    backward: Integers

    @staticmethod
    def of(lengths: Integers) -> PackedSequence:
        """Lay out sentences of these lengths, which must be descending and positive."""
        if len(lengths) == 1:
            one = np.arange(lengths[0])
            return PackedSequence(lengths, [1] * len(one), one, one[::-1].copy())
        steps = np.arange(lengths[0])[:, None]
        running = steps < lengths
        first = np.cumsum(lengths) - lengths
        return PackedSequence(
            lengths,
            running.sum(1).tolist(),
            (first + steps)[running],
            (first + lengths - 1 - steps)[running],
        )

    @property
    def orders(self) -> tuple[Integers, Integers]:
        """The flat indices of packed tokens, for each direction."""
        return self.forward, self.backward


def inverse(order: Integers) -> Integers:
    """Return the inverse of a permutation."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


class FusedLSTM:
    """One layer of an encoder, in one or two directions.

    Args:
        lstms: The LSTM of each direction; the second is the backward one.
        scale: The factor of the input: 2 if it is the (halved) output of another layer.

    Attributes:
        inputs: From vectors to gates, ``(input_width, directions * 4 * width)``.
        bias: The bias of the gates, ``(directions * 4 * width,)``.
        recurrent: From halved outputs to gates, ``(directions, width, 4 * width)``.
        kernel: The recurrence in C, where that is in use.
    """

    def __init__(self, lstms: Sequence[nn.LSTM], scale: float = 1.0) -> None:
        self.width = lstms[0].hidden_size
        self.directions = len(lstms)
        weights = [self._arranged([p.detach() for p in lstm.parameters()], scale) for lstm in lstms]
        self.inputs = torch.cat([part[0] for part in weights]).t().contiguous()
        self.bias = torch.cat([part[2] for part in weights])
        self.recurrent = torch.stack([part[1].t() for part in weights]).contiguous()
        self.kernel = native.Recurrence(self.recurrent.numpy()) if native.kernels else None

    @cached_property
    def _whole(self) -> Tensor:
        """The recurrent weights for outputs that are not halved and a true tanh, ``run_one``."""
        weights = 0.5 * self.recurrent
        weights[:, :, 3 * self.width :] *= 0.5
        return weights

    def _arranged(self, parameters: Sequence[Tensor], scale: float) -> tuple[Tensor, ...]:
        """Return input weights, recurrent weights and bias, with the gates in order i, f, o, g.

        The recurrent weights are doubled, since they multiply h / 2; the rows of g are doubled once
        more, since tanh(g) is computed as 2 s(2g) - 1.
        """
        width = self.width
        inputs, recurrent, bias, second_bias = parameters
        order = torch.arange(4 * width).view(4, width)[[0, 1, 3, 2]].reshape(-1)
        gates = [scale * inputs[order], 2.0 * recurrent[order], (bias + second_bias)[order]]
        for part in gates:
            part[3 * width :] *= 2.0
        return tuple(gates)

    def gates(self, vectors: Tensor) -> Tensor:
        """Project inputs ``(tokens, input_width)`` to the gates of all directions."""
        return torch.addmm(self.bias, vectors, self.inputs)

    def run(self, sources: Sequence[Iterable[Tensor]], counts: list[int]) -> Tensor:
        """Return the halved outputs, h / 2, of each token.

        Args:
            sources: For each direction, the input's contribution to the gates at each step,
                ``(rows, 4 * width)``; overwritten.
            counts: The number of rows at each step, descending.

        Returns:
            ``(directions, tokens, width)``, in packed order.
        """
        outputs = torch.empty(self.directions, sum(counts), self.width)
        for steps, own, weights in zip(sources, outputs, self.recurrent, strict=True):
            self._along(steps, torch.split(own, counts), weights)
        return outputs

    def run_one(self, gates: Floats) -> Floats:
        """Return the halved outputs, h / 2, of one sentence, with as few calls as possible.

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

    def _along(self, steps: Iterable[Tensor], outputs: Sequence[Tensor], weights: Tensor) -> None:
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


def looked_up(table: Tensor, rows: Tensor, counts: list[int]) -> Iterator[Tensor]:
    """Yield rows of a table, step by step, each just before it is used.

    All steps are written to the same buffer, which therefore stays in the CPU cache.

    Args:
        table: ``(capacity, width)``.
        rows: In packed order, ``(tokens,)``.
        counts: The number of rows at each step, descending.
    """
    gate = table.new_empty(counts[0], table.shape[1])
    for some in torch.split(rows, counts):
        if len(some) != len(gate):
            gate = gate[: len(some)]
        torch.index_select(table, 0, some, out=gate)
        yield gate


def layers_of(encoder: Encoder) -> list[FusedLSTM]:
    """Return the layers of an encoder, from the first to the last."""
    stacks: list[list[nn.LSTM]] = [list(encoder.forwards)]  # type: ignore[arg-type]
    if encoder.bidirectional:
        stacks.append(list(encoder.backwards))  # type: ignore[arg-type]
    return [
        FusedLSTM(pair, 2.0 if number else 1.0)
        for number, pair in enumerate(zip(*stacks, strict=True))
    ]
