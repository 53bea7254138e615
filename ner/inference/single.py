"""The best path through one short sentence, and the probability of its spans; needs no torch.

They are what the code for batches gives. At a handful of tokens it is calls that cost, not
arithmetic, so here as few as possible are made.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ner.crf.arrays import Found, SpanTable
from ner.inference.probabilities import Weights

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_LOST = 1e-290  # what float64 does not hold is below this


def best_path(emissions: Floats, moves: Floats, start: Floats, end: Floats) -> Integers | None:
    """The best tags of a sentence, ``(length,)``; None where no path is finite.

    Args:
        emissions: ``(length, tags)``.
        moves: From the row's tag to the column's, ``(tags, tags)``.
        start: ``(tags,)``.
        end: ``(tags,)``.
    """
    add, greatest = np.add, np.maximum.reduce
    columns = moves.T.copy()
    best = emissions.copy()
    best[0] += start
    room = np.empty_like(columns)
    for before, here in pairwise(best):
        add(columns, before, room)
        add(here, greatest(room, 1), here)
    final = best[-1] + end
    tag = int(final.argmax())
    if not -np.inf < final[tag] < np.inf:
        return None
    path = [tag]
    for before in best[-2::-1]:
        tag = int((before + columns[tag]).argmax())
        path.append(tag)
    return np.array(path[::-1])


def span_probabilities_of_one(
    emissions: Floats, weights: Weights, found: Found, table: SpanTable
) -> list[float] | None:
    """The probability of each span of a sentence; None where float64 does not hold the factors.

    Args:
        emissions: ``(length, tags)``.
        weights: The scores of the CRF.
        found: The spans.
        table: The tags that spell them.
    """
    nodes = np.exp((emissions - emissions.max(1, keepdims=True)) / np.float64(weights.temperature))
    with np.errstate(all="ignore"):
        ahead, back = _messages(nodes, weights)
        total = float(ahead[-1].dot(weights.end))
        greatest = float(back.max())
    if not (0.0 < total < np.inf and greatest * _LOST < total and np.isfinite(ahead).all()):
        return None
    spans = zip(found.starts.tolist(), found.ends.tolist(), found.labels.tolist(), strict=True)
    through = _Through(nodes, weights.moves, ahead, back, table)
    return [min(1.0, through.weight(*span) / total) for span in spans]


def _messages(nodes: Doubles, weights: Weights) -> tuple[Doubles, Doubles]:
    """The weight of all beginnings that end in a tag, and of all endings after it.

    Both walks go side by side, as one vector.
    """
    dot, multiply, both = np.dot, np.multiply, weights.both
    emitted = np.concatenate((nodes, nodes[::-1]), 1)
    reached, left = np.empty_like(emitted), np.empty_like(emitted)
    reached[0] = weights.ends
    multiply(reached[0], emitted[0], left[0])
    for before, here, after, node in zip(left, reached[1:], left[1:], emitted[1:], strict=False):
        dot(before, both, here)
        multiply(here, node, after)
    tags = nodes.shape[1]
    return left[:, :tags], reached[::-1, tags:]


class _Through:
    """The weight of all paths through spans of a sentence; see ``_messages``."""

    def __init__(
        self, nodes: Doubles, moves: Doubles, ahead: Doubles, back: Doubles, table: SpanTable
    ) -> None:
        self.nodes, self.moves, self.ahead, self.back = nodes, moves, ahead, back
        self.table = table

    def weight(self, start: int, end: int, label: int) -> float:
        """That of one span."""
        table, nodes, moves = self.table, self.nodes, self.moves
        tag = table.single[label] if end == start + 1 else table.first[label]
        share = self.ahead[start, tag]
        for token in range(start + 1, end):
            new = table.last[label] if token == end - 1 else table.inside[label]
            share = share * moves[tag, new] * nodes[token, new]
            tag = new
        no = table.prolonging[label]
        if no < 0 or end == len(nodes):
            return float(share * self.back[end - 1, tag])
        following = moves[tag] * nodes[end] * self.back[end]
        following[no] = 0.0
        return float(share * following.sum())
