"""Ways to choose tags from their scores, on numpy arrays; they give what ``ner.crf`` gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ner.crf.arrays import (
    ArrayChain,
    ArrayMessages,
    Doubles,
    Found,
    Integers,
    SpanTable,
    span_probability,
)
from ner.crf.intervals import disjoint

_SLACK = 1e-9  # rounding of a marginal that bounds a probability


def posterior_numpy(
    chain: ArrayChain, table: SpanTable, *, outside: int = 0, threshold: float = 0.5
) -> Integers:
    """The tags of the spans of the greatest sum of probability less threshold.

    See ``ner.crf.posterior``.

    Args:
        chain: The distribution.
        table: The tags that spell a span of each label.
        outside: The tag of a token outside all spans.
        threshold: The least probability of a span, over 0.

    Returns:
        ``(batch, length)``.

    Raises:
        ValueError: Emissions or scores are no numbers, or a sentence has no legal path.
    """
    messages = ArrayMessages.of(chain)
    spans = _possible(chain, messages, table, threshold)
    probabilities = span_probability(chain, messages, spans, table)
    passed = np.flatnonzero(probabilities >= threshold)
    width = chain.emissions.shape[1]
    begins = spans.rows[passed] * width
    intervals = zip(
        (begins + spans.starts[passed]).tolist(),
        (begins + spans.ends[passed]).tolist(),
        (probabilities[passed] - threshold).tolist(),
        strict=True,
    )
    kept = passed[np.array(disjoint(list(intervals)), dtype=np.int64)]
    tags = np.full((len(chain.lengths), width), outside, np.int64)
    fields = (spans.rows, spans.starts, spans.ends, spans.labels)
    for row, start, end, label in np.stack([field[kept] for field in fields], 1).tolist():
        tags[row, start:end] = table.inside[label]
        tags[row, start] = table.first[label]
        tags[row, end - 1] = (table.single if end - start == 1 else table.last)[label]
    return tags


def _possible(
    chain: ArrayChain, messages: ArrayMessages, table: SpanTable, threshold: float
) -> Found:
    """All spans that may reach the threshold: no tag of theirs is less probable than it."""
    likely = (messages.marginals() >= threshold - _SLACK) & chain.mask[:, :, None]
    row, start, label = likely[:, :, table.single].nonzero()
    found = [(row, start, start + 1, label)]
    row, start, label = likely[:, :, table.first].nonzero()
    at = start + 1
    while len(row):
        within = at < chain.lengths[row]
        row, start, at, label = row[within], start[within], at[within], label[within]
        ending = likely[row, at, table.last[label]]
        found.append((row[ending], start[ending], at[ending] + 1, label[ending]))
        going = likely[row, at, table.inside[label]]
        row, start, at, label = row[going], start[going], at[going] + 1, label[going]
    return Found(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def greedy_numpy(chain: ArrayChain) -> Integers:
    """The best next tag, token by token, of those from which a legal end can be reached.

    Returns:
        ``(batch, length)``.

    Raises:
        ValueError: Emissions are no numbers.
    """
    nodes, moves = chain.nodes(), chain.transitions.astype(np.float64)
    chain.check(np.all(nodes < np.inf, axis=(1, 2)))
    open_ = _open(chain, nodes, moves)
    tags = np.zeros(nodes.shape[:2], np.int64)
    before = chain.start.astype(np.float64)
    for t in range(nodes.shape[1]):
        scores = np.where(open_[:, t], before + nodes[:, t], -np.inf)
        tags[:, t] = scores.argmax(1)
        before = moves[tags[:, t]]
    return np.where(chain.mask, tags, 0)


def _open(chain: ArrayChain, nodes: Doubles, moves: Doubles) -> NDArray[np.bool_]:
    """Whether a legal ending follows each tag, ``(batch, length, tags)``."""
    steps = (moves > -np.inf).astype(np.float64).T
    ends = chain.end > -np.inf
    open_ = np.ones(nodes.shape, dtype=bool)
    for t in range(nodes.shape[1] - 1, -1, -1):
        last = (chain.lengths == t + 1)[:, None]
        after = ends if t + 1 == nodes.shape[1] else (open_[:, t + 1] @ steps) > 0
        open_[:, t] = np.where(last, ends, after)
    return open_
