"""Forward-backward: scaled in linear space where that is exact, else in log space."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ner.crf.core.linear_space import LinearSpace
from ner.crf.core.scores import (
    ChainScores,
    Doubles,
    Integers,
    Messages,
    ScoreGradient,
    logsumexp,
    pair_marginals,
)

Array = TypeVar("Array")  # of numpy or of torch


def recursion(
    nodes: Iterable[Array],
    begins: Iterable[Any],
    edge: Array,
    advance: Callable[[Array], Array],
    where: Callable[[Any, Array, Array], Array],
) -> tuple[list[Array], list[Array]]:
    """Run a recursion over the tokens of a batch: backward if the arguments are reversed.

    reached(t) = edge where a sentence begins at t, else advance(value(t - 1));
    value(t) = reached(t) + e(t). If `advance` is a log-sum-exp these are the messages of the
    forward-backward algorithm (Rabiner 1989); if it is a maximum, those of Viterbi.

    Args:
        nodes: The emissions of each step, ``(batch, tags)``.
        begins: Which sentences begin at each step, bool ``(batch, 1)``.
        edge: The scores of each tag as the first one, ``(batch, tags)``.
        advance: Maps the values of a step to the messages that reach the next.
        where: ``where(condition, if_true, if_false)`` of numpy or torch.

    Returns:
        reached and value, each a list of arrays ``(batch, tags)``, one per step.
    """
    value, reached, values = edge, [], []
    for node, begin in zip(nodes, begins, strict=True):
        here = where(begin, edge, advance(value))
        value = here + node  # type: ignore[operator]  # arrays of either library add up
        reached.append(here)
        values.append(value)
    return reached, values


@dataclass(frozen=True, slots=True, eq=False)
class LogSpace:
    """Sums over the paths of a batch, in log space.

    log_partition: ``(batch,)``; minus infinity where no path is legal.
    gold_score: the scores of the gold paths, ``(batch,)``; 0 without gold tags.
    """

    scores: ChainScores
    gold: Integers | None
    log_alpha: Doubles
    log_beta: Doubles
    log_partition: Doubles
    gold_score: Doubles

    @staticmethod
    def of(scores: ChainScores, gold: Integers | None = None) -> LogSpace:
        """Run both recursions.

        Args:
            scores: The scores.
            gold: Gold tags, ``(batch, length)``; anything at padding.
        """
        nodes, lengths = scores.nodes(), scores.lengths
        moves, start, end = scores.moves()
        batch, length, _ = nodes.shape
        alpha, beta, total = np.zeros(nodes.shape), np.zeros(nodes.shape), np.zeros(batch)
        if length and batch:
            steps = nodes.transpose(1, 0, 2)
            first = np.arange(length) == 0
            last = (np.arange(length)[:, None] == lengths - 1)[:, :, None]
            with np.errstate(invalid="ignore"):  # `check` reports infinite scores
                forth, back = _Transitions.of(moves).advance, _Transitions.of(moves.T).advance
                edge = np.broadcast_to(start, (batch, len(start)))
                _, values = recursion(steps, first, edge, forth, np.where)
                # beta(t) excludes the emission of t, so it is what reaches t from the right
                edge = np.broadcast_to(end, (batch, len(end)))
                reached, _ = recursion(steps[::-1], last[::-1], edge, back, np.where)
                np.stack(values, 1, out=alpha)
                np.stack(reached[::-1], 1, out=beta)
                finals = alpha[np.arange(batch), np.maximum(lengths - 1, 0)]
                total = np.where(lengths > 0, logsumexp(finals + end, 1), 0.0)
        score = np.zeros(batch) if gold is None else scores.score(gold)
        return LogSpace(scores, gold, alpha, beta, total, score)

    def gradient(self, weights: Doubles, dtype: np.dtype[Any]) -> ScoreGradient:
        """Return the derivatives of the weighted log partitions, less those of gold scores.

        Args:
            weights: ``(batch,)``, or a scalar.
            dtype: The type of the derivatives.
        """
        scores, inside = self.scores, self.scores.mask
        # d log Z / d e(t, y) = p(y_t = y); d log Z / d A[y, y'] = sum_t p(y_t-1 = y, y_t = y')
        weights = np.broadcast_to(weights, self.log_partition.shape)
        by = np.where(inside, weights[:, None], 0.0)
        nodes = np.where(inside[:, :, None], self.messages().marginals(), 0.0) * by[:, :, None]
        moves = np.zeros(scores.transitions.shape)
        for t in range(1, nodes.shape[1]):
            pairs = pair_marginals(scores, self.messages(), t, t + 1)[:, 0]
            moves += np.einsum("bij,b->ij", pairs, by[:, t])
        if self.gold is not None and nodes.shape[1]:
            gold = np.where(inside, self.gold, 0)
            rows, steps = np.indices(gold.shape)
            nodes[rows, steps, gold] -= by
            np.subtract.at(moves, (gold[:, :-1], gold[:, 1:]), by[:, 1:])
        start, end = np.zeros((2, len(moves)))
        if nodes.shape[1]:
            last = np.maximum(scores.lengths - 1, 0)
            start, end = nodes[:, 0].sum(0), nodes[np.arange(len(nodes)), last].sum(0)
        return ScoreGradient(*(part.astype(dtype) for part in (nodes, moves, start, end)))

    def lookup(self) -> Messages:
        """Return the messages, as ``LinearSpace.lookup`` does."""
        return self.messages()

    def messages(self) -> Messages:
        """Return the messages, ``(batch, length, tags)``."""
        return Messages(self.log_alpha, self.log_beta, self.log_partition)


@dataclass(frozen=True, slots=True, eq=False)
class _Transitions:
    """Transition scores, and their exponentials scaled to at most 1.

    Attributes:
        scores: ``(from, to)``.
        factors: ``exp(scores - greatest)``.
        greatest: The maximum of the scores.
    """

    scores: Doubles
    factors: Doubles
    greatest: float

    @staticmethod
    def of(scores: Doubles) -> _Transitions:
        greatest = float(scores.max())
        greatest = greatest if np.isfinite(greatest) else 0.0
        return _Transitions(scores, np.exp(scores - greatest), greatest)

    def advance(self, before: Doubles) -> Doubles:
        """Return logsumexp over y of before(y) + A[y, y'], ``(batch, to)``.

        Computed as a matrix product, unless a sum is so small that terms which underflowed
        (each below 1e-307) might matter.
        """
        greatest = before.max(1, keepdims=True)
        greatest[~np.isfinite(greatest)] = 0.0
        with np.errstate(invalid="ignore"):  # infinite scores
            total = np.exp(before - greatest) @ self.factors
        if not total.min() > 1e-280:
            return logsumexp(before[:, :, None] + self.scores, 1)
        # add the small numbers first, so that the large one is rounded once
        return np.asarray((np.log(total) + self.greatest) + greatest)


PathSums = LinearSpace | LogSpace


def forward_backward(scores: ChainScores, gold: Integers | None = None) -> PathSums:
    """Run the forward and backward recursions, in linear space where that is exact.

    Args:
        scores: The scores.
        gold: Gold tags, ``(batch, length)``; anything at padding.

    Raises:
        ValueError: A score is NaN or infinite, a sentence has no legal path, or a gold tag is
            out of range.
    """
    fast = LinearSpace.of(scores, gold)
    if fast is not None:
        return fast
    slow = LogSpace.of(scores, gold)
    scores.check(slow.log_partition)
    return slow
