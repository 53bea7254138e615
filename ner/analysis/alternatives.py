"""The alternatives to a span: the most probable other spans that overlap it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ner.crf import LinearChain
from ner.crf.chain import SpanTags
from ner.sentence import Span, SpanWithAlternatives

REACH = 3  # maximum distance in tokens between the edges of an alternative and of the span
LEAST = 1e-3  # the minimum probability of an alternative
AT_ONCE = 1 << 18  # spans whose probabilities are computed together

Integers = NDArray[np.int64]


class LabelledSpans(Protocol):
    """A model of either kind: the labels of its spans, and the tags that spell them."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their tags."""

    @property
    def span_tags(self) -> SpanTags:
        """The tags of spans of each label."""


def with_alternatives(
    network: LabelledSpans, chain: LinearChain, found: Sequence[Sequence[Span]], count: int
) -> list[tuple[Span, ...]]:
    """Return the spans of each sentence with their alternatives and exact probabilities.

    Args:
        network: The network that defines the labels and tags.
        chain: The distribution over the paths of the sentences.
        found: The spans of each sentence.
        count: The maximum number of alternatives of a span.
    """
    lengths = chain.lengths.tolist()
    places = [(row, span) for row, spans in enumerate(found) for span in spans]
    numbers = {label: number for number, label in enumerate(network.labels)}
    tables = [
        _candidates(span.start, span.end, numbers[span.label], lengths[row], len(numbers))
        for row, span in places
    ]
    scores = _probabilities(network, chain, [row for row, _ in places], tables)
    paired: list[list[Span]] = [[] for _ in found]
    for (row, span), table, own in zip(places, tables, scores, strict=True):
        best = np.argsort(-own, kind="stable")[:count]
        alternatives = tuple(
            Span(start, end, network.labels[label], float(own[place]))
            for place, (start, end, label) in zip(best, table[best].tolist(), strict=True)
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
    network: LabelledSpans, chain: LinearChain, rows: Sequence[int], tables: Sequence[Integers]
) -> list[NDArray[np.float64]]:
    """Return the probability of each candidate of each span; ``rows`` are their sentences."""
    if not tables:
        return []
    sizes = [len(table) for table in tables]
    flat = torch.from_numpy(np.concatenate(tables))
    row = torch.from_numpy(np.repeat(rows, sizes))
    starts, ends, labels = (torch.split(column, AT_ONCE) for column in flat.unbind(1))
    parts = [
        chain.span_probability(*some, network.span_tags)
        for some in zip(torch.split(row, AT_ONCE), starts, ends, labels, strict=True)
    ]
    bounds = np.cumsum(sizes)[:-1].tolist()
    return np.split(torch.cat(parts).cpu().numpy(), bounds)
