"""Ways to choose tags from their scores. Each takes a chain and gives paths through it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.crf.chain import LinearChain
from ner.crf.expected import best_spans, holding, spell
from ner.crf.lattice import Lattice, check_found, check_moves, numbers
from ner.crf.nbest import n_best as n_best
from ner.crf.paths import Paths
from ner.crf.spans import SpanTags
from ner.crf.viterbi_device import viterbi_device
from ner.crf.viterbi_numpy import viterbi_numpy

Decoder = Callable[[LinearChain], Paths]


def best_tags(lattice: Lattice) -> NDArray[np.int64]:
    """The tags of the path of greatest score, ``(batch, length)``, 0 at padding.

    Raises:
        ValueError: where emissions or moves are no numbers, or a sentence has no legal path.
    """
    if lattice.emissions.device.type != "cpu":
        return viterbi_device(lattice)
    candidates = lattice.candidates
    return viterbi_numpy(
        numbers(lattice.emissions),
        lattice.lengths.numpy(),
        numbers(lattice.transitions),
        numbers(lattice.start),
        numbers(lattice.end),
        None if candidates is None else candidates.numpy(),
    )


@torch.no_grad()
def viterbi(chain: LinearChain) -> Paths:
    """The most probable path (Viterbi 1967).

    Raises:
        ValueError: where emissions or moves are no numbers, or a sentence has no legal path.
    """
    check_moves(chain)
    tags = torch.from_numpy(best_tags(chain)).to(chain.emissions.device)
    return Paths(tags, chain.score(tags))


@torch.no_grad()
def posterior(
    chain: LinearChain,
    span_tags: SpanTags | None = None,
    *,
    outside: int = 0,
    threshold: float = 0.5,
) -> Paths:
    """The path of the greatest expected accuracy.

    Without `span_tags`: the legal path with the greatest expected number of right tags. With
    them: the spans that do not overlap and have the greatest sum of probability less threshold,
    which is the choice of greatest expected F1 where the threshold is half of that F1 (Lipton,
    Elkan and Narayanaswamy 2014); a span less probable than the threshold is never kept. At a
    threshold of 0.5 or more no two such spans can overlap.

    Where that path is not legal, as when candidates leave a token no `outside`, the sentence
    gets the most probable path that holds the kept spans.

    Args:
        chain: The distribution.
        span_tags: The tags that spell a span of each label.
        outside: The tag of a token outside all spans.
        threshold: The least probability of a span, over 0.

    Raises:
        ValueError: for a threshold outside (0, 1], where emissions or moves are no numbers, and
            where a sentence has no legal path.
    """
    check_moves(chain)
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold must be over 0 and at most 1, got {threshold}")
    if span_tags is None:
        tags = torch.from_numpy(best_tags(_expected_tags(chain))).to(chain.emissions.device)
        return Paths(tags, chain.score(tags))
    table = span_tags.to(chain.emissions.device)
    spans = best_spans(chain, chain.messages(), table, threshold)
    batch, length, _ = chain.emissions.shape
    tags = torch.where(chain.mask, spell(spans, table, outside, (batch, length)), 0)
    scores = chain.score(tags)
    illegal = ~torch.isfinite(scores)  # candidates may leave no room for `outside`
    if illegal.any():
        free = torch.from_numpy(best_tags(holding(chain, spans, table))).to(tags.device)
        tags = torch.where(illegal.unsqueeze(1), free, tags)
        scores = chain.score(tags)
    return Paths(tags, scores)


def _expected_tags(chain: LinearChain) -> Lattice:
    """A lattice whose path scores are expected numbers of right tags."""
    excluded = chain.nodes() == -torch.inf
    moves, start, end = (
        torch.where(part == -torch.inf, part, 0.0)
        for part in (chain.transitions, chain.start, chain.end)
    )
    nodes = chain.marginals().masked_fill(excluded, -torch.inf)
    return Lattice(nodes, moves, start, end, chain.lengths)


@torch.no_grad()
def greedy(chain: LinearChain) -> Paths:
    """The best next tag, token by token, of those from which a legal end can be reached.

    Raises:
        ValueError: where emissions or moves are no numbers, or a sentence has no legal path.
    """
    check_moves(chain)  # a NaN would pass for a forbidden move
    nodes, moves = chain.nodes(), chain.transitions.double()
    open_ = _open(chain, nodes, moves)
    batch, length, _ = nodes.shape
    tags = torch.zeros(batch, length, dtype=torch.long, device=nodes.device)
    before = chain.start.double()
    for t in range(length):
        tags[:, t] = (before + nodes[:, t]).masked_fill(~open_[:, t], -torch.inf).argmax(1)
        before = moves[tags[:, t]]
    tags = torch.where(chain.mask, tags, 0)
    scores = chain.score(tags)
    check_found(chain, scores)
    return Paths(tags, scores)


def _open(lattice: Lattice, nodes: Tensor, moves: Tensor) -> Tensor:
    """Whether a legal ending follows each tag, bool ``(batch, length, tags)``."""
    steps = (moves > -torch.inf).double().t()
    legal = nodes > -torch.inf
    ends = (lattice.end > -torch.inf).expand(len(nodes), -1)
    open_ = torch.ones_like(legal)
    for t in range(nodes.shape[1] - 1, -1, -1):
        last = (lattice.lengths == t + 1).unsqueeze(1)
        following = ends
        if t + 1 < nodes.shape[1]:
            following = ((open_[:, t + 1] & legal[:, t + 1]).double() @ steps) > 0
        open_[:, t] = torch.where(last, ends, following)
    return open_


DECODERS: dict[str, Decoder] = {"viterbi": viterbi, "posterior": posterior, "greedy": greedy}
