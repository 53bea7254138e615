"""The paths of greatest score, on numpy arrays; needs no torch."""

from __future__ import annotations

import numpy as np

from ner.crf.arrays import ArrayChain, Doubles, Integers


def n_best_numpy(chain: ArrayChain, n: int) -> tuple[Integers, Doubles]:
    """The `n` paths of greatest score, best first; see ``ner.crf.nbest.n_best``.

    Args:
        chain: The scores of sentences that have tokens.
        n: The most paths of a sentence.

    Returns:
        Tags ``(batch, n, length)`` and scores ``(batch, n)``; where a sentence has fewer paths,
        the score is minus infinity and the tags are 0.
    """
    nodes, moves = chain.nodes(), chain.transitions.astype(np.float64)
    batch, length, tags = nodes.shape
    beginnings = nodes.copy()
    beginnings[:, 0] += chain.start
    for t in range(1, length):
        beginnings[:, t] += (beginnings[:, t - 1, :, None] + moves).max(1)
    first_end = np.full((n, tags), -np.inf)
    first_end[0] = chain.end
    scores = np.full((batch, n), -np.inf)
    ending, kept = scores.copy(), np.zeros((batch, n), np.int64)
    steps = []
    for t in range(length - 1, -1, -1):
        followed = moves.T[kept] + ending[:, :, None]  # (batch, n, tags)
        last = (chain.lengths == t + 1)[:, None, None]
        endings = np.where(last, first_end, followed).reshape(batch, -1)
        best = np.tile(beginnings[:, t], n) + endings
        place = np.argsort(-best, axis=1, kind="stable")[:, :n]
        tag, before = place % tags, place // tags
        steps.append((tag, before))
        inside = (chain.lengths > t)[:, None]
        ending = np.take_along_axis(endings, place, 1)
        ending += np.take_along_axis(nodes[:, t], tag, 1)
        kept = np.where(inside, tag, kept)
        scores = np.where(inside, np.take_along_axis(best, place, 1), scores)
    return _follow(steps[::-1], chain, scores), scores


def _follow(steps: list[tuple[Integers, Integers]], chain: ArrayChain, scores: Doubles) -> Integers:
    """The tags of the paths, from the first token to the last."""
    batch, n = scores.shape
    tags = np.zeros((batch, n, len(steps)), np.int64)
    at = np.tile(np.arange(n), (batch, 1))
    for t, (tag, before) in enumerate(steps):
        tags[:, :, t] = np.take_along_axis(tag, at, 1)
        at = np.take_along_axis(before, at, 1)
    real = chain.mask[:, None] & np.isfinite(scores)[:, :, None]
    return np.where(real, tags, 0)
