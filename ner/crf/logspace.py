"""The recursions in log space and float64: slow, and exact whatever the range of the scores.

They run on any device, with no synchronisation per token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ner.crf.lattice import Lattice
from ner.crf.messages import Gradient, Messages, Question, answer, check_legal

_LOWEST = -1e30  # takes the place of minus infinity where derivatives must stay numbers


@dataclass(frozen=True, slots=True, eq=False)
class LogSpace:
    """Sums over the paths of a lattice, in log space.

    log_partition: ``(batch,)``, float64; minus infinity where no path is legal.
    score: the scores of the gold paths, ``(batch,)``, float64; None without gold tags.
    """

    lattice: Lattice
    tags: Tensor | None
    log_alpha: Tensor
    log_beta: Tensor
    log_partition: Tensor
    score: Tensor | None

    @staticmethod
    def of(lattice: Lattice, tags: Tensor | None = None) -> LogSpace:
        """Run both recursions.

        Args:
            lattice: The scores.
            tags: Gold tags, ``(batch, length)``; anything at padding.
        """
        lengths, nodes = lattice.lengths, lattice.nodes()
        batch, length, count = nodes.shape
        moves, start, end = (
            part.double() for part in (lattice.transitions, lattice.start, lattice.end)
        )
        inside = lattice.mask.t().unsqueeze(2)  # (length, batch, 1)
        alpha, beta = nodes.new_zeros(2, length, batch, count).unbind()
        if length:
            alpha[0] = start + nodes[:, 0]
            beta[-1] = end
        for t in range(1, length):
            step = torch.logsumexp(alpha[t - 1].unsqueeze(2) + moves, dim=1) + nodes[:, t]
            alpha[t] = torch.where(inside[t], step, alpha[t - 1])
        for t in range(length - 1, 0, -1):
            step = torch.logsumexp(moves + (beta[t] + nodes[:, t]).unsqueeze(1), dim=2)
            beta[t - 1] = torch.where(inside[t], step, end)
        total = torch.logsumexp(alpha[-1] + end, dim=1) if length else nodes.new_zeros(batch)
        total = torch.where(lengths > 0, total, 0.0)
        score = None if tags is None else lattice.score(tags)
        return LogSpace(lattice, tags, alpha.transpose(0, 1), beta.transpose(0, 1), total, score)

    def answer(self, question: Question) -> Tensor:
        """The answer to the question that the gold tags came from.

        Raises:
            ValueError: where gold tags are not legal, naming the sentence.
        """
        score = None if self.score is None else check_legal(self.score)
        return answer(self.log_partition, score, question)

    def gradient(self, weights: Tensor, factor: float, dtype: torch.dtype) -> Gradient:
        """The derivatives of the weighted log partitions, less those of gold paths' scores.

        Args:
            weights: ``(batch,)``, or one for all.
            factor: What all weights are multiplied by.
            dtype: The type of the emissions' derivatives.
        """
        weights = (weights.double() * factor).expand(len(self.log_partition))
        lattice = self.lattice
        nodes_weights = torch.where(lattice.mask, weights.unsqueeze(1), 0.0)
        nodes = (self.log_alpha + self.log_beta - self.log_partition[:, None, None]).exp()
        nodes = torch.where(lattice.mask.unsqueeze(2), nodes * weights[:, None, None], 0.0)
        moves = torch.zeros_like(lattice.transitions, dtype=torch.float64)
        for t in range(1, nodes.shape[1]):
            pairs = pair_marginals(self.messages(), lattice, t, t + 1)[:, 0]
            moves += (pairs * nodes_weights[:, t, None, None]).sum(0)
        if self.tags is not None:
            gold = torch.where(lattice.mask, self.tags, 0)
            nodes.scatter_add_(2, gold.unsqueeze(2), -nodes_weights.unsqueeze(2))
            places = gold[:, :-1] * moves.shape[0] + gold[:, 1:]
            moves.view(-1).scatter_add_(0, places.reshape(-1), -nodes_weights[:, 1:].reshape(-1))
        return Gradient(nodes.to(dtype), moves, *_ends(nodes, lattice.lengths))

    def messages(self) -> Messages:
        """The messages, ``(batch, length, tags)``."""
        return Messages(self.log_alpha, self.log_beta, self.log_partition)


def pair_marginals(messages: Messages, lattice: Lattice, first: int, last: int) -> Tensor:
    """The probability of each pair of tags at tokens t - 1 and t, for t in [first, last).

    Returns:
        ``(batch, last - first, tags, tags)``, float64; 0 where token t is padding.
    """
    nodes = lattice.nodes()[:, first:last]
    before = messages.log_alpha[:, first - 1 : last - 1] - messages.log_partition[:, None, None]
    behind = nodes + messages.log_beta[:, first:last]
    pairs = before.unsqueeze(3) + lattice.transitions.double() + behind.unsqueeze(2)
    return torch.where(lattice.mask[:, first:last, None, None], pairs.exp(), 0.0)


def _ends(nodes: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of what stands at first and at last tokens, ``(tags,)`` each."""
    if nodes.shape[1] == 0:
        empty = nodes.new_zeros(nodes.shape[2])
        return empty, empty
    last = (lengths - 1).clamp_min(0)
    rows = torch.arange(len(nodes), device=nodes.device)
    return nodes[:, 0].sum(0), nodes[rows, last].sum(0)


def differentiable_log_partition(lattice: Lattice, factor: Tensor | None = None) -> Tensor:
    """The log partition in plain torch operations, ``(batch,)``, for derivatives of any order.

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
    if nodes.shape[1] == 0:
        return nodes.sum((1, 2))
    inside = lattice.mask
    alpha = start + nodes[:, 0]
    for t in range(1, nodes.shape[1]):
        step = torch.logsumexp(alpha.unsqueeze(2) + moves, dim=1) + nodes[:, t]
        alpha = torch.where(inside[:, t, None], step, alpha)
    total = torch.logsumexp(alpha + end, dim=1)
    return torch.where(lattice.lengths > 0, total, 0.0)


def differentiable_marginals(lattice: Lattice) -> Tensor:
    """The probability of each tag at each token, for derivatives."""
    total = differentiable_log_partition(lattice).sum()
    (marginals,) = torch.autograd.grad(total, lattice.emissions, create_graph=True)
    return marginals


def differentiable_entropy(lattice: Lattice) -> Tensor:
    """The log partition less the expected score, ``(batch,)``, for derivatives.

    The expected score is the derivative of the log partition by a common factor of all scores.
    """
    factor = torch.ones_like(lattice.lengths, dtype=torch.float64).requires_grad_()
    total = differentiable_log_partition(lattice, factor)
    (score,) = torch.autograd.grad(total.sum(), factor, create_graph=True)
    return total - score
