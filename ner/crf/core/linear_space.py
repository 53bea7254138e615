"""The scaled forward-backward algorithm (Rabiner 1989) on packed arrays.

With ``W = exp(transitions)`` and ``P = exp(emissions)`` a step forwards is a matrix product and
a product by elements, ``alpha(t) = (alpha(t-1) W) * P(t)``; a step backwards is the same with W
transposed. Both walks go on side by side, so that a step of the whole batch is two numpy calls.
Everything is float64, scaled to sum 1 as often as the range of the scores asks for. Where that
range is too wide for float64, ``LinearSpace.of`` returns None and the caller turns to log space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ner.crf.core.packing import Packing
from ner.crf.core.scores import ChainScores, Doubles, Floats, Integers, Messages, ScoreGradient

FALL = 250.0  # the most that potentials may fall between two scalings, in logs
_CUT = 650.0  # a score so far below the greatest weighs nothing (such as a penalty of -1e4)
_NARROW = 60.0  # emissions within this range need no maximum per token
# What underflow takes from a sum of alpha * beta is under exp(-700), since that is what float64
# holds. A sum over this is right then; one below it is not trusted.
_LEAST = float(np.exp(-2 * FALL))
_PIECE = 1024  # rows of a tall matrix product that stay in a fast cache
Scalings = list[tuple[int, Doubles]]  # steps, and the sums divided out there, (2, rows walking)


@dataclass(frozen=True, slots=True)
class Potentials:
    """The potentials of transitions, and the logs of what was divided out of all potentials.

    moves: ``(tags, tags)``, no row or column sum over 1. start, end: ``(tags,)``.
    node_log: scalar or ``(n,)``. move_log, start_log, end_log: scalars.
    every: the number of steps that need no scaling; 0 where not even one goes without.
    """

    moves: Doubles
    start: Doubles
    end: Doubles
    node_log: Doubles
    move_log: float
    start_log: float
    end_log: float
    every: int

    @staticmethod
    def of(nodes: Doubles, transitions: Doubles, start: Doubles, end: Doubles) -> Potentials:
        """Exponentiate scores.

        Args:
            nodes: The emissions, ``(n, tags)``; they are overwritten by their potentials.
            transitions: ``(tags, tags)``.
            start: ``(tags,)``.
            end: ``(tags,)``.
        """
        node_log, fall = _nodes(nodes)
        tags = len(transitions)
        table = np.concatenate((transitions, start[None], end[None]))
        greatest = table.max(1)
        greatest[:tags] = greatest[:tags].max()
        greatest[greatest == -np.inf] = 0.0  # a sentence of one token needs no transition
        table -= greatest[:, None]
        fall += _fall(table)
        np.exp(table, table)
        moves = table[:tags]
        # with no row or column sum over 1, a step never lets the messages grow
        mass = max(moves.sum(0).max(), moves.sum(1).max(), 1.0)
        moves /= mass
        fall += float(np.log(mass))
        return Potentials(
            moves,
            table[tags],
            table[tags + 1],
            node_log,
            float(greatest[0] + np.log(mass)),
            float(greatest[tags]),
            float(greatest[tags + 1]),
            int(FALL / max(fall, 1e-3)) if fall < np.inf else 0,
        )


def _nodes(nodes: Doubles) -> tuple[Doubles, float]:
    """Exponentiate emissions; return the log of what was divided out, and how far they fall."""
    low, high = nodes.min(), nodes.max()
    if high - low <= _NARROW:
        nodes -= high
        np.exp(nodes, nodes)
        return np.array(high), float(high - low)
    greatest: Doubles = nodes.max(1)
    nodes -= greatest[:, None]
    fall = _fall(nodes)
    np.exp(nodes, nodes)
    return greatest, fall


def _fall(scores: Doubles) -> float:
    """Return how far scores of at most 0 lie below 0; infinity if they are NaN."""
    least = scores.min()
    if least > -_CUT:
        return float(-least)
    counted = scores[~(scores <= -_CUT)]  # keeps NaN
    least = counted.min() if counted.size else 0.0
    return float(-least) if least <= 0.0 else np.inf


@dataclass(frozen=True, slots=True)
class LinearSpace:
    """Sums over the paths of a batch.

    values: at each step, alpha of the tokens reached forwards, then the potential of the emission
        times beta of those reached backwards, ``(walked, tags)``.
    alpha: of the reverse of each packed token, scaled, ``(n, tags)``.
    beta: of the reverse of each packed token, scaled, ``(n, tags)``.
    total: the sums of alpha times beta, ``(n,)``.
    log_partition: ``(batch,)``; 0 for an empty sentence.
    gold: the tag of each packed token, ``(n,)``; None without gold tags.
    gold_score: the scores of the gold paths, ``(batch,)``; 0 without gold tags.
    """

    packing: Packing
    potentials: Potentials
    shape: tuple[int, int, int]
    values: Doubles
    alpha: Doubles
    beta: Doubles
    total: Doubles
    scalings: Scalings
    log_partition: Doubles
    gold: Integers | None
    gold_score: Doubles

    @staticmethod
    def of(scores: ChainScores, gold: Integers | None = None) -> LinearSpace | None:
        """Run both recursions.

        Args:
            scores: The scores.
            gold: Gold tags, ``(batch, length)``; anything at padding.

        Returns:
            None where float64 cannot hold the potentials, where scores are NaN or infinite, where
            a sentence has no legal path, and for a batch without a token.

        Raises:
            ValueError: A gold tag is not a tag.
        """
        batch, length, tags = scores.emissions.shape
        packing = Packing.of(scores.lengths, length, tags)
        if not len(packing.tokens):
            return None
        packed = np.take(scores.emissions.reshape(-1, tags), packing.tokens, 0)
        nodes: Doubles = packed.astype(np.float64, copy=False)
        if scores.candidates is not None:
            known = scores.candidates.reshape(-1, tags)
            nodes[~np.take(known, packing.tokens, axis=0)] = -np.inf
        with np.errstate(all="ignore"):
            potentials = Potentials.of(nodes, *scores.moves())
            if potentials.every == 0:
                return None
            nodes = np.take(nodes, packing.walked, 0)
            values, ahead, scalings = _walk(packing, potentials, nodes)
            alpha = np.take(values, packing.forwards[packing.reverse], 0)
            beta = np.take(ahead, packing.backwards, 0)
            # alpha(t) beta(t) sums to Z at every token, but for what was divided out
            total = np.einsum("ij,ij->i", alpha, beta)
            if not total.min() >= _LEAST:
                return None
            log_partition = np.zeros(batch)
            log_partition[packing.sentences] = _log_partition(packing, potentials, total, scalings)
        taken, score = None, np.zeros(batch)
        if gold is not None:
            score = scores.score(gold)
            taken = np.take(gold.reshape(-1), packing.tokens)
        return LinearSpace(
            packing,
            potentials,
            (batch, length, tags),
            values,
            alpha,
            beta,
            total,
            scalings,
            log_partition,
            taken,
            score,
        )

    def gradient(self, weights: Doubles, dtype: np.dtype[Any]) -> ScoreGradient:
        """Return the derivatives of the weighted log partitions, less those of gold scores.

        Args:
            weights: ``(batch,)``, or a scalar.
            dtype: The type of the derivatives.
        """
        packing, (n, tags) = self.packing, self.alpha.shape
        rows = len(packing.lengths)
        by = weights[packing.sentences[packing.row]] if weights.ndim else np.full(n, weights)
        # d log Z / d e(t, y) = alpha(t, y) beta(t, y) / Z
        nodes = self.alpha * (by / self.total)[:, None]
        # d log Z / d A[y, y'] = sum over t of alpha(t-1, y) W[y, y'] P(t, y') beta(t, y') / Z
        follow = np.take(self.values, packing.backwards[packing.previous], 0)
        moves = self.potentials.moves * _cross(nodes[rows:], follow)
        nodes *= self.beta
        gold = self.gold
        if gold is not None:
            nodes.reshape(-1)[np.arange(0, n * tags, tags) + gold[packing.reverse]] -= by
            pairs = gold[packing.previous] * tags + gold[rows:]
            moves -= np.bincount(pairs, by[rows:], tags * tags).reshape(tags, tags)
        start, end = nodes[packing.reverse[:rows]].sum(0), nodes[:rows].sum(0)
        return ScoreGradient(
            self._padded(nodes, dtype), *(part.astype(dtype) for part in (moves, start, end))
        )

    def _padded(self, nodes: Doubles, dtype: np.dtype[Any]) -> Floats:
        """Return what the reverse of each packed token has, ``(batch, length, tags)``, else 0."""
        batch, length, tags = self.shape
        n, tokens = len(nodes), self.packing.tokens
        rows = np.empty((n + 1, tags), dtype)
        rows[:n], rows[n] = nodes, 0.0
        places = np.full(batch * length, n)
        places[tokens[self.packing.reverse]] = np.arange(n)
        return np.take(rows, places, axis=0).reshape(self.shape)

    def lookup(self) -> PackedMessages:
        """Return the messages where only those at some tokens are wanted."""
        packing, (batch, length, _) = self.packing, self.shape
        places = np.zeros(batch * length, np.int64)
        places[packing.tokens] = np.arange(len(packing.tokens))
        return PackedMessages(self, *self._divided(), places.reshape(batch, length))

    def messages(self) -> Messages:
        """Return the messages in logs, ``(batch, length, tags)``."""
        messages, packing, (batch, length, tags) = self.lookup(), self.packing, self.shape
        log_alpha, log_beta = np.zeros((2, batch * length, tags))
        places = np.arange(len(packing.tokens))
        log_alpha[packing.tokens] = messages.alpha_of(places)
        log_beta[packing.tokens[packing.reverse]] = messages.beta_of(places)
        shape = self.shape
        return Messages(log_alpha.reshape(shape), log_beta.reshape(shape), self.log_partition)

    def _divided(self) -> tuple[Doubles, Doubles]:
        """Return the logs of what each alpha, and the reverse's beta, were divided by, ``(n,)``."""
        packing, potentials = self.packing, self.potentials
        step, row, rows = packing.step, packing.row, len(packing.lengths)
        steps = len(packing.counts)
        # what each walk has been divided by, up to and with each step
        divided = np.zeros((2, steps + 1, rows))
        for at, mass in self.scalings:
            alive = packing.counts[at]
            divided[:, at + 1, :alive] = np.log(mass[:, :alive])
        divided = divided.cumsum(axis=1)
        passed = np.zeros((steps + 1, rows))
        if potentials.node_log.ndim == 0:  # a product, since in a sum of equals errors add up
            passed[...] = np.arange(len(passed))[:, None] * potentials.node_log
        else:
            passed[step + 1, row] = potentials.node_log
            passed = passed.cumsum(axis=0)
        length, moved = packing.lengths[row], step * potentials.move_log
        before = divided[0, step + 1, row] + passed[step + 1, row] + moved + potentials.start_log
        behind = divided[1, step, row] + passed[length, row] - passed[length - step, row]
        behind += moved + potentials.end_log
        return before, behind


@dataclass(frozen=True, slots=True)
class PackedMessages:
    """Messages in log space, computed where they are asked for; see ``Messages``.

    before: the log of what alpha of each packed token was divided by, ``(n,)``.
    behind: the same of beta of the reverse of each packed token, ``(n,)``.
    places: the packed token of each token, ``(batch, length)``.
    """

    sums: LinearSpace
    before: Doubles
    behind: Doubles
    places: Integers

    @property
    def log_partition(self) -> Doubles:
        """The log of the sum over all paths, ``(batch,)``."""
        return self.sums.log_partition

    def alpha_at(self, rows: Integers, tokens: Integers) -> Doubles:
        """Return log alpha at some tokens of sentences, ``(n, tags)``."""
        return self.alpha_of(self.places[rows, tokens])

    def beta_at(self, rows: Integers, tokens: Integers) -> Doubles:
        """Return log beta at some tokens of sentences, ``(n, tags)``."""
        return self.beta_of(self.sums.packing.reverse[self.places[rows, tokens]])

    def alpha_of(self, places: Integers) -> Doubles:
        """Return log alpha of packed tokens."""
        values = self.sums.values[self.sums.packing.forwards[places]]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(values) + self.before[places, None])

    def beta_of(self, places: Integers) -> Doubles:
        """Return log beta of the reverse of packed tokens."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.sums.beta[places]) + self.behind[places, None])


def _walk(
    packing: Packing, potentials: Potentials, nodes: Doubles
) -> tuple[Doubles, Doubles, Scalings]:
    """Walk over the emissions' potentials, ``(walked, tags)``.

    Returns:
        The messages at each place with the emission and without it, ``(walked, tags)`` each, and
        what was divided out.
    """
    tags, rows = nodes.shape[1], len(packing.lengths)
    values, ahead = np.empty(nodes.shape), np.empty(nodes.shape)
    moves = np.stack((potentials.moves, potentials.moves.T))
    multiply, matmul, every = np.multiply, np.matmul, potentials.every
    ahead[:rows], ahead[rows : 2 * rows] = potentials.start, potentials.end
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
    return values, ahead, scalings


def _log_partition(
    packing: Packing, potentials: Potentials, total: Doubles, scalings: Scalings
) -> Doubles:
    """Return the log of each row's sum over paths, ``(rows,)``.

    At a row's last token beta is the end, so what was divided out is alpha's alone.
    """
    rows = len(packing.lengths)
    log_partition = np.log(total[:rows]) + (potentials.start_log + potentials.end_log)
    log_partition += (packing.lengths - 1) * potentials.move_log
    for step, mass in scalings:
        alive = packing.counts[step]
        log_partition[:alive] += np.log(mass[0, :alive])
    if potentials.node_log.ndim == 0:
        return log_partition + packing.lengths * potentials.node_log
    return log_partition + np.bincount(packing.row, potentials.node_log, rows)


def _cross(left: Doubles, right: Doubles) -> Doubles:
    """Return the product of the transpose of a tall matrix with another, ``(tags, tags)``."""
    whole = len(left) // _PIECE * _PIECE
    product: Doubles = left[whole:].T @ right[whole:]
    if whole:
        shape = (-1, _PIECE, left.shape[1])
        pieces = left[:whole].reshape(shape).transpose(0, 2, 1) @ right[:whole].reshape(shape)
        product += pieces.sum(0)
    return product
