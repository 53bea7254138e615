"""Several paths of each sentence: the best ones, and drawn ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ner.crf.lattice import Lattice, check_found
from ner.crf.messages import Messages
from ner.crf.paths import Paths


def n_best(lattice: Lattice, n: int) -> Paths:
    """The `n` paths of greatest score, best first: tags are ``(batch, n, length)``.

    The tree-trellis search of Soong and Huang (1991): a Viterbi pass forwards gives the score of
    the best beginning for every tag; the pass backwards then keeps the `n` endings whose best
    completions score highest, which are all that the `n` best paths can end in. So the cost is
    that of one Viterbi pass and, at each token, the choice of `n` among ``n * tags``.

    Raises:
        ValueError: for `n` below 1, where scores are no numbers, and where a sentence has no
            legal path.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    nodes, moves = lattice.nodes(), lattice.transitions.double()
    batch, length, tags = nodes.shape
    beginnings = _beginnings(lattice, nodes, moves)
    first_end = nodes.new_full((n, tags), -torch.inf)
    first_end[0] = lattice.end.double()
    scores = nodes.new_full((batch, n), -torch.inf)
    scores[:, 0] = 0.0
    ending, kept = scores, torch.zeros_like(scores, dtype=torch.long)
    steps = []
    for t in range(length - 1, -1, -1):
        followed = moves.t()[kept] + ending.unsqueeze(2)  # (batch, n, tags)
        endings = torch.where((lattice.lengths == t + 1)[:, None, None], first_end, followed)
        best, place = (beginnings[t].unsqueeze(1) + endings).flatten(1).topk(n)
        tag = place % tags
        inside = (lattice.lengths > t).unsqueeze(1)
        steps.append((tag, place // tags))
        ending = endings.flatten(1).gather(1, place) + nodes[:, t].gather(1, tag)
        kept = torch.where(inside, tag, kept)
        scores = torch.where(inside, best, scores)
    check_found(lattice, scores[:, 0])
    return Paths(_follow(steps[::-1], lattice, scores), scores)


def _beginnings(lattice: Lattice, nodes: Tensor, moves: Tensor) -> Tensor:
    """The score of the best beginning that ends in each tag, ``(length, batch, tags)``."""
    best = nodes.transpose(0, 1).clone()
    if len(best):
        best[0] += lattice.start.double()
    for t in range(1, len(best)):
        best[t] += (best[t - 1].unsqueeze(2) + moves).amax(1)
    return best


def _follow(steps: list[tuple[Tensor, Tensor]], lattice: Lattice, scores: Tensor) -> Tensor:
    """The tags of the kept paths, ``(batch, n, length)``, read from first to last token."""
    slot = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
    tags = torch.zeros(*scores.shape, len(steps), dtype=torch.long, device=scores.device)
    for t, (tag, came) in enumerate(steps):
        tags[:, :, t] = tag.gather(1, slot)
        slot = came.gather(1, slot)
    real = lattice.mask.unsqueeze(1) & torch.isfinite(scores).unsqueeze(2)
    return torch.where(real, tags, 0)


def sample(
    lattice: Lattice, messages: Messages, n: int, generator: torch.Generator | None
) -> Paths:
    """`n` paths drawn from the distribution: tags are ``(batch, n, length)``.

    Forward filtering, backward sampling (Scott 2002).

    Raises:
        ValueError: for `n` below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    batch, length, tags = messages.log_alpha.shape
    moves = lattice.transitions.double().t()
    drawn = torch.zeros(batch, n, length, dtype=torch.long, device=moves.device)
    following = lattice.end.double().expand(batch, n, tags)
    for t in range(length - 1, -1, -1):
        inside = (lattice.lengths > t)[:, None, None]
        weights = torch.where(inside, messages.log_alpha[:, t].unsqueeze(1) + following, 0.0)
        weights = weights.softmax(2).view(-1, tags)
        tag = torch.multinomial(weights, 1, generator=generator).view(batch, n)
        drawn[:, :, t] = torch.where(inside.squeeze(2), tag, 0)
        following = torch.where(inside, moves[tag], following)
    return Paths(drawn, lattice.score(drawn))
