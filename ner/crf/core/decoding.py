"""Decoders other than Viterbi: minimum Bayes risk of spans or tags, greedy, n-best."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ner.crf.core.forward_backward import forward_backward, recursion
from ner.crf.core.scores import Bools, ChainScores, Doubles, Integers
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.crf.core.viterbi import viterbi

_SLACK = 1e-9  # tolerance for the rounding of marginals when they bound span probabilities
_PENALTY = 1e9  # exceeds any score, and still leaves float64 digits to distinguish scores


def posterior_spans(
    scores: ChainScores, table: SpanTable, *, outside: int = 0, threshold: float | Doubles = 0.5
) -> Integers:
    """Return the tags of the disjoint spans with the greatest gain; see ``ner.crf.posterior``.

    Args:
        scores: The scores.
        table: The tags that spell a span of each label.
        outside: The tag of a token outside all spans.
        threshold: The minimum probability of a span, greater than 0; or of each label,
            ``(labels,)``.

    Returns:
        ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: A score is NaN or infinite, or a sentence has no legal path.
    """
    spans = _best_spans(scores, table, threshold)
    batch, length, _ = scores.emissions.shape
    tags = np.where(scores.mask, spans.spell(table, outside, (batch, length)), 0)
    illegal = ~np.isfinite(scores.score(tags))  # candidates may exclude `outside`
    if illegal.any():
        tags[illegal] = viterbi(_constrained_to(scores, spans, table))[illegal]
    return tags


def posterior_tags(scores: ChainScores) -> Integers:
    """Return the legal path with the greatest expected number of correct tags.

    Returns:
        ``(batch, length)``, 0 at padding.
    """
    # argmax_y sum_t p(y_t | x), found by Viterbi with the marginals as emissions and scores of 0
    # for all allowed transitions
    sums = forward_backward(scores)
    nodes = sums.gradient(np.array(1.0), np.dtype(np.float64)).emissions
    excluded = scores.nodes() == -np.inf
    moves, start, end = (np.where(part == -np.inf, part, 0.0) for part in scores.moves())
    right = np.where(excluded, -np.inf, nodes)
    return viterbi(ChainScores(right, moves, start, end, scores.lengths))


def probable_spans(
    scores: ChainScores, table: SpanTable, least: float
) -> tuple[SpanBatch, Doubles]:
    """Return all spans of at least a probability, overlapping or not, and their probabilities."""
    messages = forward_backward(scores).messages()
    likely = (messages.marginals() >= least - _SLACK) & scores.mask[:, :, None]
    spans = _possible(likely, scores.lengths, table)
    probabilities = span_probability(scores, messages, spans, table)
    passed = np.flatnonzero(probabilities >= least)
    return spans.take(passed), probabilities[passed]


def _best_spans(scores: ChainScores, table: SpanTable, threshold: float | Doubles) -> SpanBatch:
    """Return the disjoint spans with the greatest total of probability less threshold."""
    least = np.broadcast_to(threshold, table.single.shape)
    spans, probabilities = probable_spans(scores, table, float(least.min(initial=1.0)))
    gains = probabilities - least[spans.labels]
    passed = np.flatnonzero(gains >= 0.0)
    spans = spans.take(passed)
    begins = spans.rows * scores.emissions.shape[1]  # as if sentences were concatenated
    return spans.take(greatest_gain(spans, begins, gains[passed]))


def greatest_gain(spans: SpanBatch, begins: Integers, gains: Doubles) -> Integers:
    """Return the indices of the disjoint spans with the greatest total gain.

    Args:
        spans: The spans.
        begins: The position of each span's sentence if all sentences were concatenated.
        gains: The gain of each span, at least 0.
    """
    starts, ends = (begins + spans.starts).tolist(), (begins + spans.ends).tolist()
    return np.array(disjoint(list(zip(starts, ends, gains.tolist(), strict=True))), np.int64)


def _possible(likely: Bools, lengths: Integers, table: SpanTable) -> SpanBatch:
    """Return all spans made of likely tags: no span is more probable than any of its tags."""
    row, start, label = likely[:, :, table.single].nonzero()
    found = [(row, start, start + 1, label)]
    row, start, label = likely[:, :, table.first].nonzero()
    at = start + 1
    while len(row):  # extend all open spans by one token at a time
        within = at < lengths[row]
        row, start, at, label = row[within], start[within], at[within], label[within]
        ending = likely[row, at, table.last[label]]
        found.append((row[ending], start[ending], at[ending] + 1, label[ending]))
        going = likely[row, at, table.inside[label]]
        row, start, at, label = row[going], start[going], at[going] + 1, label[going]
    return SpanBatch(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def disjoint(intervals: Sequence[tuple[int, int, float]]) -> list[int]:
    """Return the indices of the disjoint intervals (start, end, gain) with the greatest total gain.

    Weighted interval scheduling by dynamic programming, in O(n log n).
    """
    order = sorted(range(len(intervals)), key=lambda i: intervals[i][1])
    ends = [intervals[i][1] for i in order]
    best, last = [0.0], [-1]  # for the first k intervals: total gain, and the last one chosen
    for k, i in enumerate(order):
        start, _, gain = intervals[i]
        # best(k) = max(best(k - 1), gain(k) + best(j)), where the first j end before k starts
        taken = best[bisect_right(ends, start, hi=k)] + gain
        better = taken >= best[k]
        best.append(taken if better else best[k])
        last.append(k if better else last[k])
    chosen, k = [], last[-1]
    while k >= 0:
        chosen.append(order[k])
        k = last[bisect_right(ends, intervals[order[k]][0], hi=k)]
    return chosen[::-1]


def _constrained_to(scores: ChainScores, spans: SpanBatch, table: SpanTable) -> ChainScores:
    """Return scores whose best path contains these spans, or as much of them as is legal."""
    batch, length, count = scores.emissions.shape
    free = -1
    tags = spans.spell(table, free, (batch, length))[:, :, None]
    breaks = (tags != np.arange(count)) & (tags != free)
    no = table.prolonging[spans.labels]
    open_ = (no >= 0) & (spans.ends < scores.lengths[spans.rows])
    breaks[spans.rows[open_], spans.ends[open_], no[open_]] = True
    return replace(scores, emissions=scores.nodes() - _PENALTY * breaks)


def greedy(scores: ChainScores) -> Integers:
    """Return the best next tag, token by token, among those that can still reach a legal end.

    Returns:
        ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: A score is NaN or infinite, or a sentence has no legal path.
    """
    nodes, (moves, start, _) = scores.nodes(), scores.moves()
    scores.check_numbers(nodes)
    open_ = _reaches_end(scores, nodes)
    tags = np.zeros(nodes.shape[:2], np.int64)
    before: Doubles = start
    for t in range(nodes.shape[1]):
        # y(t) = argmax over y of A[y(t - 1), y] + e(t, y), if a legal ending follows y
        here = np.where(open_[:, t], before + nodes[:, t], -np.inf)
        tags[:, t] = here.argmax(1)
        before = moves[tags[:, t]]
    tags = np.where(scores.mask, tags, 0)
    scores.check(scores.score(tags))
    return tags


def _reaches_end(scores: ChainScores, nodes: Doubles) -> Bools:
    """Return whether a legal ending follows each tag, ``(batch, length, tags)``."""
    steps = (scores.transitions > -np.inf).astype(np.float64).T
    legal, ends = nodes > -np.inf, scores.end > -np.inf
    open_ = np.ones(nodes.shape, dtype=bool)
    for t in range(nodes.shape[1] - 1, -1, -1):
        last = (scores.lengths == t + 1)[:, None]
        after = ends
        if t + 1 < nodes.shape[1]:
            after = ((open_[:, t + 1] & legal[:, t + 1]) @ steps) > 0
        open_[:, t] = np.where(last, ends, after)
    return open_


def n_best(scores: ChainScores, n: int) -> tuple[Integers, Doubles]:
    """Return the `n` highest-scoring paths of each sentence, best first.

    The tree-trellis search of Soong and Huang (1991): a forward Viterbi pass gives the score of
    the best prefix for every tag; the backward pass then keeps the `n` suffixes whose best
    completions score highest, which include the suffixes of the `n` best paths. The cost is one
    Viterbi pass plus, at each token, the choice of `n` among ``n * tags``.

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
        # the best completion of each suffix: best prefix that ends in y at t, plus the suffix
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
    """Return the score of the best prefix that ends in each tag, ``(batch, tags)`` per token."""
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
    """Follow the backpointers of the kept paths from the first token to the last."""
    batch, n = found.shape
    tags = np.zeros((batch, n, len(steps)), np.int64)
    at = np.tile(np.arange(n), (batch, 1))
    for t, (tag, before) in enumerate(steps):
        tags[:, :, t] = np.take_along_axis(tag, at, 1)
        at = np.take_along_axis(before, at, 1)
    real = scores.mask[:, None] & np.isfinite(found)[:, :, None]
    return np.where(real, tags, 0)
