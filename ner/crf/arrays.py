"""The distribution over the tag sequences of each sentence, on numpy arrays; needs no torch.

It serves where torch is not installed: what ``ner.crf.chain`` gives, in log space and float64,
exact whatever the range of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ner.crf.viterbi_numpy import complaint

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayChain:
    """The scores of all tag sequences of a batch; see ``ner.crf.LinearChain``.

    emissions: ``(batch, length, tags)``; anything at padding.
    transitions: ``(tags, tags)``, from the row's tag to the column's; minus infinity where
        forbidden.
    start, end: ``(tags,)``; minus infinity where forbidden.
    lengths: the tokens of each sentence, ``(batch,)``.
    """

    emissions: Floats
    transitions: Floats
    start: Floats
    end: Floats
    lengths: Integers

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True at tokens, false at padding, ``(batch, length)``."""
        return np.arange(self.emissions.shape[1]) < self.lengths[:, None]

    def nodes(self) -> Doubles:
        """The emissions in float64, 0 at padding."""
        return np.where(self.mask[:, :, None], self.emissions, np.float64(0.0))

    def check(self, sound: NDArray[np.bool_]) -> None:
        """Refuse the first sentence that is not sound, ``(batch,)``.

        Raises:
            ValueError: naming its score that is no number, or saying that it has no legal path.
        """
        if not sound.all():
            scores = (self.transitions, self.start, self.end)
            raise ValueError(complaint(self.emissions, self.lengths, int(sound.argmin()), *scores))


@dataclass(frozen=True, slots=True, eq=False)
class SpanTable:
    """The tags that spell a span of each label, ``(labels,)`` each; see ``ner.crf.SpanTags``."""

    single: Integers
    first: Integers
    inside: Integers
    last: Integers
    prolonging: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The spans of a batch; every field is ``(spans,)``, in the order of the text.

    Attributes:
        rows: The sentence.
        starts: The first token.
        ends: One past the last token.
        labels: The number of the label.
    """

    rows: Integers
    starts: Integers
    ends: Integers
    labels: Integers

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class ArrayMessages:
    """What the two recursions leave behind, in logs.

    log_alpha: the total weight of all beginnings that end in this tag at this token, its
        emission included, ``(batch, length, tags)``.
    log_beta: the total weight of all endings that follow this tag at this token.
    log_partition: ``(batch,)``.
    """

    log_alpha: Doubles
    log_beta: Doubles
    log_partition: Doubles

    @staticmethod
    def of(chain: ArrayChain) -> ArrayMessages:
        """Run both recursions over sentences that have tokens.

        Raises:
            ValueError: Emissions or scores are no numbers, or a sentence has no legal path.
        """
        nodes, inside = chain.nodes(), chain.mask[:, :, None]
        moves, start, end = (
            part.astype(np.float64) for part in (chain.transitions, chain.start, chain.end)
        )
        alpha, beta = np.empty_like(nodes), np.empty_like(nodes)
        alpha[:, 0] = start + nodes[:, 0]
        beta[:, -1] = end
        forth, back = _Moves.of(moves), _Moves.of(moves.T)
        for t in range(1, nodes.shape[1]):
            step = forth.summed(alpha[:, t - 1]) + nodes[:, t]
            alpha[:, t] = np.where(inside[:, t], step, alpha[:, t - 1])
        totals = logsumexp(alpha[:, -1] + end, 1)
        chain.check(np.isfinite(totals))
        for t in range(nodes.shape[1] - 1, 0, -1):
            step = back.summed(beta[:, t] + nodes[:, t])
            beta[:, t - 1] = np.where(inside[:, t], step, end)
        return ArrayMessages(alpha, beta, totals)

    def marginals(self) -> Doubles:
        """The probability of each tag at each token, ``(batch, length, tags)``."""
        return np.asarray(
            np.exp(self.log_alpha + self.log_beta - self.log_partition[:, None, None])
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Moves:
    """Scores from one tag to the next, and the same as factors of at most 1.

    Attributes:
        scores: ``(from, to)``.
        factors: Their exponentials, over that of the greatest.
        greatest: The greatest of the scores.
    """

    scores: Doubles
    factors: Doubles
    greatest: float

    @staticmethod
    def of(scores: Doubles) -> _Moves:
        greatest = float(scores.max())
        greatest = greatest if np.isfinite(greatest) else 0.0
        return _Moves(scores, np.exp(scores - greatest), greatest)

    def summed(self, before: Doubles) -> Doubles:
        """The log of the sum over the tags before, ``(batch, to)``.

        A product of matrices, unless a sum is so small that what it lost below the range of
        float64 may matter: terms left out are under 1e-307 each.
        """
        greatest = before.max(1, keepdims=True)
        greatest[~np.isfinite(greatest)] = 0.0
        with np.errstate(invalid="ignore"):  # of infinite scores
            total = np.exp(before - greatest) @ self.factors
        if not total.min() > 1e-280:
            return logsumexp(before[:, :, None] + self.scores, 1)
        return np.asarray(np.log(total) + (greatest + self.greatest))


def logsumexp(scores: Doubles, axis: int) -> Doubles:
    """The log of a sum of exponentials, minus infinity where all scores are."""
    greatest = scores.max(axis, keepdims=True)
    greatest[~np.isfinite(greatest)] = 0.0
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(scores - greatest).sum(axis, keepdims=True))
    return np.asarray((total + greatest).squeeze(axis))


def span_probability(
    chain: ArrayChain, messages: ArrayMessages, spans: Found, table: SpanTable
) -> Doubles:
    """The exact probabilities of spans, ``(spans,)``; see ``ner.crf.spans.span_probability``."""
    nodes, moves = chain.nodes(), chain.transitions.astype(np.float64)
    rows, starts, ends, labels = spans.rows, spans.starts, spans.ends, spans.labels
    count = ends - starts
    first = np.where(count == 1, table.single[labels], table.first[labels])
    last = np.where(count == 1, table.single[labels], table.last[labels])
    inside = table.inside[labels]
    weight = messages.log_alpha[rows, starts, first]
    arriving = nodes[rows, ends - 1, last]
    weight += np.where(count == 2, moves[first, last] + arriving, 0.0)
    with np.errstate(invalid="ignore"):  # of spans that have no such tokens
        inner = moves[first, inside] + moves[inside, last] + arriving
        inner += _along(nodes[:, :, table.inside], spans)
        inner += np.where(count > 3, moves[inside, inside] * (count - 3), 0.0)
    weight += np.where(count > 2, inner, 0.0)
    weight += _after(chain, messages, spans, last, table.prolonging[labels])
    return np.minimum(np.exp(weight - messages.log_partition[rows]), 1.0)


def _along(nodes: Doubles, spans: Found) -> Doubles:
    """The sum of the emissions of inner tokens, ``(spans,)``; of each label's inner tag."""
    sums = nodes.cumsum(1)
    stop = np.maximum(spans.ends - 2, 0)  # sums end with their token
    inner: Doubles = sums[spans.rows, stop, spans.labels]
    inner -= sums[spans.rows, spans.starts, spans.labels]
    return inner


def _after(
    chain: ArrayChain, messages: ArrayMessages, spans: Found, last: Integers, no: Integers
) -> Doubles:
    """The log of the weight of all endings after spans' last tags, ``(spans,)``.

    Args:
        chain: The scores.
        messages: The sums over them.
        spans: The spans.
        last: The tags of their last tokens.
        no: The tags that must not follow, or -1.
    """
    rows, ends = spans.rows, spans.ends
    closed = messages.log_beta[rows, ends - 1, last]
    at_end = ends == chain.lengths[rows]
    following = np.where(at_end, 0, ends)
    open_ = chain.transitions[last].astype(np.float64)
    open_ += chain.emissions[rows, following] + messages.log_beta[rows, following]
    open_[np.arange(open_.shape[1]) == no[:, None]] = -np.inf
    return np.where(at_end | (no < 0), closed, logsumexp(open_, 1))
