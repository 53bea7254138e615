"""Sums over paths in plain torch operations, for derivatives of any order: slow, and exact."""

from __future__ import annotations

import torch
from torch import Tensor

from ner.crf.core.log_space import recursion
from ner.crf.lattice import Lattice

_LOWEST = -1e30  # takes the place of minus infinity where derivatives must stay finite


def differentiable_log_partition(lattice: Lattice, factor: Tensor | None = None) -> Tensor:
    """Return the log partition, ``(batch,)``, float64.

    Args:
        lattice: The scores.
        factor: What the scores of each sentence are multiplied by, ``(batch,)``, or None.
    """
    by = torch.ones(1, dtype=torch.float64, device=lattice.lengths.device)
    by = (by if factor is None else factor)[:, None, None]
    nodes = lattice.nodes().clamp_min(_LOWEST) * by
    moves, start, end = (
        part.double().clamp_min(_LOWEST) * (by if part.dim() == 2 else by.squeeze(2))
        for part in (lattice.transitions, lattice.start, lattice.end)
    )
    batch, length, tags = nodes.shape
    if length == 0:
        return nodes.sum((1, 2))
    _, alpha = recursion(
        nodes.unbind(1),
        [t == 0 for t in range(length)],
        start.expand(batch, tags),
        lambda before: torch.logsumexp(before.unsqueeze(2) + moves, dim=1),
        lambda begins, edge, reached: edge if begins else reached,
    )
    last = (lattice.lengths - 1).clamp_min(0)
    finals = torch.stack(alpha, 1)[torch.arange(batch, device=last.device), last]
    total = torch.logsumexp(finals + end, dim=1)
    return torch.where(lattice.lengths > 0, total, 0.0)


def differentiable_marginals(lattice: Lattice) -> Tensor:
    """Return the probability of each tag at each token, for derivatives."""
    total = differentiable_log_partition(lattice).sum()
    (marginals,) = torch.autograd.grad(total, lattice.emissions, create_graph=True)
    return marginals


def differentiable_entropy(lattice: Lattice) -> Tensor:
    """Return the log partition less the expected score, ``(batch,)``, for derivatives.

    The expected score is the derivative of the log partition by a common factor of all scores.
    """
    factor = torch.ones_like(lattice.lengths, dtype=torch.float64).requires_grad_()
    total = differentiable_log_partition(lattice, factor)
    (score,) = torch.autograd.grad(total.sum(), factor, create_graph=True)
    return total - score
