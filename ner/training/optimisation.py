"""Optimisers, gradients, and moving averages of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "adamw": lambda parameters, rate, decay, momentum: torch.optim.AdamW(
        parameters, lr=rate, weight_decay=decay, fused=True
    ),
    "adam": lambda parameters, rate, decay, momentum: torch.optim.Adam(
        parameters, lr=rate, weight_decay=decay, fused=True
    ),
    "nadam": lambda parameters, rate, decay, momentum: torch.optim.NAdam(
        parameters, lr=rate, weight_decay=decay
    ),
    "sgd": lambda parameters, rate, decay, momentum: torch.optim.SGD(
        parameters, lr=rate, weight_decay=decay, momentum=momentum
    ),
}


BY_ROWS = ("adamw", "adam")  # those that ``ner.training.rows`` can do row by row


def parameter_groups(
    parameters: Iterable[nn.Parameter], own: Mapping[nn.Parameter, float], rate: float
) -> list[dict[str, Any]]:
    """Return the groups of an optimiser: those without a learning rate of their own come first.

    Args:
        parameters: All that it optimises.
        own: The highest learning rate of those that have one of their own.
        rate: That of all others. The ``share`` of a group is what its rate is of this one.
    """
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for parameter in parameters:
        groups.setdefault(own.get(parameter, rate) / rate, []).append(parameter)
    return [{"params": some, "share": share} for share, some in groups.items() if some]


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group of parameters its share of this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def scale_gradients(parameters: Iterable[Tensor], length: float, *, always: bool) -> float:
    """Bring the gradient of all parameters, taken as one vector, to a length.

    Args:
        parameters: What the gradients are of.
        length: The longest a gradient may be (Pascanu et al. 2013).
        always: Lengthen shorter ones too (what Reimers and Gurevych 2017 call normalisation).

    Returns:
        The length it had.
    """
    gradients = [
        parameter.grad.values() if parameter.grad.is_sparse else parameter.grad
        for parameter in parameters
        if parameter.grad is not None
    ]
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    found = float(torch.linalg.vector_norm(norms).item())
    if found > length or (always and found > 0.0):  # else they need not be touched
        for gradient in gradients:
            gradient.mul_(length / found)
    return found


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser by name: ``NUMBER.KEY``, parameters counted in their order."""
    return {
        f"{number}.{key}": value
        for number, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that ``optimizer_tensors`` told."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


class WeightAverage:
    """An exponential moving average of the weights of a network (Polyak and Juditsky 1992).

    Early on the decay is lower, ``(1 + steps) / (10 + steps)``, so that the beginning is forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {  # what training leaves as it is, is its own average
            name: parameter.detach().clone() if parameter.requires_grad else parameter.detach()
            for name, parameter in network.named_parameters()
        }

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]]) -> float:
        """Take weights after a step into the average; by how much the average fades in it."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, parameter in parameters:
            if parameter.requires_grad:
                self.weights[name].lerp_(parameter, 1.0 - decay)
        return decay

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Go on from an average that was written down."""
        self.steps = steps
        for name, weight in weights.items():
            self.weights[name].copy_(weight)
