"""The paths of greatest score."""

from __future__ import annotations

import numpy as np

from ner.crf.core.log_space import recursion
from ner.crf.core.scores import ChainScores, Doubles, Integers


def n_best(scores: ChainScores, n: int) -> tuple[Integers, Doubles]:
    """Return the `n` paths of greatest score of each sentence, best first.

    The tree-trellis search of Soong and Huang (1991): a Viterbi pass forwards gives the score of
    the best beginning for every tag; the pass backwards then keeps the `n` endings whose best
    completions score highest, which are all that the `n` best paths can end in. So the cost is
    that of one Viterbi pass and, at each token, the choice of `n` among ``n * tags``.

    Returns:
        Tags ``(batch, n, length)`` and scores ``(batch, n)``; where a sentence has fewer paths,
        the score is minus infinity and the tags are 0.

    Raises:
        ValueError: `n` is below 1, a score is NaN or infinite, or a sentence has no legal path.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    nodes, (moves, _, end) = scores.nodes(), scores.moves()
    scores.check_numbers(nodes)
    batch, length, tags = nodes.shape
    beginnings = _beginnings(scores, nodes)
    first_end = np.full((n, tags), -np.inf)
    first_end[0] = end
    found = np.full((batch, n), -np.inf)
    found[:, 0] = 0.0
    ending, kept = found, np.zeros((batch, n), np.int64)
    steps = []
    for t in range(length - 1, -1, -1):
        followed = moves.T[kept] + ending[:, :, None]  # (batch, n, tags)
        last = (scores.lengths == t + 1)[:, None, None]
        endings = np.where(last, first_end, followed).reshape(batch, n * tags)
        best = np.tile(beginnings[t], n) + endings
        place = np.argsort(-best, axis=1, kind="stable")[:, :n]
        tag, before = place % tags, place // tags
        steps.append((tag, before))
        inside = (scores.lengths > t)[:, None]
        ending = np.take_along_axis(endings, place, 1) + np.take_along_axis(nodes[:, t], tag, 1)
        kept = np.where(inside, tag, kept)
        found = np.where(inside, np.take_along_axis(best, place, 1), found)
    scores.check(found[:, 0])
    return _follow(steps[::-1], scores, found), found


def _beginnings(scores: ChainScores, nodes: Doubles) -> list[Doubles]:
    """Return the score of the best beginning that ends in each tag, ``(batch, tags)`` a token."""
    moves, start, _ = scores.moves()

    def advance(before: Doubles) -> Doubles:
        best: Doubles = (before[:, :, None] + moves).max(1)
        return best

    begins = np.arange(nodes.shape[1]) == 0
    edge = np.broadcast_to(start, (len(nodes), len(start)))
    return recursion(nodes.transpose(1, 0, 2), begins, edge, advance, np.where)[1]


def _follow(
    steps: list[tuple[Integers, Integers]], scores: ChainScores, found: Doubles
) -> Integers:
    """Return the tags of the kept paths, read from the first token to the last."""
    batch, n = found.shape
    tags = np.zeros((batch, n, len(steps)), np.int64)
    at = np.tile(np.arange(n), (batch, 1))
    for t, (tag, before) in enumerate(steps):
        tags[:, :, t] = np.take_along_axis(tag, at, 1)
        at = np.take_along_axis(before, at, 1)
    real = scores.mask[:, None] & np.isfinite(found)[:, :, None]
    return np.where(real, tags, 0)
