"""Optimisers, learning rates, gradients, and moving averages of weights."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

Shape = Callable[[float, float], float]
FIRST, LAST = 1 / 25, 1 / 100  # of the highest learning rate, where a schedule begins and ends


def _eager(kind: type[Optimizer]) -> Callable[..., Optimizer]:
    """Return an optimiser without torch's wrappers, which import its compiler.

    That takes seconds and 70 MB of memory.
    """
    names = ("step", "add_param_group", "state_dict", "load_state_dict")
    raw = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**raw, "step": torch.no_grad()(raw["step"])})


OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "adamw": lambda parameters, rate, decay, momentum: _eager(torch.optim.AdamW)(
        parameters, lr=rate, weight_decay=decay, fused=True
    ),
    "adam": lambda parameters, rate, decay, momentum: _eager(torch.optim.Adam)(
        parameters, lr=rate, weight_decay=decay, fused=True
    ),
    "nadam": lambda parameters, rate, decay, momentum: _eager(torch.optim.NAdam)(
        parameters, lr=rate, weight_decay=decay
    ),
    "sgd": lambda parameters, rate, decay, momentum: _eager(torch.optim.SGD)(
        parameters, lr=rate, weight_decay=decay, momentum=momentum
    ),
}
BY_ROWS = ("adamw", "adam")  # those that ``RowTables`` can do


def parameter_groups(
    parameters: Iterable[nn.Parameter], own: Mapping[nn.Parameter, float], rate: float
) -> list[dict[str, Any]]:
    """Return the parameter groups of an optimiser, that of the common learning rate first.

    Args:
        parameters: The parameters to optimise.
        own: The maximum learning rate of those that have their own.
        rate: The maximum learning rate of the others. The ``share`` of a group is relative to it.
    """
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for parameter in parameters:
        groups.setdefault(own.get(parameter, rate) / rate, []).append(parameter)
    return [{"params": some, "share": share} for share, some in groups.items() if some]


def _warming(after: Callable[[float], float]) -> Shape:
    """Return a schedule with a linear warm-up, followed by ``after`` over the rest (0 to 1)."""

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
    "plateau": _warming(lambda rest: 1.0),  # times plateau_factor, which depends on the scores
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of the learning rate.

    Attributes:
        shape: A name in ``SCHEDULES``.
        highest: The maximum learning rate.
        warmup: The share of the steps over which it rises.
        patience: The number of epochs that ``plateau`` waits for a better F1.
        factor: The factor of the learning rate that ``plateau`` applies then.
    """

    shape: str
    highest: float
    warmup: float
    patience: int
    factor: float

    def learning_rate(self, done: float, f1: Sequence[float]) -> float:
        """Return the learning rate of a step.

        Args:
            done: The share of all epochs before the step.
            f1: The development scores of the finished epochs.
        """
        rate = self.highest * SCHEDULES[self.shape](done, self.warmup)
        if self.shape == "plateau":
            rate *= plateau_factor(f1, self.patience, self.factor)
        return rate


def plateau_factor(f1: Sequence[float], patience: int, factor: float) -> float:
    """Return the factor of the learning rate after epochs with these development scores.

    It is multiplied by ``factor`` whenever the score has not improved for ``patience`` epochs.
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
    """Scale the gradient of all parameters, taken as one vector, to a length.

    Args:
        parameters: The parameters.
        length: The maximum length (Pascanu et al. 2013).
        always: Whether to lengthen shorter gradients too (what Reimers and Gurevych 2017 call
            normalisation).

    Returns:
        The original length.
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
    """Return the state of an optimiser by name: ``NUMBER.KEY``, with the parameter's number."""
    return {
        f"{number}.{key}": value
        for number, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the state given by ``optimizer_tensors``."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


class WeightAverage:
    """An exponential moving average of the weights of a network (Polyak and Juditsky 1992).

    At first the decay is lower, ``(1 + steps) / (10 + steps)``, so that the initial weights fade.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {  # weights that are not trained are their own average
            name: parameter.detach().clone() if parameter.requires_grad else parameter.detach()
            for name, parameter in network.named_parameters()
        }

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]]) -> float:
        """Update the average with the weights after a step, and return the decay."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, parameter in parameters:
            if parameter.requires_grad:
                self.weights[name].lerp_(parameter, 1.0 - decay)
        return decay

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor], steps: int) -> None:
        """Restore a saved average."""
        self.steps = steps
        for name, weight in weights.items():
            self.weights[name].copy_(weight)


BETAS, EPSILON = (0.9, 0.999), 1e-8  # those of torch's Adam
REMEMBERED = 400  # steps until momentum is gone: (b1 / sqrt(b2))^400 < 1e-18
BLOCK = 8192  # rows updated at a time
LEAST = 300_000  # the smallest table, in numbers, for which this pays off
LEAST_SHARED = 60_000  # the same with several processes, which exchange rows instead of tables
_FADING = (BETAS[0] / math.sqrt(BETAS[1])) ** np.arange(REMEMBERED, 0, -1)
_DRIFT, _KEEP, _LAG = range(3)
_NOTHING = np.array([[0.0], [1.0], [0.0]])  # drift, keep and lag right after a step
Integers = NDArray[np.int64]


class RowTable:
    """A table of vectors on the CPU that Adam optimises row by row.

    A batch of some hundred tokens looks up some hundred rows of a table of many thousands, yet Adam
    moves every row at every step: one without a gradient drifts on with what is left of its
    momentum, and its average follows. Here a row that no step looks up is left alone, and is
    brought to where Adam and the average would have taken it when it is next looked up. What
    happened meanwhile is the same for all rows last touched at the same step, but for one factor:

    with ``m`` and ``v`` Adam's two moments at a row's last step ``t``, after ``k`` steps without a
    gradient they are ``b1^k m`` and ``b2^k v``, so that the row has moved by ``-m / sqrt(v)`` times

        drift = sum over s = t+1 .. t+k of  c_s (b1 / sqrt(b2))^(s-t)

    where ``c_s`` is the learning rate of step ``s`` with Adam's corrections (Kingma and Ba 2015).
    The average of the weights (decay ``d_s``) is ``w + keep (average - w) - lag m / sqrt(v)`` of
    the row ``w`` as it was at ``t``: ``keep`` is the product of the decays, and ``lag`` follows
    ``drift`` as an average does. Each is one number for each ``t``, updated by a few operations a
    step. The result is that of Adam over the whole table, up to rounding, at a cost that does not
    grow with the table.

    Args:
        weight: The table, ``(rows, width)``.
        average: The moving average of the table, if there is one.

    Attributes:
        weight: The table.
        steps: The number of steps so far.
    """

    def __init__(self, weight: Tensor, average: Tensor | None) -> None:
        self.weight = weight
        self.steps = 0
        self._weight = weight.detach().numpy()  # the same memory, as that of the average is
        self._average = None if average is None else average.numpy()
        self._moments = np.zeros((len(weight), 2, weight.shape[1]), np.float32)
        self._last = np.zeros(len(weight), np.int64)
        self._settled = 0  # the step at which all rows were brought up to date
        self._past = _NOTHING

    def catch_up(self, rows: Integers) -> None:
        """Apply the pending updates of rows, which may repeat."""
        last = self._last[rows]
        late = last < self.steps
        if not late.any():
            return
        rows, last = rows[late], last[late]
        # after k steps without a gradient, with u = m / (sqrt(v) + epsilon) at the last step:
        #   average <- w + keep (average - w) - lag u;  w <- w - drift u
        #   m <- b1^k m;  v <- b2^k v
        drift, keep, lag = self._past[:, last - self._settled, None].astype(np.float32)
        moments = self._moments.take(rows, 0)
        # Adam adds epsilon to the corrected sqrt(v / (1 - b2^t)), here to sqrt(v) itself
        epsilon = EPSILON * np.sqrt(1.0 - BETAS[1] ** np.maximum(last, 1))
        direction = np.sqrt(moments[:, 1])
        direction += epsilon.astype(np.float32)[:, None]
        np.divide(moments[:, 0], direction, out=direction)
        weight = self._weight.take(rows, 0)
        if self._average is not None:
            average = self._average.take(rows, 0)
            average -= weight
            average *= keep
            average += weight
            average -= lag * direction
            self._average[rows] = average
        direction *= drift
        weight -= direction
        self._weight[rows] = weight
        idle = (self.steps - last)[:, None]
        moments *= np.power(BETAS, idle).astype(np.float32)[:, :, None]
        self._moments[rows] = moments
        self._last[rows] = self.steps

    def step(self, rate: float, decay: float) -> None:
        """Take a step along the sparse, coalesced gradient.

        Args:
            rate: The learning rate.
            decay: The decay of the average.
        """
        rows, gradient = _rows_of(self.weight)
        self.catch_up(rows)
        self.steps += 1
        # m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2, and w moves by -rate times the ratio
        # of m / (1 - b1^t) to sqrt(v / (1 - b2^t)) + epsilon
        shrink = 1.0 - BETAS[0] ** self.steps
        spread = math.sqrt(1.0 - BETAS[1] ** self.steps)
        moments = self._moments.take(rows, 0)
        moments *= np.array(BETAS, np.float32)[:, None]
        moments[:, 0] += np.float32(1.0 - BETAS[0]) * gradient
        squared = gradient * gradient
        squared *= np.float32(1.0 - BETAS[1])
        moments[:, 1] += squared
        self._moments[rows] = moments
        change = np.sqrt(moments[:, 1], out=squared)
        change *= np.float32(1.0 / spread)
        change += np.float32(EPSILON)
        np.divide(moments[:, 0], change, out=change)
        change *= np.float32(rate / shrink)
        weight = self._weight.take(rows, 0)
        weight -= change
        self._weight[rows] = weight
        if self._average is not None:  # average <- average + (1 - decay) (w - average)
            average = self._average.take(rows, 0)
            weight -= average
            weight *= np.float32(1.0 - decay)
            average += weight
            self._average[rows] = average
        self._last[rows] = self.steps
        self._remember(rate * spread / shrink, decay)

    def settle(self) -> None:
        """Apply the pending updates of all rows."""
        for start in range(0, len(self._last), BLOCK):  # without copying the whole table
            self.catch_up(np.arange(start, min(start + BLOCK, len(self._last))))
        self._settled, self._past = self.steps, _NOTHING

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of the optimiser by name, for ``restore``."""
        return {
            "moments": torch.from_numpy(self._moments),
            "last": torch.from_numpy(self._last),
            "past": torch.from_numpy(self._past.copy()),  # initially shared by all tables
            "steps": torch.tensor([self.steps, self._settled]),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore saved tensors."""
        self._moments[:] = tensors["moments"].numpy()
        self._last[:] = tensors["last"].numpy()
        self._past = tensors["past"].numpy().copy()
        self.steps, self._settled = tensors["steps"].tolist()

    def _remember(self, rate: float, decay: float) -> None:
        """Update drift, keep and lag of rows last used at each step.

        drift <- drift + c (b1 / sqrt(b2))^k;  keep <- d keep;  lag <- lag + (1 - d) (drift - lag)
        """
        past, fading = self._past.copy(), _FADING[-self._past.shape[1] :]
        past[_DRIFT, -len(fading) :] += rate * fading
        past[_KEEP] *= decay
        past[_LAG] += (1.0 - decay) * (past[_DRIFT] - past[_LAG])
        self._past = np.concatenate([past, _NOTHING], axis=1)


class RowTables:
    """The tables of a network that are optimised row by row.

    Args:
        network: The network, whose trained tables these are; ``None`` for no tables.
        averages: The moving averages of weights by name.
        shared: Whether several processes train together.

    Attributes:
        tables: The tables by the names of their weights.
    """

    def __init__(
        self, network: nn.Module | None, averages: Mapping[str, Tensor], *, shared: bool = False
    ) -> None:
        modules = () if network is None else network.named_modules()
        least = LEAST_SHARED if shared else LEAST
        self._modules = {
            f"{name}.weight": module for name, module in modules if _is_large(module, least)
        }
        self.tables = {
            name: RowTable(module.weight, averages.get(name))
            for name, module in self._modules.items()
        }

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block, update rows when they are looked up, and make gradients sparse."""
        hooks = []
        for name, module in self._modules.items():
            table = self.tables[name]
            hooks.append(module.register_forward_pre_hook(_CatchUp(table)))
            module.sparse = True
        try:
            yield
        finally:
            for hook, module in zip(hooks, self._modules.values(), strict=True):
                hook.remove()
                module.sparse = False

    def coalesce(self) -> None:
        """Sum the gradients of the same row."""
        for table in self.tables.values():
            if table.weight.grad is not None:
                table.weight.grad = table.weight.grad.coalesce()

    def step(self, rate: float, decay: float) -> None:
        """Take a step in every table; ``decay`` is that of the averages."""
        for table in self.tables.values():
            table.step(rate, decay)

    def settle(self) -> None:
        """Bring all rows up to date."""
        for table in self.tables.values():
            table.settle()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of the optimiser as ``NAME/PART``, for ``restore``."""
        return {
            f"{name}/{part}": tensor
            for name, table in self.tables.items()
            for part, tensor in table.tensors().items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore saved tensors."""
        for name, table in self.tables.items():
            parts = ("moments", "last", "past", "steps")
            table.restore({part: tensors[f"{name}/{part}"] for part in parts})


class _CatchUp:
    """Updates rows before a module looks them up."""

    def __init__(self, table: RowTable) -> None:
        self.table = table

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.table.catch_up(given[0].reshape(-1).numpy())


def _is_large(module: nn.Module, least: int) -> TypeGuard[nn.Embedding | nn.EmbeddingBag]:
    if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return False
    return module.weight.numel() >= least and module.weight.requires_grad


def _rows_of(weight: Tensor) -> tuple[Integers, NDArray[np.float32]]:
    """Return the rows with a gradient, and their gradients."""
    gradient = weight.grad
    if gradient is None:
        return np.zeros(0, np.int64), np.zeros((0, weight.shape[1]), np.float32)
    return gradient.indices()[0].numpy(), gradient.values().numpy()
