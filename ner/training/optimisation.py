"""Optimisers, learning rates, gradients, and moving averages of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Shape = Callable[[float, float], float]
FIRST, LAST = 1 / 25, 1 / 100  # of the highest learning rate, where a schedule begins and ends
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


def _warming(after: Callable[[float], float]) -> Shape:
    """Rise linearly over the warm-up, then go as ``after`` says of the rest (0 to 1)."""

    def factor(done: float, warmup: float) -> float:
        if done < warmup:
            return FIRST + (1.0 - FIRST) * done / warmup
        return after((done - warmup) / (1.0 - warmup))

    return factor


SCHEDULES: Mapping[str, Shape] = {
    "one_cycle": _warming(lambda rest: 1.0 - (1.0 - LAST) * rest),
    "linear": _warming(lambda rest: 1.0 - rest),
    "cosine": _warming(lambda rest: 0.5 * (1.0 + math.cos(math.pi * rest))),
    "constant": _warming(lambda rest: 1.0),
    "plateau": _warming(lambda rest: 1.0),  # times plateau_factor, which knows the scores
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of the learning rate.

    Attributes:
        shape: A name in ``SCHEDULES``.
        highest: The highest learning rate.
        warmup: The share of the steps over which it rises.
        patience: How many epochs in a row ``plateau`` waits for a better F1.
        factor: What ``plateau`` then multiplies the learning rate by.
    """

    shape: str
    highest: float
    warmup: float
    patience: int
    factor: float

    def learning_rate(self, done: float, f1: Sequence[float]) -> float:
        """Return the learning rate of a step.

        Args:
            done: The share of all epochs that is done before it.
            f1: The development scores of the epochs that are over.
        """
        rate = self.highest * SCHEDULES[self.shape](done, self.warmup)
        if self.shape == "plateau":
            rate *= plateau_factor(f1, self.patience, self.factor)
        return rate


def plateau_factor(f1: Sequence[float], patience: int, factor: float) -> float:
    """Return what the learning rate is multiplied by after epochs with these development scores.

    It falls by ``factor`` whenever there was no better score for more than ``patience`` epochs.
    """
    best, waited, total = -math.inf, 0, 1.0
    for value in f1:
        waited = 0 if value > best else waited + 1
        best = max(best, value)
        if waited > patience:
            total, waited = total * factor, 0
    return total


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
    """Give an optimiser the state given by ``optimizer_tensors``."""
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
