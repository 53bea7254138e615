"""The best path and the span probabilities of a single short sentence.

The results equal those of the code for batches. For a handful of tokens, function calls cost more
than arithmetic, so this code makes as few of them as possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ner.crf.core.scores import ChainScores, Doubles, Floats, Integers
from ner.crf.core.spans import SpanBatch, SpanTable
from ner.crf.core.viterbi import is_ordinary

_LOST = 1e-290  # relative size of terms that float64 may have lost to underflow


def best_path(scores: ChainScores) -> Integers | None:
    """Return the best tags of a batch of one sentence, ``(length,)``.

    None if `viterbi` must be used: scores are huge, NaN or infinite, or no path is legal.
    """
    if not is_ordinary(scores.emissions):
        return None
    add, greatest = np.add, np.maximum.reduce
    columns = scores.transitions.T.copy()
    best = scores.emissions[0].copy()
    best[0] += scores.start
    arriving = np.empty_like(columns)
    for before, here in pairwise(best):  # best(t, y) = e(t, y) + max_y' best(t-1, y') + A[y', y]
        add(columns, before, arriving)
        add(here, greatest(arriving, 1), here)
    final = best[-1] + scores.end
    tag = int(final.argmax())
    if not -np.inf < final[tag] < np.inf:
        return None
    path = [tag]
    for before in best[-2::-1]:
        tag = int((before + columns[tag]).argmax())
        path.append(tag)
    return np.array(path[::-1])


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The exponentials of a CRF's scores, computed once for many sentences.

    Attributes:
        moves: From the row's tag to the column's, ``(tags, tags)``.
        end: ``(tags,)``.
        both: The block diagonal of `moves` and its transpose, ``(2 * tags, 2 * tags)``.
        edges: The factors of start and end, concatenated, ``(2 * tags,)``.
        temperature: The divisor of all scores.
    """

    moves: Doubles
    end: Doubles
    both: Doubles
    edges: Doubles
    temperature: float

    @staticmethod
    def of(transitions: Floats, start: Floats, end: Floats, temperature: float = 1.0) -> Factors:
        """Exponentiate scores; minus infinity becomes 0."""
        with np.errstate(over="ignore"):  # `span_probabilities` checks for it
            moves, first, last = (
                np.exp(part.astype(np.float64) / temperature) for part in (transitions, start, end)
            )
        nothing = np.zeros_like(moves)
        both = np.block([[moves, nothing], [nothing, moves.T]])
        return Factors(moves, last, both, np.concatenate((first, last)), temperature)


def span_probabilities(
    emissions: Floats, factors: Factors, spans: SpanBatch, table: SpanTable
) -> list[float] | None:
    """Return the probability of each span of a sentence; None if float64 cannot hold the sums.

    Args:
        emissions: ``(length, tags)``.
        factors: The factors of the CRF's scores.
        spans: The spans.
        table: The tags that spell them.
    """
    nodes = np.exp((emissions - emissions.max(1, keepdims=True)) / np.float64(factors.temperature))
    with np.errstate(all="ignore"):
        ahead, back = _messages(nodes, factors)
        total = float(ahead[-1].dot(factors.end))
        greatest = float(back.max())
    if not (0.0 < total < np.inf and greatest * _LOST < total and np.isfinite(ahead).all()):
        return None
    places = zip(spans.starts.tolist(), spans.ends.tolist(), spans.labels.tolist(), strict=True)
    through = _Through(nodes, factors.moves, ahead, back, table)
    return [min(1.0, through.weight(*span) / total) for span in places]


def _messages(nodes: Doubles, factors: Factors) -> tuple[Doubles, Doubles]:
    """Return alpha and beta, ``(length, tags)`` each.

    Both recursions run as one vector: (alpha, beta) <- ((alpha, beta) diag(W, W^T)) * P.
    """
    dot, multiply, both = np.dot, np.multiply, factors.both
    emitted = np.concatenate((nodes, nodes[::-1]), 1)
    # in C order whatever the order of the emissions, since `dot` writes into its rows
    reached, left = np.empty((2, *emitted.shape))
    reached[0] = factors.edges
    multiply(reached[0], emitted[0], left[0])
    for before, here, after, node in zip(left, reached[1:], left[1:], emitted[1:], strict=False):
        dot(before, both, here)
        multiply(here, node, after)
    tags = nodes.shape[1]
    return left[:, :tags], reached[::-1, tags:]


class _Through:
    """Sums over all paths through a span of a sentence; see ``_messages``."""

    def __init__(
        self, nodes: Doubles, moves: Doubles, ahead: Doubles, back: Doubles, table: SpanTable
    ) -> None:
        self.nodes, self.moves, self.ahead, self.back = nodes, moves, ahead, back
        self.table = table

    def weight(self, start: int, end: int, label: int) -> float:
        """Return alpha(first tag) * product of the factors along the span * beta(last tag)."""
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
