"""The alternatives to a span: the most probable other spans that overlap it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ner.crf.core.forward_backward import forward_backward
from ner.crf.core.scores import ChainScores
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.sentence import Span, SpanWithAlternatives

REACH = 3  # maximum distance in tokens between the edges of an alternative and of the span
LEAST = 1e-3  # the minimum probability of an alternative
AT_ONCE = 1 << 18  # spans whose probabilities are computed together

Integers = NDArray[np.int64]


def with_alternatives(
    chain: ChainScores,
    table: SpanTable,
    labels: Sequence[str],
    found: Sequence[Sequence[Span]],
    count: int,
) -> list[tuple[Span, ...]]:
    """Return the spans of each sentence with their alternatives and exact probabilities.

    Args:
        chain: The distribution over the paths of the sentences.
        table: The tags of spans of each label.
        labels: The labels, in the order of their tags.
        found: The spans of each sentence.
        count: The maximum number of alternatives of a span.
    """
    lengths = chain.lengths.tolist()
    places = [(row, span) for row, spans in enumerate(found) for span in spans]
    numbers = {label: number for number, label in enumerate(labels)}
    rivals = [
        _candidates(span.start, span.end, numbers[span.label], lengths[row], len(numbers))
        for row, span in places
    ]
    scores = _probabilities(chain, table, [row for row, _ in places], rivals)
    paired: list[list[Span]] = [[] for _ in found]
    for (row, span), some, own in zip(places, rivals, scores, strict=True):
        best = np.argsort(-own, kind="stable")[:count]
        alternatives = tuple(
            Span(start, end, labels[label], float(own[place]))
            for place, (start, end, label) in zip(best, some[best].tolist(), strict=True)
            if own[place] >= LEAST
        )
        paired[row].append(
            SpanWithAlternatives(span.start, span.end, span.label, span.score, alternatives)
        )
    return [tuple(spans) for spans in paired]


def _candidates(start: int, end: int, label: int, length: int, labels: int) -> Integers:
    """Return the possible alternatives: start, end and label of each, ``(candidates, 3)``."""
    near = np.arange(-REACH, REACH + 1)
    edges = np.unique(np.concatenate((start + near, end + near)))
    edges = edges[(edges >= 0) & (edges <= length)]
    starts, ends, kinds = (
        axis.ravel() for axis in np.meshgrid(edges, edges, np.arange(labels), indexing="ij")
    )
    overlaps = (starts < ends) & (starts < end) & (ends > start)
    itself = (starts == start) & (ends == end) & (kinds == label)
    table: Integers = np.stack((starts, ends, kinds), axis=1)[overlaps & ~itself]
    return table


def _probabilities(
    chain: ChainScores, table: SpanTable, rows: Sequence[int], rivals: Sequence[Integers]
) -> list[NDArray[np.float64]]:
    """Return the probability of each candidate of each span; ``rows`` are their sentences."""
    if not rivals:
        return []
    sizes = [len(some) for some in rivals]
    spans = SpanBatch(np.repeat(rows, sizes), *np.concatenate(rivals).T)
    messages = forward_backward(chain).messages()
    parts = [
        span_probability(chain, messages, spans.take(places), table)
        for places in np.split(np.arange(len(spans)), range(AT_ONCE, len(spans), AT_ONCE))
    ]
    return np.split(np.concatenate(parts), np.cumsum(sizes)[:-1].tolist())
