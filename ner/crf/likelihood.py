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
from torch.autograd.function import once_differentiable

from ner.crf.lattice import Lattice
from ner.crf.logspace import differentiable_log_partition
from ner.crf.messages import Question
from ner.crf.recursions import Recursions, recursions

_Ask = Callable[..., Tensor]
_Fast = Callable[[], Tensor]
_Slow = Callable[[Lattice], Tensor]
_Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


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
        inputs: _Inputs = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: derivatives of these are wanted
            return (*_differentiable(inputs, question, gradients[0]), None)
        sums: Recursions = ctx.sums
        found = sums.gradient(gradients[0], question.factor, inputs[0].dtype)
        parts = (found.emissions, found.transitions, found.start, found.end)
        return *(p.to(given.dtype) for p, given in zip(parts, inputs, strict=True)), None


def _opaque(*arguments: Any) -> Tensor:
    """What a compiler calls, and does not look into.

    It is told so when it asks: to tell it before would import it, which takes seconds.
    """
    ask: _Ask = torch.compiler.disable(_Likelihood.apply)  # type: ignore[no-untyped-call]
    return ask(*arguments)


def _differentiable(
    inputs: _Inputs, question: Question, gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradient by plain torch operations, which can be differentiated again."""
    emissions, transitions, start, end = inputs
    lattice = Lattice(emissions, transitions, start, end, question.lengths, question.candidates)
    wanted = [each for each in inputs if each.requires_grad]
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
        ValueError: where a score is no number, a sentence has no legal path, or gold tags
            are not legal.
    """
    ask: _Ask = _opaque if torch.compiler.is_compiling() else _Likelihood.apply
    return ask(emissions, transitions, start, end, question)


class _SlowGradient(torch.autograd.Function):
    """A value computed the fast way, whose gradient is that of a slow way to compute it."""

    @staticmethod
    def forward(ctx: Any, fast: _Fast, slow: _Slow, lattice: Lattice, *inputs: Tensor) -> Tensor:
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


def with_slow_gradient(fast: _Fast, slow: _Slow, lattice: Lattice) -> Tensor:
    """A value computed the fast way; its gradient, if asked for, by the slow way.

    Args:
        fast: Computes the value from the lattice.
        slow: Computes it by differentiable torch operations.
        lattice: The scores.
    """
    ask: _Ask = _SlowGradient.apply
    inputs = (lattice.emissions, lattice.transitions, lattice.start, lattice.end)
    return ask(fast, slow, lattice, *inputs)
