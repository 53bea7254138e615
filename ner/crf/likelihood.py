"""The negative log likelihood and the log partition, with their analytic gradients.

The derivative of the log partition with respect to a score is the probability that a path uses
it (Lafferty, McCallum and Pereira 2001), so the forward and the backward recursion, run together
in the forward pass, hold the whole gradient; nothing is recorded by autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ner.crf.lattice import Lattice
from ner.crf.logspace import differentiable_log_partition
from ner.crf.messages import Question
from ner.crf.recursions import Recursions, recursions

_Slow = Callable[[Lattice], Tensor]


class _Likelihood(torch.autograd.Function):
    """Log partitions less scores of gold paths."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        question: Question,
    ) -> Tensor:
        lattice = Lattice(emissions, transitions, start, end, question.lengths, question.candidates)
        sums = recursions(lattice, question.tags)
        ctx.save_for_backward(emissions, transitions, start, end)
        ctx.sums, ctx.question = sums, question
        return sums.answer(question)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        question: Question = ctx.question
        inputs: tuple[Tensor, ...] = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: derivatives of these are wanted
            return (*_differentiable(inputs, question, gradients[0]), None)
        sums: Recursions = ctx.sums
        found = sums.gradient(gradients[0], question.factor, inputs[0].dtype)
        parts = (found.emissions, found.transitions, found.start, found.end)
        return *(p.to(given.dtype) for p, given in zip(parts, inputs, strict=True)), None


def _differentiable(
    inputs: tuple[Tensor, ...], question: Question, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient by plain torch operations, which can be differentiated again."""
    wanted = [each for each in inputs if each.requires_grad]
    lattice = Lattice(*inputs, question.lengths, question.candidates)
    values = differentiable_log_partition(lattice)
    if question.tags is not None:
        values = values - lattice.score(question.tags)
    weights = (gradient.double() * question.factor).expand(len(question.lengths))
    found = iter(torch.autograd.grad(values, wanted, weights, create_graph=True))
    return tuple(next(found) if each.requires_grad else None for each in inputs)


def likelihood(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, question: Question
) -> Tensor:
    """Log partitions, less scores of gold paths where the question has gold tags.

    Args:
        emissions: ``(batch, length, tags)``.
        transitions: ``(tags, tags)``, minus infinity where forbidden.
        start: ``(tags,)``, minus infinity where forbidden.
        end: ``(tags,)``, minus infinity where forbidden.
        question: What is asked of them.

    Returns:
        ``(batch,)``, or a scalar where the question wants a sum.

    Raises:
        ValueError: where an emission is no number, a sentence has no legal path, or gold tags
            are not legal.
    """
    if torch.compiler.is_compiling():
        return _opaque(emissions, transitions, start, end, question)
    values: Tensor = _Likelihood.apply(emissions, transitions, start, end, question)
    return values


@torch.compiler.disable
def _opaque(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, question: Question
) -> Tensor:
    """The likelihood as something that a compiler calls and does not look into."""
    values: Tensor = _Likelihood.apply(emissions, transitions, start, end, question)
    return values


class _SlowGradient(torch.autograd.Function):
    """A value computed the fast way, whose gradient is that of a slow way to compute it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, slow: _Slow, lattice: Lattice, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        ctx.slow, ctx.lattice = slow, lattice
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            inputs = [each.detach().requires_grad_() for each in ctx.saved_tensors]
            value = ctx.slow(Lattice(*inputs, ctx.lattice.lengths, ctx.lattice.candidates))
            found = torch.autograd.grad(value, inputs, gradient.to(value.dtype), allow_unused=True)
        return None, None, None, *found


def with_slow_gradient(fast: Callable[[], Tensor], slow: _Slow, lattice: Lattice) -> Tensor:
    """A value computed the fast way; its gradient, if asked for, by the slow way.

    Args:
        fast: Computes the value from the lattice.
        slow: Computes it by differentiable torch operations.
        lattice: The scores.
    """
    with torch.no_grad():
        value = fast()
    inputs = (lattice.emissions, lattice.transitions, lattice.start, lattice.end)
    if not (torch.is_grad_enabled() and any(each.requires_grad for each in inputs)):
        return value
    value = _SlowGradient.apply(value, slow, lattice, *inputs)
    return value
