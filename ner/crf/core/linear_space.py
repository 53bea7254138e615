"""The scaled forward-backward algorithm (Rabiner 1989) on packed arrays.

With ``W = exp(transitions)`` and ``P = exp(emissions)``, a forward step is a matrix product and an
elementwise product, ``alpha(t) = (alpha(t-1) W) * P(t)``; a backward step is the same with W
transposed. Both recursions run side by side, so that a step of the whole batch is two numpy calls.
Everything is float64, rescaled to sum to 1 as often as the range of the scores requires. If that
range is too wide for float64, ``LinearSpace.of`` returns None and the caller uses log space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ner.crf.core.packing import Packing
from ner.crf.core.scores import ChainScores, Doubles, Floats, Integers, Messages, ScoreGradient

FALL = 250.0  # how far potentials may fall between two rescalings, in nats
_CUT = 650.0  # scores this far below the maximum are negligible (such as a penalty of -1e4)
_NARROW = 60.0  # emissions within this range are scaled by one maximum, not one per token
# Terms of sum(alpha * beta) that underflow float64 are below exp(-700). They are negligible if the
# sum exceeds this bound; otherwise log space is used.
_LEAST = float(np.exp(-2 * FALL))
_PIECE = 1024  # rows per block of a tall matrix product, so that a block fits the CPU cache
Scalings = list[tuple[int, Doubles]]  # (step, sums divided out at it, (2, active rows))


@dataclass(frozen=True, slots=True)
class Potentials:
    """The potentials of transitions, and the logs of the factors divided out of all potentials.

    moves: ``(tags, tags)``; row and column sums are at most 1. start, end: ``(tags,)``.
    node_log: scalar or ``(n,)``. move_log, start_log, end_log: scalars.
    every: the number of steps between rescalings; 0 if float64 cannot hold even one step.
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
            nodes: The emissions, ``(n, tags)``; overwritten by their potentials.
            transitions: ``(tags, tags)``.
            start: ``(tags,)``.
            end: ``(tags,)``.
        """
        node_log, fall = _nodes(nodes)
        tags = len(transitions)
        # exponentiate scores less their maximum, which is added back to the log partition
        table = np.concatenate((transitions, start[None], end[None]))
        greatest = table.max(1)
        greatest[:tags] = greatest[:tags].max()
        greatest[greatest == -np.inf] = 0.0  # e.g. no transition is allowed
        table -= greatest[:, None]
        fall += _fall(table)
        np.exp(table, table)
        moves = table[:tags]
        # with row and column sums of at most 1, a step never increases the sum of a message
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
    """Exponentiate emissions; return the log of the factor divided out, and their range."""
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
    """Return the range of scores whose maximum is 0, in nats; infinity if any is NaN."""
    least = scores.min()
    if least > -_CUT:
        return float(-least)
    counted = scores[~(scores <= -_CUT)]  # keeps NaN
    least = counted.min() if counted.size else 0.0
    return float(-least) if least <= 0.0 else np.inf


@dataclass(frozen=True, slots=True)
class LinearSpace:
    """Sums over the paths of a batch.

    values: at each step, the scaled alpha of the tokens of the forward recursion, then P * beta of
        the tokens of the backward recursion, ``(walked, tags)``.
    alpha: the scaled alpha of the reverse of each packed token, ``(n, tags)``.
    beta: the scaled beta of the reverse of each packed token, ``(n, tags)``.
    total: the sums of alpha * beta, ``(n,)``.
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
            None if float64 cannot hold the potentials, a score is NaN or infinite, a sentence has
            no legal path, or the batch has no tokens.

        Raises:
            ValueError: A gold tag is out of range.
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
            # sum_y alpha(t, y) beta(t, y) = Z at every token t, up to the factors divided out
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
        """Scatter the rows of packed tokens to ``(batch, length, tags)``, 0 at padding."""
        batch, length, tags = self.shape
        n, tokens = len(nodes), self.packing.tokens
        rows = np.empty((n + 1, tags), dtype)
        rows[:n], rows[n] = nodes, 0.0
        places = np.full(batch * length, n)
        places[tokens[self.packing.reverse]] = np.arange(n)
        return np.take(rows, places, axis=0).reshape(self.shape)

    def lookup(self) -> PackedMessages:
        """Return the messages, computed only at the tokens that are asked for."""
        packing, (batch, length, _) = self.packing, self.shape
        places = np.zeros(batch * length, np.int64)
        places[packing.tokens] = np.arange(len(packing.tokens))
        return PackedMessages(self, *self._divided(), places.reshape(batch, length))

    def messages(self) -> Messages:
        """Return the messages in log space, ``(batch, length, tags)``."""
        messages, packing, (batch, length, tags) = self.lookup(), self.packing, self.shape
        log_alpha, log_beta = np.zeros((2, batch * length, tags))
        places = np.arange(len(packing.tokens))
        log_alpha[packing.tokens] = messages.alpha_of(places)
        log_beta[packing.tokens[packing.reverse]] = messages.beta_of(places)
        shape = self.shape
        return Messages(log_alpha.reshape(shape), log_beta.reshape(shape), self.log_partition)

    def _divided(self) -> tuple[Doubles, Doubles]:
        """Return the logs of the factors divided out of each alpha and beta, ``(n,)`` each."""
        packing, potentials = self.packing, self.potentials
        step, row, rows = packing.step, packing.row, len(packing.lengths)
        steps = len(packing.counts)
        # log c(t) = sum of the logs of all factors divided out up to and including step t
        divided = np.zeros((2, steps + 1, rows))
        for at, mass in self.scalings:
            alive = packing.counts[at]
            divided[:, at + 1, :alive] = np.log(mass[:, :alive])
        divided = divided.cumsum(axis=1)
        passed = np.zeros((steps + 1, rows))
        if potentials.node_log.ndim == 0:  # a product: a cumulative sum would accumulate rounding
            passed[...] = np.arange(len(passed))[:, None] * potentials.node_log
        else:
            passed[step + 1, row] = potentials.node_log
            passed = passed.cumsum(axis=0)
        length, moved = packing.lengths[row], step * potentials.move_log
        # log alpha(t) = log scaled alpha(t) + before; likewise beta, counted from the last token
        before = divided[0, step + 1, row] + passed[step + 1, row] + moved + potentials.start_log
        behind = divided[1, step, row] + passed[length, row] - passed[length - step, row]
        behind += moved + potentials.end_log
        return before, behind


@dataclass(frozen=True, slots=True)
class PackedMessages:
    """Messages in log space, computed at the tokens that are asked for; see ``Messages``.

    before: the log of the factor divided out of alpha of each packed token, ``(n,)``.
    behind: the same for beta of the reverse of each packed token, ``(n,)``.
    places: the index of the packed token of each token, ``(batch, length)``.
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
    """Run both recursions over the potentials of the emissions, ``(walked, tags)``.

    Returns:
        The messages including and excluding the emission, ``(walked, tags)`` each, and the factors
        divided out.
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
            # alpha(t) = (alpha(t - 1) W) * P(t), and backward with W transposed
            matmul(before, moves, reached)
            multiply(reached, node, value)
            before, step = value, step + 1
            if step % every == 0:  # divide by the sum before float64 underflows
                mass = value.sum(2)
                value /= mass[:, :, None]
                scalings.append((step, mass))
        begin = stop
    return values, ahead, scalings


def _log_partition(
    packing: Packing, potentials: Potentials, total: Doubles, scalings: Scalings
) -> Doubles:
    """Return the log partition of each row, ``(rows,)``.

    Taken at the last token, where beta is the end score and only alpha has been rescaled:
    log Z = log sum_y alpha(T, y) end(y), plus the logs of all factors divided out.
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
    """Return ``left.T @ right`` of tall matrices, ``(tags, tags)``, block by block."""
    whole = len(left) // _PIECE * _PIECE
    product: Doubles = left[whole:].T @ right[whole:]
    if whole:
        shape = (-1, _PIECE, left.shape[1])
        pieces = left[:whole].reshape(shape).transpose(0, 2, 1) @ right[:whole].reshape(shape)
        product += pieces.sum(0)
    return product
