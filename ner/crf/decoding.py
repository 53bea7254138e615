"""Ways to choose tags from their scores. Each takes a chain and gives paths through it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ner.crf.chain import LinearChain
from ner.crf.paths import Paths
from ner.crf.spans import SpanTags

Decoder = Callable[[LinearChain], Paths]


def _best(
    chain: LinearChain, nodes: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> Tensor:
    batch, length, tags = nodes.shape
    if length == 0:
        return chain.lengths.new_zeros(batch, 0)
    stay = torch.arange(tags, device=nodes.device)
    delta = start + nodes[:, 0]
    pointers = []
    for t in range(1, length):
        best, pointer = (delta.unsqueeze(2) + transitions).max(dim=1)
        here = (t < chain.lengths).unsqueeze(1)
        delta = torch.where(here, best + nodes[:, t], delta)
        pointers.append(torch.where(here, pointer, stay))
    tag = (delta + end).argmax(dim=1)
    path = [tag]
    for pointer in reversed(pointers):
        tag = pointer.gather(1, tag.unsqueeze(1)).squeeze(1)
        path.append(tag)
    return torch.where(chain.mask, torch.stack(path[::-1], dim=1), 0)


@torch.no_grad()
def viterbi(chain: LinearChain) -> Paths:
    """The most probable sequence (Viterbi 1967)."""
    tags = _best(
        chain,
        chain.lattice().double(),
        chain.transitions.double(),
        chain.start.double(),
        chain.end.double(),
    )
    return Paths(tags, chain.score(tags))


@torch.no_grad()
def posterior(
    chain: LinearChain,
    span_tags: SpanTags | None = None,
    *,
    outside: int = 0,
    threshold: float = 0.5,
) -> Paths:
    """The legal path with the greatest expected number of right tokens."""
    zero = [
        torch.zeros_like(s).masked_fill(s == -torch.inf, -torch.inf).double()
        for s in (chain.transitions, chain.start, chain.end)
    ]
    nodes = chain.marginals().masked_fill(chain.lattice() == -torch.inf, -torch.inf)
    tags = _best(chain, nodes, *zero)
    return Paths(tags, chain.score(tags))


@torch.no_grad()
def greedy(chain: LinearChain) -> Paths:
    """The best next tag, token by token, with no look ahead."""
    nodes = chain.lattice().double()
    batch, length, _ = nodes.shape
    path = chain.lengths.new_zeros(batch, length)
    before = chain.start.double().expand(batch, -1)
    for t in range(length):
        path[:, t] = (before + nodes[:, t]).argmax(dim=1)
        before = chain.transitions.double()[path[:, t]]
    path = torch.where(chain.mask, path, 0)
    return Paths(path, chain.score(path))


@torch.no_grad()
def n_best(chain: LinearChain, n: int) -> Paths:
    """The `n` paths of greatest score, best first; tags are ``(batch, n, length)``."""
    nodes, transitions = chain.lattice().double(), chain.transitions.double()
    batch, length, tags = nodes.shape
    prefix = (chain.start.double() + nodes[:, 0]).unsqueeze(1)  # (batch, kept, tags)
    paths = torch.arange(tags, device=nodes.device).expand(batch, 1, tags).unsqueeze(3)
    for t in range(1, length):
        step = prefix.unsqueeze(3) + transitions + nodes[:, t][:, None, None]
        flat = step.flatten(1, 2)
        best, index = flat.topk(min(n, flat.shape[1]), dim=1)
        old = paths.flatten(1, 2)
        new = old.gather(1, index.flatten(1).unsqueeze(2).expand(-1, -1, t)).unflatten(
            1, index.shape[1:]
        )
        tag = torch.arange(tags, device=nodes.device).expand(index.shape).unsqueeze(3)
        new = torch.cat((new, tag), dim=3)
        here = (t < chain.lengths)[:, None, None]
        if best.shape[1] != prefix.shape[1]:
            pad = best.shape[1] - prefix.shape[1]
            prefix = torch.cat((prefix, prefix.new_full((batch, pad, tags), -torch.inf)), 1)
            paths = torch.cat((paths, paths[:, :1].expand(-1, pad, -1, -1)), 1)
        stay = torch.cat((paths, paths[..., :1]), dim=3)
        prefix = torch.where(here, best, prefix)
        paths = torch.where(here.unsqueeze(3), new, stay)
    flat = (prefix + chain.end.double()).flatten(1)
    scores, index = flat.topk(min(n, flat.shape[1]), dim=1)
    chosen = paths.flatten(1, 2).gather(1, index.unsqueeze(2).expand(-1, -1, length))
    return Paths(torch.where(chain.mask.unsqueeze(1), chosen, 0), scores)


DECODERS: dict[str, Decoder] = {"viterbi": viterbi, "posterior": posterior, "greedy": greedy}
