"""Optimisers, schedules of the learning rate, and moving averages of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Schedule = Callable[[float, float], float]
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


def _warming(after: Callable[[float], float]) -> Schedule:
    """A linear rise over the warm-up, then what ``after`` says of the rest (0 to 1)."""

    def factor(done: float, warmup: float) -> float:
        if done < warmup:
            return FIRST + (1.0 - FIRST) * done / warmup
        return after((done - warmup) / (1.0 - warmup))

    return factor


SCHEDULES: Mapping[str, Schedule] = {
    "one_cycle": _warming(lambda rest: 1.0 - (1.0 - LAST) * rest),
    "linear": _warming(lambda rest: 1.0 - rest),
    "cosine": _warming(lambda rest: 0.5 * (1.0 + math.cos(math.pi * rest))),
    "constant": _warming(lambda rest: 1.0),
}


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group of parameters this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class Average:
    """An exponential moving average of the weights of a network (Polyak and Juditsky 1992).

    Early on the decay is lower, ``(1 + steps) / (10 + steps)``, so that the beginning is forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        """Take the weights after a step into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, parameter in parameters:
            self.weights[name].lerp_(parameter, 1.0 - decay)
