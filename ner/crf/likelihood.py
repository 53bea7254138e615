"""The log partition function with its analytic gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ner.crf import logspace


class LogPartition(torch.autograd.Function):
    """The log of the summed weights of all tag sequences, ``(batch,)``, in float64.

    The gradient with respect to the emissions is the marginals, that with respect to the
    transitions the expected counts (Lafferty et al. 2001; Eisner 2016).
    """

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        lengths: Tensor,
    ) -> Tensor:
        chain = logspace.messages(
            emissions.double(), transitions.double(), start.double(), end.double(), lengths
        )
        ctx.save_for_backward(emissions, transitions, start, end, lengths)
        ctx.chain = chain
        return chain.log_partition

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        emissions, transitions, start, end, lengths = ctx.saved_tensors
        weight = gradient.double()
        nodes = logspace.node_marginals(ctx.chain, lengths) * weight[:, None, None]
        pairs = logspace.pair_marginals(
            ctx.chain, emissions.double(), transitions.double(), lengths
        )
        pairs = (pairs * weight[:, None, None, None]).sum(dim=(0, 1))
        last = (lengths - 1).clamp_min(0)
        finals = nodes[torch.arange(len(nodes), device=nodes.device), last].sum(0)
        return (
            nodes.to(emissions.dtype),
            pairs.to(transitions.dtype),
            nodes[:, 0].sum(0).to(start.dtype),
            finals.to(end.dtype),
            None,
        )
