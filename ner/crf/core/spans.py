"""The tags that spell spans, and the exact probabilities of spans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ner.crf.core.scores import ChainScores, Doubles, Integers, Messages, logsumexp

if TYPE_CHECKING:
    from ner.crf.core.linear_space import PackedMessages

    AnyMessages = Messages | PackedMessages


@dataclass(frozen=True, slots=True, eq=False)
class SpanTable:
    """The tags that spell a span of each label, ``(labels,)`` each; see ``ner.crf.SpanTags``."""

    single: Integers
    first: Integers
    inside: Integers
    last: Integers
    prolonging: Integers


@dataclass(frozen=True, slots=True, eq=False)
class SpanBatch:
    """Spans of the sentences of a batch; every field is ``(spans,)``.

    Attributes:
        rows: The sentence.
        starts: The first token.
        ends: One past the last token.
        labels: The index of the label.
    """

    rows: Integers
    starts: Integers
    ends: Integers
    labels: Integers

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Integers) -> SpanBatch:
        """Return the spans at some indices."""
        fields = (self.rows, self.starts, self.ends, self.labels)
        return SpanBatch(*(field[places] for field in fields))

    def check(self, lengths: Integers) -> None:
        """Raise ValueError for a span that is empty or exceeds its sentence."""
        known = (self.rows >= 0) & (self.rows < len(lengths))
        within = self.ends <= lengths[np.where(known, self.rows, 0)] if len(lengths) else known
        bad = ~(known & within & (self.starts >= 0) & (self.starts < self.ends))
        if bad.any():
            i = int(bad.argmax())
            raise ValueError(
                f"span {i} covers tokens [{self.starts[i]}, {self.ends[i]}) of sentence "
                f"{self.rows[i]}; expected 0 <= start < end <= the sentence's length"
            )

    def spell(self, table: SpanTable, outside: int, shape: tuple[int, int]) -> Integers:
        """Return the tags that spell the spans, ``(batch, length)``, `outside` between them."""
        tags = np.full(shape, outside, np.int64)
        count = self.ends - self.starts
        # one entry for each token of each span: the index of the span, and that of the token
        span = np.repeat(np.arange(len(count)), count)
        token = np.arange(len(span)) - np.repeat(count.cumsum() - count - self.starts, count)
        tags[self.rows[span], token] = table.inside[self.labels[span]]
        tags[self.rows, self.starts] = table.first[self.labels]
        last = np.where(count == 1, table.single[self.labels], table.last[self.labels])
        tags[self.rows, self.ends - 1] = last
        return tags


def span_probability(
    scores: ChainScores, messages: AnyMessages, spans: SpanBatch, table: SpanTable
) -> Doubles:
    """Return the exact probabilities of spans, ``(spans,)``.

    The sum over all paths through the span [s, e) is, in logs,

        alpha(s, y_s) + sum of A[y_t-1, y_t] + e(t, y_t) for t in (s, e) + beta(e - 1, y_e-1)

    The emissions of inner tokens are differences of cumulative sums. Where the next tag could
    extend the span, beta is summed over all other tags instead of being reduced by a subtraction,
    which would cancel digits.

    Raises:
        ValueError: A span is empty or exceeds its sentence.
    """
    spans.check(scores.lengths)
    if not len(spans):
        return np.zeros(0)
    moves = scores.transitions.astype(np.float64)
    rows, labels, count = spans.rows, spans.labels, spans.ends - spans.starts
    first = np.where(count == 1, table.single[labels], table.first[labels])
    last = np.where(count == 1, table.single[labels], table.last[labels])
    weight = messages.alpha_at(rows, spans.starts)[np.arange(len(rows)), first]
    pair = np.flatnonzero(count == 2)
    if len(pair):
        weight[pair] += moves[first[pair], last[pair]]
    long = np.flatnonzero(count > 2)
    if len(long):
        inside, more = table.inside[labels[long]], count[long] - 3
        weight[long] += moves[first[long], inside] + moves[inside, last[long]]
        weight[long] += np.where(more > 0, moves[inside, inside], 0.0) * more
        weight[long] += _along(scores, spans.take(long), inside)
    several = np.flatnonzero(count > 1)
    arriving = _nodes_at(scores, rows[several], spans.ends[several] - 1, last[several])
    weight[several] += arriving
    weight += _after(scores, messages, spans, last, table.prolonging[labels])
    return np.minimum(np.exp(weight - messages.log_partition[rows]), 1.0)


def _nodes_at(scores: ChainScores, rows: Integers, tokens: Integers, tags: Integers) -> Doubles:
    """Return single emissions, ``(n,)``, minus infinity for tags that are not candidates."""
    nodes = scores.emissions[rows, tokens, tags].astype(np.float64)
    if scores.candidates is not None:
        nodes[~scores.candidates[rows, tokens, tags]] = -np.inf
    return nodes


def _along(scores: ChainScores, spans: SpanBatch, inside: Integers) -> Doubles:
    """Return the sum of the emissions of the inner tokens of each span, ``(spans,)``."""
    tags, which = np.unique(inside, return_inverse=True)
    nodes = scores.nodes()[:, :, tags]
    blocked = nodes == -np.inf
    sums, blocks = np.where(blocked, 0.0, nodes).cumsum(1), blocked.cumsum(1)
    begin, stop = (spans.rows, spans.starts, which), (spans.rows, spans.ends - 2, which)
    # S(t) = e(0) + ... + e(t), so the inner tokens start + 1 to end - 2 sum to
    # S(end - 2) - S(start); -inf is counted apart, since S would never recover from it
    return np.where(blocks[stop] == blocks[begin], sums[stop] - sums[begin], -np.inf)


def _after(
    scores: ChainScores, messages: AnyMessages, spans: SpanBatch, last: Integers, no: Integers
) -> Doubles:
    """Return the log of the sum over all suffixes that follow the spans, ``(spans,)``.

    Args:
        scores: The scores.
        messages: Their forward and backward messages.
        spans: The spans.
        last: The tags of their last tokens.
        no: The tags that would extend the spans, or -1.
    """
    rows, ends = spans.rows, spans.ends
    weight = messages.beta_at(rows, ends - 1)[np.arange(len(rows)), last]
    open_ = np.flatnonzero((no >= 0) & (ends < scores.lengths[rows]))
    if len(open_):
        # logsumexp over all y but `no` of A[last, y] + e(end, y) + beta(end, y)
        row, token = rows[open_], ends[open_]
        following = scores.transitions[last[open_]].astype(np.float64)
        following += scores.emissions[row, token] + messages.beta_at(row, token)
        if scores.candidates is not None:
            following[~scores.candidates[row, token]] = -np.inf
        following[np.arange(len(open_)), no[open_]] = -np.inf
        weight[open_] = logsumexp(following, 1)
    return weight
