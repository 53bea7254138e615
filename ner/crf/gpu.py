"""Forward-backward and Viterbi on an accelerator, in torch operations. Experimental.

Its tests (``tests/test_crf_cuda.py``) have not run on a GPU yet; on the CPU the same sums are held
to enumeration. They are those of ``core.linear_space``, with potentials in place of their logs. A
time step costs the launch of a few kernels, and the host never waits for it. Long sentences are cut
into pieces that are processed in parallel, as in a parallel scan (Sarkka and Garcia-Fernandez
2021): first compute the matrix that carries a message across each piece, then carry messages from
piece to piece, then run the recursion within every piece from the messages at its ends. The number
of sequential steps is about the square root of the length.

One additional tag, the last, stands for the boundary: the step before the first token and all
steps after the last one. With its transitions the recursion needs neither a mask nor lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.crf.core.scores import Messages
from ner.crf.core.viterbi import LEVEL, TwoWayLayout, TwoWayMoves, TwoWayWalk, search, working_type
from ner.crf.lattice import Lattice

_EVERY = 4  # steps between two rescalings
_LEAST = math.exp(-500.0)  # a smaller sum(alpha * beta) may have lost terms to underflow
_WORK = 4e9  # maximum number of multiplications to compute the matrices of all pieces


@dataclass(frozen=True, slots=True, eq=False)
class _DevicePotentials:
    """Potentials with the boundary tag, and the logs of the factors divided out.

    nodes: ``(steps, pieces * batch, tags + 1)``. moves: ``(tags + 1, tags + 1)``.
    shift: ``(batch, length)``, 0 at padding. move_log, start_log, end_log: scalars.
    """

    nodes: Tensor
    moves: Tensor
    shift: Tensor
    move_log: Tensor
    start_log: Tensor
    end_log: Tensor

    @staticmethod
    def of(lattice: Lattice, steps: int, pieces: int) -> _DevicePotentials:
        """Exponentiate the scores of a lattice, cut into pieces of `steps` steps."""
        nodes, mask = lattice.nodes(), lattice.mask
        batch, length, tags = nodes.shape
        shift = torch.where(mask, nodes.amax(2), 0.0)
        weights = nodes.new_zeros(steps * pieces, batch, tags + 1)
        weights[:, :, tags] = 1.0
        inside = mask.t()
        weights[:length, :, :tags] = (nodes - shift.unsqueeze(2)).exp().transpose(
            0, 1
        ) * inside.unsqueeze(2)
        weights[:length, :, tags] = (~inside).double()
        weights = weights.view(pieces, steps, batch, tags + 1).transpose(0, 1)
        moves, move_log = _divided(lattice.transitions)
        start, start_log = _divided(lattice.start)
        end, end_log = _divided(lattice.end)
        mass = torch.maximum(moves.sum(0).amax(), moves.sum(1).amax()).clamp_min(1.0)
        table = nodes.new_zeros(tags + 1, tags + 1)
        table[:tags, :tags] = moves / mass
        table[tags, :tags], table[:tags, tags], table[tags, tags] = start, end, 1.0
        weights = weights.reshape(steps, pieces * batch, tags + 1)
        return _DevicePotentials(weights, table, shift, move_log + mass.log(), start_log, end_log)


def _divided(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return exp(scores - maximum), and the maximum."""
    scores = scores.double()
    greatest = scores.amax()
    greatest = torch.where(greatest == -torch.inf, 0.0, greatest)
    return (scores - greatest).exp(), greatest


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """Sums over the paths of a lattice, by torch operations on any device.

    pieces: the number of pieces of every sentence.
    reached: the forward messages, and the backward ones counted from the end of a piece, excluding
        the emission, ``(steps, 2, pieces * batch, tags + 1)``.
    values: the same including the emission.
    entering: alpha before each piece's first step, ``(pieces * batch, tags + 1)``.
    logs: the logs of the factors divided out of the forward `values` and the backward `reached`,
        ``(steps, 2, pieces * batch)``.
    log_partition: ``(batch,)``, float64.
    gold_score: the scores of the gold paths, ``(batch,)``, float64; 0 without gold tags.
    """

    lattice: Lattice
    tags: Tensor | None
    weights: _DevicePotentials
    pieces: int
    reached: Tensor
    values: Tensor
    entering: Tensor
    logs: Tensor
    log_partition: Tensor
    gold_score: Tensor

    @staticmethod
    def of(lattice: Lattice, tags: Tensor | None = None) -> Scaled | None:
        """Run both recursions.

        Args:
            lattice: The scores.
            tags: Gold tags, ``(batch, length)``; anything at padding.

        Returns:
            None if float64 cannot hold the potentials, a score is NaN or infinite, a sentence has
            no legal path, or gold tags are not legal. This check is the only time the host waits.
        """
        batch, length, count = lattice.emissions.shape
        if batch == 0 or length == 0:
            return None
        steps, pieces = _cut(batch, length, count)
        weights = _DevicePotentials.of(lattice, steps, pieces)
        entering, leaving, ends = _carry(weights, pieces)
        reached, values, divided = _walk(weights, entering, leaving)
        logs = divided.cumsum(0).add_(ends)
        last = values[-1, 0, -batch:, count].log() + logs[-1, 0, -batch:]
        some = lattice.lengths > 0
        total = last + weights.shift.sum(1) + (lattice.lengths - 1) * weights.move_log
        total = torch.where(some, total + weights.start_log + weights.end_log, 0.0)
        score = torch.zeros_like(total) if tags is None else lattice.score(tags)
        # sum_y alpha(t, y) beta(t, y), which equals Z up to the factors divided out
        sums = (reached[:, 0] * values[:, 1].flip(0)).sum(2)
        sound = (sums.amin() >= _LEAST) & torch.isfinite(total).all()
        sound &= (lattice.lengths <= length).all() & torch.isfinite(score).all()
        if not bool(sound):
            return None
        logs[:, 1] -= divided[:, 1]  # backward `reached` precedes the division of its step
        return Scaled(lattice, tags, weights, pieces, reached, values, entering, logs, total, score)

    def gradient(
        self, weights: Tensor, factor: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the derivatives of the weighted log partitions, less those of gold scores.

        Args:
            weights: ``(batch,)``, or a scalar.
            factor: A factor of all weights.
            dtype: The type of the emissions' derivatives.
        """
        weights = (weights.double() * factor).expand(len(self.log_partition))
        _, length, count = self.lattice.emissions.shape
        # d log Z / d e(t, y) = alpha(t, y) beta(t, y) / Z
        # d log Z / d A[y, y'] = sum over t of alpha(t-1, y) W[y, y'] P(t, y') beta(t, y') / Z
        following = self.values[:, 1].flip(0)
        nodes = self.reached[:, 0] * following
        by = weights.repeat(self.pieces).unsqueeze(1) / nodes.sum(2, keepdim=True)
        before = torch.cat((self.entering.unsqueeze(0), self.values[:-1, 0])) * by
        pairs = before.flatten(0, 1).t() @ following.flatten(0, 1) * self.weights.moves
        nodes = self._in_order(nodes * by)[:, :, :count].contiguous()
        if self.tags is not None:
            inside = self.lattice.mask
            gold = torch.where(inside, self.tags, 0)
            minus = torch.where(inside, -weights.unsqueeze(1), 0.0)
            nodes.scatter_add_(2, gold.unsqueeze(2), minus.unsqueeze(2))
            gold = torch.where(inside, self.tags, count)
            edge = torch.full_like(gold[:, :1], count)
            gold = torch.cat((edge, gold, edge), dim=1)
            places = (gold[:, :-1] * (count + 1) + gold[:, 1:]).flatten()
            minus = -weights.repeat_interleave(length + 1)
            pairs = pairs.flatten().scatter_add(0, places, minus).view_as(pairs)
        return nodes.to(dtype), pairs[:-1, :-1], pairs[-1, :-1], pairs[:-1, -1]

    def messages(self) -> Messages:
        """Return the messages, ``(batch, length, tags)``, on the host."""
        weights, count = self.weights, self.lattice.emissions.shape[2]
        alpha = self.values[:, 0].log() + self.logs[:, 0].unsqueeze(2)
        beta = (self.reached[:, 1].log() + self.logs[:, 1].unsqueeze(2)).flip(0)
        passed = weights.shift.cumsum(1)
        place = torch.arange(passed.shape[1], device=passed.device)
        before = passed + place * weights.move_log + weights.start_log
        left = (self.lattice.lengths.unsqueeze(1) - 1 - place) * weights.move_log
        behind = passed[:, -1:] - passed + left + weights.end_log
        found = (
            self._in_order(alpha)[:, :, :count] + before.unsqueeze(2),
            self._in_order(beta)[:, :, :count] + behind.unsqueeze(2),
            self.log_partition,
        )
        return Messages(*(part.cpu().numpy() for part in found))

    def _in_order(self, values: Tensor) -> Tensor:
        """Rearrange ``(steps, pieces * batch, ...)`` to ``(batch, length, tags + 1)``."""
        batch, length, _ = self.lattice.emissions.shape
        values = values.view(len(values), self.pieces, batch, -1).transpose(0, 1).flatten(0, 1)
        return values[:length].transpose(0, 1)


def _cut(batch: int, length: int, tags: int) -> tuple[int, int]:
    """Return the number of steps per piece, and of pieces, for length + 1 steps."""
    total = length + 1
    if batch * total * (tags + 1) ** 3 > _WORK or total < 16:
        return total, 1
    steps = math.ceil(math.sqrt(0.6 * total))  # a step within pieces costs more than one between
    return steps, math.ceil(total / steps)


def _carry(weights: _DevicePotentials, pieces: int) -> tuple[Tensor, Tensor, Tensor]:
    """Carry messages from piece to piece: m(k + 1) = m(k) M(k), normalised to sum 1.

    Returns:
        The messages that enter each piece forward and backward, ``(pieces * batch, tags + 1)``
        each, and the logs of the factors divided out, ``(2, pieces * batch)``.
    """
    nodes = weights.nodes
    rows, tags = nodes.shape[1:]
    batch = rows // pieces
    message = nodes.new_zeros(2, batch, tags)
    message[:, :, -1] = 1.0
    log = nodes.new_zeros(2, batch)
    found, logs = [message], [log]
    if pieces > 1:
        matrices, matrix_logs = _matrices(weights)
        matrices = matrices.view(pieces, batch, tags, tags)
        matrix_logs = matrix_logs.view(pieces, batch)
        both = torch.stack((matrices, matrices.transpose(2, 3).flip(0)), dim=1).flatten(1, 2)
        both_logs = torch.stack((matrix_logs, matrix_logs.flip(0)), dim=1)
        for matrix, matrix_log in zip(both[:-1], both_logs[:-1], strict=True):
            message = torch.bmm(message.view(2 * batch, 1, tags), matrix).view(2, batch, tags)
            mass = message.sum(2, keepdim=True)
            message = message / mass
            log = log + matrix_log + mass.squeeze(2).log()
            found.append(message)
            logs.append(log)
    stacked, all_logs = torch.stack(found, dim=1), torch.stack(logs, dim=1)
    entering, leaving = stacked[0], stacked[1].flip(0)
    all_logs = torch.stack((all_logs[0], all_logs[1].flip(0)))
    return entering.flatten(0, 1), leaving.flatten(0, 1), all_logs.flatten(1, 2)


def _matrices(weights: _DevicePotentials) -> tuple[Tensor, Tensor]:
    """Return M = product of W diag(P(t)) over each piece, and the log of the factor divided out.

    Returns:
        ``(pieces * batch, tags + 1, tags + 1)`` and ``(pieces * batch,)``.
    """
    steps, rows, tags = weights.nodes.shape
    matrix = torch.eye(tags, dtype=weights.nodes.dtype, device=weights.nodes.device)
    matrix = matrix.expand(rows, tags, tags).contiguous()
    log = weights.nodes.new_zeros(rows)
    for step, node in enumerate(weights.nodes.unsqueeze(2), 1):
        matrix = (matrix.view(-1, tags) @ weights.moves).view(rows, tags, tags).mul_(node)
        if step % _EVERY == 0 or step == steps:
            mass = matrix.amax((1, 2))
            matrix = matrix / mass[:, None, None]
            log = log + mass.log()
    return matrix, log


def _walk(
    weights: _DevicePotentials, entering: Tensor, leaving: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run both recursions over all pieces; see `Scaled` for the values returned."""
    steps, rows, _ = weights.nodes.shape
    nodes = torch.stack((weights.nodes, weights.nodes.flip(0)), dim=1)
    moves = torch.stack((weights.moves, weights.moves.t()))
    reached, values = torch.empty_like(nodes), torch.empty_like(nodes)
    logs = nodes.new_zeros(steps, 2, rows)
    reached[0, 0], reached[0, 1] = entering @ weights.moves, leaving
    torch.mul(reached[0], nodes[0], out=values[0])
    previous = values[0]
    each = zip(reached.unbind(), nodes.unbind(), values.unbind(), strict=True)
    for step, (before, node, value) in enumerate(each):
        if step:
            torch.bmm(previous, moves, out=before)
            torch.mul(before, node, out=value)
        if step % _EVERY == _EVERY - 1:
            mass = value.sum(2, keepdim=True)
            value.div_(mass)
            torch.log(mass.squeeze(2), out=logs[step])
        previous = value
    return reached, values, logs


def viterbi_on_gpu(lattice: Lattice) -> NDArray[np.int64]:
    """Return the tags of the path of greatest score, ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: Emissions or transitions contain NaN, or a sentence has no legal path.
    """
    scores = lattice.arrays()
    kind = working_type(scores)
    dtype = torch.float64 if kind is np.float64 else torch.float32
    emissions = lattice.emissions.detach().to(dtype)
    if lattice.candidates is not None:
        emissions = emissions.masked_fill(~lattice.candidates, -torch.inf)
    parts = (lattice.transitions, lattice.start, lattice.end)
    moves, start, end = (part.detach().to(dtype) for part in parts)
    both = torch.stack((moves, moves.t()), dim=1).unsqueeze(1)  # (from, 1, walk, to)
    ends = torch.stack((start, end))

    def walk(layout: TwoWayLayout) -> TwoWayWalk:
        return _best_walk(emissions.flatten(0, 1), both, ends, layout)

    width = emissions.shape[1]
    paths, lost = search(scores.lengths, width, TwoWayMoves.of(scores, kind), walk)
    if lost is not None:
        raise scores.failure(lost)
    return paths


def _best_walk(flat: Tensor, both: Tensor, ends: Tensor, layout: TwoWayLayout) -> TwoWayWalk:
    """Run both Viterbi recursions over the sentences of a layout.

    Args:
        flat: The emissions of all tokens, ``(batch * length, tags)``.
        both: The transitions of both recursions, ``(tags, 1, 2, tags)``.
        ends: The scores of start and end, ``(2, tags)``.
        layout: The layout.
    """
    steps, rows = layout.tokens.shape
    tokens = torch.from_numpy(layout.tokens).to(flat.device)
    nodes = flat[tokens].view(steps, rows // 2, 2, -1)  # (steps, sentences, walk, tags)
    odd = np.flatnonzero(layout.odd)
    middle = torch.from_numpy(layout.reach[odd] - 1).to(flat.device)
    nodes[middle, torch.from_numpy(odd).to(flat.device), 1] = 0.0  # a shared token counts once
    best = torch.empty_like(nodes)
    torch.add(nodes[0], ends, out=best[0])
    for step in range(1, steps):
        room = best[step - 1].permute(2, 0, 1).unsqueeze(3) + both  # (from, sentences, walk, to)
        torch.amax(room, 0, out=best[step])
        best[step] += nodes[step]
        if step % LEVEL == 0:
            best[step] -= best[step].amax(2, keepdim=True)
    return TwoWayWalk(list(best.flatten(1, 2).transpose(1, 2).cpu().numpy()))
