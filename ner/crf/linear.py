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
from ner.crf.weights import FALL, Doubles, Weights

Integers = NDArray[np.int64]

# What underflow takes from a sum of alpha * beta is under exp(-700), since that is what float64
# holds. A sum over this is right then; one below it is not trusted.
_LEAST = float(np.exp(-2 * FALL))
_PIECE = 1024  # rows of a tall matrix product that stay in a fast cache


class Room:
    """The memory of the recursions over a packing.

    emissions: ``(n, tags)``: where the caller puts the packed emissions; later it is `beta`.
    spare, values, ahead: ``(walked, tags)``. alpha, beta: ``(n, tags)``.
    """

    def __init__(self, packing: Packing, tags: int, dtype: np.dtype[np.floating]) -> None:
        n, walked = len(packing.tokens), len(packing.walked)
        size = 3 * walked + 2 * n
        self.scratch = Scratch(size * tags)
        rows = self.scratch.buffer[: size * tags].reshape(size, tags)
        self.spare, self.values = rows[:walked], rows[walked : 2 * walked]
        self.ahead = rows[2 * walked : 3 * walked]
        self.alpha, self.beta = rows[3 * walked : 3 * walked + n], rows[3 * walked + n :]
        self.emissions: NDArray[np.floating] = (
            self.beta.reshape(-1).view(dtype)[: n * tags].reshape(n, tags)
        )


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

    room: in it `values` holds, at each step, alpha of the tokens reached forwards and then the
        weight of the emission times beta of those reached backwards; `alpha` and `beta` are of
        the reverse of each packed token; `ahead` and `spare` are free for the gradient.
    total: the sums of alpha times beta, ``(n,)``.
    scalings: steps, with the sums that were divided out there, ``(2, rows)`` of rows still
        walking.
    log_partition: ``(rows,)``.
    """

    packing: Packing
    weights: Weights
    room: Room
    total: Doubles
    scalings: list[tuple[int, Doubles]]
    log_partition: Doubles

    @staticmethod
    def of(
        packing: Packing, room: Room, transitions: Doubles, start: Doubles, end: Doubles
    ) -> Linear | None:
        """Run both recursions.

        Args:
            packing: Where the tokens lie; there is at least one.
            room: Holds the packed emissions, which are overwritten.
            transitions: ``(tags, tags)``.
            start: ``(tags,)`` or ``(rows, tags)``.
            end: ``(tags,)`` or ``(rows, tags)``.

        Returns:
            None where float64 cannot hold the weights, where scores are no numbers, and where a
            sentence has no legal path.
        """
        with np.errstate(all="ignore"):
            room.alpha[...] = room.emissions
            weights = Weights.of(room.alpha, transitions, start, end)
            if weights.every == 0:
                return None
            np.take(room.alpha, packing.walked, 0, room.spare, "clip")
            scalings = _walk(packing, weights, room)
            np.take(room.values, packing.forwards[packing.reverse], 0, room.alpha, "clip")
            np.take(room.ahead, packing.backwards, 0, room.beta, "clip")
            total = np.einsum("ij,ij->i", room.alpha, room.beta)
            if not total.min() >= _LEAST:
                return None
            log_partition = _log_partition(packing, weights, total, scalings)
        return Linear(packing, weights, room, total, scalings, log_partition)

    def gradient(self, row_weights: Doubles, gold: Integers | None = None) -> PackedGradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores.

        Args:
            row_weights: ``(rows,)``, or a scalar.
            gold: The tag of each packed token, ``(n,)``.

        Returns:
            Arrays in the room's spare memory, good until the next call.
        """
        packing, room, (n, tags) = self.packing, self.room, self.room.alpha.shape
        rows = len(packing.lengths)
        weights = row_weights[packing.row] if row_weights.ndim else np.full(n, row_weights)
        nodes, follow = room.spare[:n], room.spare[n : 2 * n - rows]
        np.multiply(room.alpha, (weights / self.total)[:, None], out=nodes)
        np.take(room.values, packing.backwards[packing.previous], 0, follow, "clip")
        moves = self.weights.moves * _cross(nodes[rows:], follow)
        nodes *= room.beta
        if gold is not None:
            nodes.reshape(-1)[np.arange(0, n * tags, tags) + gold[packing.reverse]] -= weights
            pairs = gold[packing.previous] * tags + gold[rows:]
            moves -= np.bincount(pairs, weights[rows:], tags * tags).reshape(tags, tags)
        firsts = nodes[packing.reverse[:rows]]
        return PackedGradient(nodes, moves, firsts.sum(0), nodes[:rows].sum(0))

    def messages(self) -> tuple[Doubles, Doubles]:
        """The logs of alpha, and of the reverse token's beta, ``(n, tags)`` each."""
        packing, weights = self.packing, self.weights
        step, row, rows = packing.step, packing.row, len(packing.lengths)
        steps = len(packing.counts)
        divided = np.zeros((2, steps + 1, rows))
        for at, mass in self.scalings:
            alive = packing.counts[at]
            divided[:, at + 1, :alive] = np.log(mass[:, :alive])
        divided = divided.cumsum(axis=1)
        passed = np.zeros((steps + 1, rows))
        if weights.node_log.ndim == 0:  # a product, since in a sum of equals errors add up
            passed[...] = np.arange(len(passed))[:, None] * weights.node_log
        else:
            passed[step + 1, row] = weights.node_log
            passed = passed.cumsum(axis=0)
        length = packing.lengths[row]
        before = divided[0, step + 1, row] + passed[step + 1, row] + step * weights.move_log
        behind = divided[1, step, row] + passed[length, row] - passed[length - step, row]
        behind += step * weights.move_log
        before += np.broadcast_to(weights.start_log, rows)[row]
        behind += np.broadcast_to(weights.end_log, rows)[row]
        with np.errstate(divide="ignore"):
            alpha, beta = np.log(self.room.values[packing.forwards]), np.log(self.room.beta)
        return alpha + before[:, None], beta + behind[:, None]

    def edges(self) -> tuple[Doubles, Doubles]:
        """The logs of alpha at last tokens and of beta at first tokens, ``(rows, tags)`` each."""
        weights, rows = self.weights, len(self.packing.lengths)
        first = self.packing.reverse[:rows]
        node_log = weights.node_log if weights.node_log.ndim == 0 else weights.node_log[:rows]
        after = self.log_partition - np.log(self.total[:rows]) - weights.end_log
        before = self.log_partition - np.log(self.total[first]) - weights.start_log - node_log
        with np.errstate(divide="ignore"):
            alpha, beta = np.log(self.room.alpha[:rows]), np.log(self.room.beta[first])
        return alpha + after[:, None], beta + before[:, None]


def _walk(packing: Packing, weights: Weights, room: Room) -> list[tuple[int, Doubles]]:
    """Fill `values` and `ahead` from the weights in `spare`; give back what was divided out."""
    nodes, values, ahead = room.spare, room.values, room.ahead
    tags, rows = nodes.shape[1], len(packing.lengths)
    moves = np.stack((weights.moves, weights.moves.T))
    multiply, matmul, every = np.multiply, np.matmul, weights.every
    ahead[:rows], ahead[rows : 2 * rows] = weights.start, weights.end
    multiply(ahead[: 2 * rows], nodes[: 2 * rows], values[: 2 * rows])
    before, begin, step = values[: 2 * rows].reshape(2, rows, tags), 2 * rows, 0
    scalings = []
    for first, last, n in packing.runs:
        shape = (last - first, 2, n, tags)
        stop = begin + 2 * n * shape[0]
        before = before[:, :n]
        for reached, node, value in zip(
            ahead[begin:stop].reshape(shape),
            nodes[begin:stop].reshape(shape),
            values[begin:stop].reshape(shape),
            strict=True,
        ):
            matmul(before, moves, reached)
            multiply(reached, node, value)
            before, step = value, step + 1
            if step % every == 0:
                mass = value.sum(2)
                value /= mass[:, :, None]
                scalings.append((step, mass))
        begin = stop
    return scalings


def _log_partition(
    packing: Packing, weights: Weights, total: Doubles, scalings: list[tuple[int, Doubles]]
) -> Doubles:
    """The log of each row's sum over paths, ``(rows,)``: at its last token beta is the end."""
    rows = len(packing.lengths)
    log_partition = np.log(total[:rows]) + (weights.start_log + weights.end_log)
    log_partition += (packing.lengths - 1) * weights.move_log
    for step, mass in scalings:
        alive = packing.counts[step]
        log_partition[:alive] += np.log(mass[0, :alive])
    if weights.node_log.ndim == 0:
        return log_partition + packing.lengths * weights.node_log
    return log_partition + np.bincount(packing.row, weights.node_log, rows)


def _cross(left: Doubles, right: Doubles) -> Doubles:
    """The product of the transpose of a tall matrix with another, ``(tags, tags)``."""
    whole = len(left) // _PIECE * _PIECE
    product: Doubles = left[whole:].T @ right[whole:]
    if whole:
        shape = (-1, _PIECE, left.shape[1])
        pieces = left[:whole].reshape(shape).transpose(0, 2, 1) @ right[:whole].reshape(shape)
        product += pieces.sum(0)
    return product
