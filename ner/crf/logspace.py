"""The recursions in log space and float64: slow, and exact whatever the range of the scores.

Every function works on any device, with no synchronisation per token. Forbidden emissions and
transitions are minus infinity.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """What the two recursions leave behind, in logs and float64.

    log_alpha: the total weight of all beginnings that end in this tag at this token, its
        emission included, ``(batch, length, tags)``.
    log_beta: the total weight of all endings that follow this tag at this token, its
        emission left out, ``(batch, length, tags)``.
    log_partition: ``(batch,)``, 0 for an empty sentence.

    Beyond a sentence's length the values mean nothing, but are no NaN.
    """

    log_alpha: Tensor
    log_beta: Tensor
    log_partition: Tensor


def messages(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor
) -> Messages:
    """Both recursions.

    Args:
        emissions: ``(batch, length, tags)``, float64, finite at padding.
        transitions: ``(tags, tags)``.
        start: ``(tags,)`` or ``(batch, tags)``.
        end: ``(tags,)`` or ``(batch, tags)``.
        lengths: ``(batch,)``.
    """
    batch, length, tags = emissions.shape
    inside = torch.arange(length, device=lengths.device).unsqueeze(1) < lengths  # (length, batch)
    alpha = emissions.new_empty(length, batch, tags)
    beta = emissions.new_empty(length, batch, tags)
    end = end.expand(batch, tags)
    if length:
        alpha[0] = start + emissions[:, 0]
        beta[-1] = end
    for t in range(1, length):
        step = torch.logsumexp(alpha[t - 1].unsqueeze(2) + transitions, dim=1) + emissions[:, t]
        alpha[t] = torch.where(inside[t].unsqueeze(1), step, alpha[t - 1])
    for t in range(length - 1, 0, -1):
        following = (beta[t] + emissions[:, t]).unsqueeze(1)
        step = torch.logsumexp(transitions + following, dim=2)
        beta[t - 1] = torch.where(inside[t].unsqueeze(1), step, end)
    total = torch.logsumexp(alpha[-1] + end, dim=1) if length else emissions.new_zeros(batch)
    total = torch.where(lengths > 0, total, 0.0)
    return Messages(alpha.transpose(0, 1), beta.transpose(0, 1), total)


def node_marginals(chain: Messages, lengths: Tensor) -> Tensor:
    """The probability of each tag at each token, ``(batch, length, tags)``; 0 at padding."""
    length = chain.log_alpha.shape[1]
    inside = torch.arange(length, device=lengths.device) < lengths.unsqueeze(1)
    log_p = chain.log_alpha + chain.log_beta - chain.log_partition[:, None, None]
    return torch.where(inside.unsqueeze(2), log_p.exp(), 0.0)


def pair_marginals(
    chain: Messages, emissions: Tensor, transitions: Tensor, lengths: Tensor
) -> Tensor:
    """The probability of each pair of tags at tokens t and t + 1.

    Returns:
        ``(batch, length - 1, tags, tags)``; 0 where token t + 1 is padding.
    """
    length = emissions.shape[1]
    inside = torch.arange(1, length, device=lengths.device) < lengths.unsqueeze(1)
    before = (chain.log_alpha[:, :-1] - chain.log_partition[:, None, None]).unsqueeze(3)
    after = (emissions[:, 1:] + chain.log_beta[:, 1:]).unsqueeze(2)
    return torch.where(inside[:, :, None, None], (before + transitions + after).exp(), 0.0)
