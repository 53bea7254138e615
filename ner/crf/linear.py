"""The recursions on packed numpy arrays, with weights in place of their logs; needs no torch.

With ``W = exp(transitions)`` and ``P = exp(emissions)`` a step forwards is a matrix product and
a product by elements, ``alpha = (alpha W) * P``; a step backwards is the same with W transposed.
Both walks go on side by side, so that a step of the whole batch is two numpy calls. Everything
is float64, scaled to sum 1 as often as the range of the scores asks for (Rabiner 1989). Where
that range is too wide for float64, the caller is told so and turns to log space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ner.crf.packing import Packing
from ner.crf.scratch import Scratch

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

# The logs of what float64 holds are within 700 of 0. Between two scalings weights fall by at most
# `_FALL`, so the sum of alpha * beta at a token stays over `_LEAST`. What underflow has taken
# from such a sum is under exp(-700), nothing beside it; a smaller sum is not trusted.
_FALL = 250.0
_LEAST = float(np.exp(-2 * _FALL))
_CUT = 650.0  # a score so far below the greatest weighs nothing (such as a penalty of -1e4)
_NARROW = 40.0  # emissions within this range need no maximum per token, and exp in their dtype


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of emissions and transitions, and the logs of what was divided out.

    nodes: ``(n, tags)``, packed. moves: ``(tags, tags)``. start, end: ``(tags,)`` or
    ``(rows, tags)``. node_log: scalar or ``(n,)``.
    start_log, end_log: scalar or ``(rows,)``.
    every: the number of steps that need no scaling; 0 where not even one goes without.
    """

    nodes: Floats
    moves: Doubles
    start: Doubles
    end: Doubles
    node_log: Doubles
    move_log: float
    start_log: Doubles
    end_log: Doubles
    every: int

    @staticmethod
    def of(emissions: Floats, transitions: Doubles, start: Doubles, end: Doubles) -> Weights:
        """Weigh scores."""
        low, high = emissions.min(), emissions.max()
        if high - low <= _NARROW:
            node_log, node_fall = np.float64(high), float(high - low)
            nodes = np.exp(emissions - high)
        else:
            wide = emissions.astype(np.float64)
            node_log = wide.max(axis=1)
            wide -= node_log[:, None]
            node_fall = _fall(wide)
            nodes = np.exp(wide, out=wide)
        greatest = transitions.max()
        if greatest == -np.inf:  # a sentence of one token may still be legal
            greatest = 0.0
        moves = np.exp(transitions - greatest)
        mass = max(moves.sum(axis=0).max(), moves.sum(axis=1).max(), 1.0)
        moves /= mass
        start_log, end_log = start.max(axis=-1), end.max(axis=-1)
        start, end = start - start_log[..., None], end - end_log[..., None]
        move_fall = max(_fall(transitions - greatest) + np.log(mass), _fall(start), _fall(end))
        fall = node_fall + move_fall
        return Weights(
            nodes,
            moves,
            np.exp(start),
            np.exp(end),
            node_log,
            float(greatest + np.log(mass)),
            start_log,
            end_log,
            int(_FALL / max(fall, 1e-3)) if fall < np.inf else 0,
        )


def _fall(scores: Floats) -> float:
    """How far scores of at most 0 lie below 0; infinite if they are no numbers."""
    least = scores.min()
    if least > -_CUT:
        return float(-least)
    counted = scores[~(scores <= -_CUT)]  # keeps what is no number
    least = counted.min() if counted.size else 0.0
    return float(-least) if least <= 0.0 else np.inf


@dataclass(frozen=True, slots=True)
class PackedGradient:
    """The derivatives of a weighted sum of log partitions, less those of gold paths' scores.

    nodes: ``(n, tags)``; token i of it is the `reverse` of packed token i.
    moves: ``(tags, tags)``. start, end: ``(tags,)``.
    """

    nodes: Doubles
    moves: Doubles
    start: Doubles
    end: Doubles


@dataclass(frozen=True, slots=True)
class Linear:
    """What the recursions leave behind.

    values: at each step alpha of the tokens reached forwards, and below it the weight of the
        emission times beta of the tokens reached backwards, ``(2 n, tags)``.
    ahead: the same before the emission was multiplied in.
    alpha, beta: of the reverse of each packed token, ``(n, tags)``.
    total: the sums of alpha times beta, ``(n,)``.
    scalings: steps, with the sums that were divided out there, ``(2, rows)``.
    log_partition: ``(rows,)``.
    """

    packing: Packing
    weights: Weights
    values: Doubles
    ahead: Doubles
    alpha: Doubles
    beta: Doubles
    total: Doubles
    scalings: list[tuple[int, Doubles]]
    log_partition: Doubles
    spare: Doubles
    scratch: Scratch  # keeps the memory of the arrays from other users

    @staticmethod
    def of(
        packing: Packing, emissions: Floats, transitions: Doubles, start: Doubles, end: Doubles
    ) -> Linear | None:
        """Run both recursions.

        Args:
            packing: Where the tokens lie; there is at least one.
            emissions: ``(n, tags)``, packed.
            transitions: ``(tags, tags)``.
            start: ``(tags,)`` or ``(rows, tags)``.
            end: ``(tags,)`` or ``(rows, tags)``.

        Returns:
            None where float64 cannot hold the weights, where scores are no numbers, and where a
            sentence has no legal path.
        """
        n, tags = emissions.shape
        scratch = Scratch(8 * n * tags)
        nodes, values, ahead = (scratch.cut(2 * n, tags) for _ in range(3))
        alpha, beta = scratch.cut(n, tags), scratch.cut(n, tags)
        with np.errstate(all="ignore"):
            weights = Weights.of(emissions, transitions, start, end)
            if weights.every == 0:
                return None
            alpha[...] = weights.nodes
            np.take(alpha, packing.interleaved, 0, nodes, "clip")
            scalings = _walk(packing.runs, weights, nodes, values, ahead)
            np.take(values, packing.forwards[packing.reverse], 0, alpha, "clip")
            np.take(ahead, packing.backwards, 0, beta, "clip")
            total = np.einsum("ij,ij->i", alpha, beta)
            if not total.min() >= _LEAST:
                return None
            log_partition = _log_partition(packing, weights, total, scalings)
        return Linear(
            packing,
            weights,
            values,
            ahead,
            alpha,
            beta,
            total,
            scalings,
            log_partition,
            nodes,
            scratch,
        )

    def gradient(self, row_weights: Doubles, gold: Integers | None = None) -> PackedGradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores.

        Args:
            row_weights: ``(rows,)``.
            gold: The tag of each packed token, ``(n,)``.
        """
        packing, (n, tags) = self.packing, self.alpha.shape
        rows = len(packing.lengths)
        token_weights = row_weights[packing.row]
        nodes, follow = self.spare[:n], self.spare[n : 2 * n - rows]
        np.multiply(self.alpha, (token_weights / self.total)[:, None], out=nodes)
        np.take(self.values, packing.backwards[packing.previous], 0, follow, "clip")
        moves = self.weights.moves * (nodes[rows:].T @ follow)
        nodes *= self.beta
        if gold is not None:
            places = np.arange(0, n * tags, tags) + gold[packing.reverse]
            nodes.reshape(-1)[places] -= token_weights
            pairs = gold[packing.previous] * tags + gold[rows:]
            counts = np.bincount(pairs, token_weights[rows:], tags * tags)
            moves -= counts.reshape(tags, tags)
        firsts = nodes[packing.reverse[:rows]]
        return PackedGradient(nodes, moves, firsts.sum(axis=0), nodes[:rows].sum(axis=0))

    def messages(self) -> tuple[Doubles, Doubles]:
        """The logs of alpha, and of the reverse token's beta, ``(n, tags)`` each."""
        packing, weights = self.packing, self.weights
        step, row, rows = packing.step, packing.row, len(packing.lengths)
        divided = np.zeros((2, len(packing.offsets), rows))
        for at, mass in self.scalings:
            divided[:, at + 1, : mass.shape[1]] = np.log(mass)
        divided = divided.cumsum(axis=1)
        passed = np.zeros((len(packing.offsets), rows))
        passed[step + 1, row] = weights.node_log + weights.move_log
        passed = passed.cumsum(axis=0)
        before = divided[0, step + 1, row] + passed[step + 1, row] - weights.move_log
        behind = divided[1, step, row] + passed[packing.lengths[row], row]
        behind -= passed[packing.lengths[row] - step, row]
        before += np.broadcast_to(weights.start_log, rows)[row]
        behind += np.broadcast_to(weights.end_log, rows)[row]
        with np.errstate(divide="ignore"):
            alpha, beta = np.log(self.values[packing.forwards]), np.log(self.beta)
        return alpha + before[:, None], beta + behind[:, None]


def _walk(
    runs: list[tuple[int, int, int]],
    weights: Weights,
    nodes: Doubles,
    values: Doubles,
    ahead: Doubles,
) -> list[tuple[int, Doubles]]:
    """Fill `values` and `ahead`; give back what was divided out."""
    tags, rows = nodes.shape[1], runs[0][2]
    moves = np.stack((weights.moves, weights.moves.T))
    multiply, matmul, every = np.multiply, np.matmul, weights.every
    ahead[:rows], ahead[rows : 2 * rows] = weights.start, weights.end
    before = values[: 2 * rows].reshape(2, rows, tags)
    multiply(ahead[: 2 * rows], nodes[: 2 * rows], out=values[: 2 * rows])
    scalings, place = [], 2 * rows
    for first, last, n in runs:
        first = max(first, 1)
        stop, shape = place + 2 * n * (last - first), (last - first, 2, n, tags)
        steps = [each[place:stop].reshape(shape) for each in (ahead, nodes, values)]
        before, place = before[:, :n], stop
        for step, (reached, node, value) in enumerate(zip(*steps, strict=True), first):
            matmul(before, moves, reached)
            multiply(reached, node, value)
            if step % every == 0:
                mass = value.sum(axis=2)
                value /= mass[:, :, None]
                scalings.append((step, mass))
            before = value
    return scalings


def _log_partition(
    packing: Packing, weights: Weights, total: Doubles, scalings: list[tuple[int, Doubles]]
) -> Doubles:
    """The log of each row's sum over paths, ``(rows,)``: at its last token beta is the end."""
    rows = len(packing.lengths)
    log_partition = np.log(total[:rows]) + weights.start_log + weights.end_log
    log_partition += (packing.lengths - 1) * weights.move_log
    for _, mass in scalings:
        log_partition[: mass.shape[1]] += np.log(mass[0])
    if weights.node_log.ndim == 0:
        return log_partition + packing.lengths * weights.node_log
    return log_partition + np.bincount(packing.row, weights.node_log, rows)
