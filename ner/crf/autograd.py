"""The negative log likelihood and the log partition, with their analytic gradients.

The derivative of the log partition with respect to a score is the probability that a path uses
it, ``d log Z / d s = p(s | x)`` (Lafferty, McCallum and Pereira 2001). The forward pass runs both
recursions, so it already has the whole gradient, and autograd records nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ner.crf.core.forward_backward import PathSums, forward_backward, recursion
from ner.crf.core.scores import Messages, illegal_gold
from ner.crf.gpu import Scaled
from ner.crf.lattice import Lattice, numbers

_Apply = Callable[..., Tensor]
_Four = tuple[Tensor, Tensor, Tensor, Tensor]  # of emissions, transitions, start and end
_LOWEST = -1e30  # replaces minus infinity where derivatives must stay finite


@dataclass(frozen=True, slots=True, eq=False)
class LossSpec:
    """A loss to compute from the scores of a batch: log partitions, less gold path scores.

    lengths: ``(batch,)``.
    candidates: ``(batch, length, tags)``, or None.
    tags: gold tags, ``(batch, length)``, anything at padding; None for log partitions alone.
    factor: the factor of every sentence's value.
    summed: whether to sum over sentences.
    dtype: the type of the result.
    """

    lengths: Tensor
    candidates: Tensor | None = None
    tags: Tensor | None = None
    factor: float = 1.0
    summed: bool = False
    dtype: torch.dtype = torch.float64


class Backend(Protocol):
    """Sums over the paths of a lattice."""

    @property
    def log_partition(self) -> Tensor:
        """The log of the sum over all paths, ``(batch,)``, float64; 0 for an empty sentence."""
        ...

    @property
    def gold_score(self) -> Tensor:
        """The scores of the gold paths, ``(batch,)``, float64; 0 without gold tags."""
        ...

    def gradient(self, weights: Tensor, factor: float, dtype: torch.dtype) -> _Four:
        """Return the derivatives of the weighted log partitions, less those of gold scores.

        Args:
            weights: ``(batch,)``, or a scalar.
            factor: A factor of all weights.
            dtype: The type of the emissions' derivatives.
        """
        ...

    def messages(self) -> Messages:
        """Return the forward and backward messages, on the host."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HostBackend:
    """The sums of ``ner.crf.core`` as tensors."""

    sums: PathSums
    device: torch.device
    log_partition: Tensor
    gold_score: Tensor

    @staticmethod
    def of(lattice: Lattice, tags: Tensor | None = None) -> HostBackend:
        """Run both recursions; see `backend`."""
        gold = None if tags is None else tags.cpu().numpy()
        sums, device = forward_backward(lattice.arrays(), gold), lattice.emissions.device
        legal = np.isfinite(sums.gold_score)
        if not legal.all():
            raise illegal_gold(int(legal.argmin()))
        total, score = (
            torch.from_numpy(v).to(device) for v in (sums.log_partition, sums.gold_score)
        )
        return HostBackend(sums, device, total, score)

    def gradient(self, weights: Tensor, factor: float, dtype: torch.dtype) -> _Four:
        by = numbers(weights).astype(np.float64) * factor
        kind = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
        found = self.sums.gradient(by, kind)
        emissions, transitions, start, end = (
            torch.from_numpy(part).to(self.device)
            for part in (found.emissions, found.transitions, found.start, found.end)
        )
        return emissions.to(dtype), transitions, start, end

    def messages(self) -> Messages:
        return self.sums.messages()


def on_gpu(lattice: Lattice) -> bool:
    """Return whether the scores are on an accelerator."""
    return lattice.emissions.device.type != "cpu"


def backend(lattice: Lattice, tags: Tensor | None = None) -> Backend:
    """Run the forward and backward recursions by the fastest exact implementation.

    Args:
        lattice: The scores.
        tags: Gold tags, ``(batch, length)``; anything at padding.

    Raises:
        ValueError: A score is NaN or infinite, a sentence has no legal path, or gold tags are
            out of range or not legal.
    """
    fast = Scaled.of(lattice, tags) if on_gpu(lattice) else None
    return HostBackend.of(lattice, tags) if fast is None else fast


class _Likelihood(torch.autograd.Function):
    """Log partitions less scores of gold paths."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        spec: LossSpec,
    ) -> Tensor:
        lattice = Lattice(emissions, transitions, start, end, spec.lengths, spec.candidates)
        sums = backend(lattice, spec.tags)
        ctx.save_for_backward(emissions, transitions, start, end)
        ctx.sums, ctx.spec = sums, spec
        values = sums.log_partition - sums.gold_score
        return ((values.sum() if spec.summed else values) * spec.factor).to(spec.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        spec: LossSpec = ctx.spec
        inputs: _Four = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            return (*_differentiable(inputs, spec, gradients[0]), None)
        sums: Backend = ctx.sums
        parts = sums.gradient(gradients[0], spec.factor, inputs[0].dtype)
        return *(p.to(given.dtype) for p, given in zip(parts, inputs, strict=True)), None


def _opaque(*arguments: Any) -> Tensor:
    """Compute a likelihood outside ``torch.compile``.

    Disabled here, during compilation, rather than at import, which would import the compiler and
    take seconds.
    """
    apply: _Apply = torch.compiler.disable(_Likelihood.apply)  # type: ignore[no-untyped-call]
    return apply(*arguments)


def _differentiable(inputs: _Four, spec: LossSpec, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradient by differentiable torch operations, for second derivatives."""
    emissions, transitions, start, end = inputs
    lattice = Lattice(emissions, transitions, start, end, spec.lengths, spec.candidates)
    wanted = [each for each in inputs if each.requires_grad]
    values = differentiable_log_partition(lattice)
    if spec.tags is not None:
        values = values - lattice.score(spec.tags)
    weights = (gradient.double() * spec.factor).expand(len(spec.lengths))
    found = iter(torch.autograd.grad(values, wanted, weights, create_graph=True))
    return tuple(next(found) if each.requires_grad else None for each in inputs)


def likelihood(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, spec: LossSpec
) -> Tensor:
    """Return log partitions, less scores of gold paths where there are gold tags.

    Args:
        emissions: ``(batch, length, tags)``.
        transitions: ``(tags, tags)``, minus infinity where forbidden.
        start: ``(tags,)``, minus infinity where forbidden.
        end: ``(tags,)``, minus infinity where forbidden.
        spec: The loss to compute.

    Returns:
        ``(batch,)``, or a scalar if the spec is summed.

    Raises:
        ValueError: A score is NaN or infinite, a sentence has no legal path, or gold tags are not
            legal.
    """
    apply: _Apply = _opaque if torch.compiler.is_compiling() else _Likelihood.apply
    return apply(emissions, transitions, start, end, spec)


class _SlowGradient(torch.autograd.Function):
    """A value computed by one function, and differentiated through another."""

    @staticmethod
    def forward(
        ctx: Any, fast: Callable[[], Tensor], slow: Any, lattice: Lattice, *inputs: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*inputs)
        ctx.slow, ctx.lattice = slow, lattice
        return fast()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        known: Lattice = ctx.lattice
        with torch.enable_grad():
            inputs = [each.detach().requires_grad_() for each in ctx.saved_tensors]
            emissions, transitions, start, end = inputs
            value = ctx.slow(
                Lattice(emissions, transitions, start, end, known.lengths, known.candidates)
            )
            found = torch.autograd.grad(value, inputs, gradient.to(value.dtype), allow_unused=True)
        return None, None, None, *found


def with_slow_gradient(
    fast: Callable[[], Tensor], slow: Callable[[Lattice], Tensor], lattice: Lattice
) -> Tensor:
    """Return a value computed by `fast`, whose gradient is that of `slow`.

    Args:
        fast: Computes the value.
        slow: Computes the same value by differentiable torch operations.
        lattice: The scores.
    """
    apply: _Apply = _SlowGradient.apply
    inputs = (lattice.emissions, lattice.transitions, lattice.start, lattice.end)
    return apply(fast, slow, lattice, *inputs)


def differentiable_log_partition(lattice: Lattice, factor: Tensor | None = None) -> Tensor:
    """Return the log partition, ``(batch,)``, float64.

    Args:
        lattice: The scores.
        factor: A factor of all scores of each sentence, ``(batch,)``, or None.
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
    """Return the marginals of tags, differentiable: d log Z / d e(t, y) = p(y_t = y)."""
    total = differentiable_log_partition(lattice).sum()
    (marginals,) = torch.autograd.grad(total, lattice.emissions, create_graph=True)
    return marginals


def differentiable_entropy(lattice: Lattice) -> Tensor:
    """Return the entropy over paths, ``(batch,)``, differentiable.

    H = log Z - E[score], and E[score] = d log Z(f) / d f at f = 1 for a common factor f of all
    scores.
    """
    factor = torch.ones_like(lattice.lengths, dtype=torch.float64).requires_grad_()
    total = differentiable_log_partition(lattice, factor)
    (score,) = torch.autograd.grad(total.sum(), factor, create_graph=True)
    return total - score
