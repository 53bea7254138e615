"""The probability of spans, on numpy arrays; needs no torch.

It is what ``LinearChain.span_probability`` gives, for scores of an ordinary range: the forward
and backward recursions run on probabilities in float64, divided by their sum at every step, so
that the product of the two is the probability of a tag as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ner.crf.arrays import Found
from ner.crf.arrays import SpanTable as SpanTable

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Weights:
    """The scores of a CRF as factors.

    Attributes:
        moves: From the row's tag to the column's, ``(tags, tags)``.
        start, end: ``(tags,)``.
        temperature: What scores were divided by.
    """

    moves: Doubles
    start: Doubles
    end: Doubles
    temperature: float = 1.0

    @staticmethod
    def of(
        moves: NDArray[np.float32],
        start: NDArray[np.float32],
        end: NDArray[np.float32],
        temperature: float = 1.0,
    ) -> Weights:
        """The factors of scores; a score of minus infinity is a factor of 0."""

        def factor(scores: NDArray[np.float32]) -> Doubles:
            with np.errstate(over="ignore"):  # then there are no probabilities, which is told
                return np.asarray(np.exp(scores.astype(np.float64) / temperature))

        return Weights(factor(moves), factor(start), factor(end), temperature)

    @cached_property
    def both(self) -> Doubles:
        """The moves from the start beside those from the end, ``(2 * tags, 2 * tags)``."""
        nothing = np.zeros_like(self.moves)
        return np.block([[self.moves, nothing], [nothing, self.moves.T]])

    @cached_property
    def ends(self) -> Doubles:
        """The factors of first tags beside those of last ones, ``(2 * tags,)``."""
        return np.concatenate((self.start, self.end))


def span_probabilities(
    emissions: NDArray[np.float32],
    lengths: Integers,
    weights: Weights,
    found: Found,
    table: SpanTable,
) -> Doubles | None:
    """The probability of each span.

    Args:
        emissions: ``(batch, length, tags)``, the longest sentence first; anything at padding.
        lengths: Descending, above 0, ``(batch,)``.
        weights: The scores of the CRF.
        found: The spans.
        table: The tags that spell them.

    Returns:
        ``(spans,)``; None where float64 does not hold the factors.
    """
    nodes = emissions.transpose(1, 0, 2) / np.float64(weights.temperature)
    nodes -= nodes.max(axis=2, keepdims=True)
    np.exp(nodes, out=nodes)  # (length, batch, tags)
    counts = (np.arange(len(nodes))[:, None] < lengths).sum(1).tolist()
    with np.errstate(all="ignore"):
        ahead, sums = _forward(nodes, counts, weights)
        back = _backward(nodes, counts, weights, ahead, sums)
        probabilities = _along(nodes, weights, (ahead, back, sums), lengths, found, table)
    if not np.isfinite(probabilities).all() or not _whole(sums, counts):
        return None
    return np.minimum(probabilities, 1.0)


def _whole(sums: Doubles, counts: list[int]) -> bool:
    """Whether no sum of a token is 0, too small to be trusted, or no number."""
    return all(
        bool((own[:n] > 1e-280).all() and np.isfinite(own[:n]).all())
        for own, n in zip(sums, counts, strict=True)
    )


def _forward(nodes: Doubles, counts: list[int], weights: Weights) -> tuple[Doubles, Doubles]:
    """The share of each tag in all beginnings, and what each step was divided by."""
    ahead = np.empty_like(nodes)
    sums = np.ones(nodes.shape[:2])
    here = nodes[0] * weights.start
    for step, n in enumerate(counts):
        if step:
            here = ahead[step - 1, :n] @ weights.moves
            here *= nodes[step, :n]
        total = here.sum(1)
        np.divide(here, total[:, None], out=ahead[step, :n])
        sums[step, :n] = total
    return ahead, sums


def _backward(
    nodes: Doubles, counts: list[int], weights: Weights, ahead: Doubles, sums: Doubles
) -> Doubles:
    """The weight of all endings after each tag, so that its product with ``ahead`` sums to 1."""
    back = np.empty_like(nodes)
    moves = weights.moves.T.copy()
    later = 0  # sentences that go on after this step
    for step in range(len(counts) - 1, -1, -1):
        n = counts[step]
        if later:
            beyond = back[step + 1, :later] * nodes[step + 1, :later]
            beyond /= sums[step + 1, :later, None]
            np.matmul(beyond, moves, out=back[step, :later])
        if n > later:
            back[step, later:n] = weights.end / (ahead[step, later:n] @ weights.end)[:, None]
        later = n
    return back


def _along(
    nodes: Doubles,
    weights: Weights,
    messages: tuple[Doubles, Doubles, Doubles],
    lengths: Integers,
    found: Found,
    table: SpanTable,
) -> Doubles:
    """The share of the paths through each span."""
    ahead, back, sums = messages
    rows, starts, labels = found.rows, found.starts, found.labels
    count = found.ends - starts
    tag = np.where(count == 1, table.single[labels], table.first[labels])
    share = ahead[starts, rows, tag]
    going = np.flatnonzero(count > 1)
    step = 1
    while len(going):
        where = starts[going] + step
        ends = count[going] == step + 1
        new = np.where(ends, table.last[labels[going]], table.inside[labels[going]])
        factor = weights.moves[tag[going], new] * nodes[where, rows[going], new]
        share[going] *= factor / sums[where, rows[going]]
        tag[going] = new
        going = going[~ends]
        step += 1
    lasts = found.ends - 1
    closed = back[lasts, rows, tag]
    no = table.prolonging[labels]
    open_ = np.flatnonzero((no >= 0) & (found.ends < lengths[rows]))
    if len(open_):
        where, own = found.ends[open_], rows[open_]
        following = weights.moves[tag[open_]] * nodes[where, own] * back[where, own]
        following[np.arange(len(open_)), no[open_]] = 0.0
        closed[open_] = following.sum(1) / sums[where, own]
    return share * closed
