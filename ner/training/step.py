"""A training step: gradients of some sentences, and the update of the optimiser."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ner.batch import Batch
from ner.options import UnknownOptionError
from ner.schemes import OUTSIDE
from ner.scorer import Indexed, Scorer, TypeTable
from ner.training.distributed import Processes
from ner.training.initialisation import Distillation
from ner.training.optimisation import (
    BY_ROWS,
    OPTIMIZERS,
    RowTables,
    WeightAverage,
    optimizer_tensors,
    parameter_groups,
    restore_optimizer,
    scale_gradients,
    set_learning_rate,
)
from ner.training.settings import TrainingSettings

M_MMAP_THRESHOLD = -3  # of <malloc.h>
RELEASED = 64  # steps after which freed memory goes back to the system
_LEAST = 1e-20  # a gradient that moves nothing


def release_memory() -> None:
    """Give freed memory back to the system, where the C library can (glibc).

    Tensors of a step are of many sizes, so that memory fragments: after an epoch of CoNLL-2003 a
    third of what the process holds is free. Without this it grows with every epoch.
    """
    _allocator("malloc_trim", 0)


def map_large_blocks() -> None:
    """Have large blocks of memory mapped, where the C library can (glibc): free, they are gone.

    The library raises its limit for this as such blocks are freed, up to 32 MB. Later ones then
    leave holes in the heap, which an epoch of CoNLL-2003 and its scoring do not fill again.
    """
    _allocator("mallopt", M_MMAP_THRESHOLD, 8 << 20)


def _allocator(function: str, *arguments: int) -> None:
    found = getattr(ctypes.CDLL(None), function, None) if os.name == "posix" else None
    if found is not None:
        found(*arguments)


class DivergedError(ValueError):
    """A loss or gradient is NaN or infinite."""


class Stepper:
    """Updates the weights of a network, step by step.

    Attributes:
        network: The network.
        table: The distinct tokens of the training sentences.
        optimizer: The optimiser of all weights except those of ``rows``.
        average: The moving average of the weights, if requested.
        rows: The tables that are optimised row by row.
    """

    PARTS = ("network", "optimizer", "rows", "average")  # of ``tensors``

    def __init__(
        self,
        network: Scorer,
        table: TypeTable,
        settings: TrainingSettings,
        processes: Processes,
        distillation: Distillation | None = None,
    ) -> None:
        self.network = network
        self.table = table
        self.average = WeightAverage(network, settings.average) if settings.average else None
        self._device = network.device
        by_rows = (
            settings.optimizer in BY_ROWS
            and not settings.weight_decay  # which would move every row
            and self._device.type == "cpu"  # elsewhere a whole table is fast
        )
        averages = self.average.weights if self.average else {}
        self.rows = RowTables(network if by_rows else None, averages, shared=processes.count > 1)
        self.optimizer = OPTIMIZERS[settings.optimizer](
            parameter_groups(
                (p for name, p in network.named_parameters() if name not in self.rows.tables),
                network.learning_rates(),
                settings.learning_rate,
            ),
            settings.learning_rate,
            settings.weight_decay,
            settings.momentum,
        )
        self._distillation = distillation
        self._costs = cost_table(network, settings.costs) if settings.costs else None
        self._settings = settings
        self._taken = 0
        self._processes = processes

    def take(self, batches: Sequence[Sequence[Indexed]], rate: float) -> float:
        """Take one step for all sentences of these batches, equally weighted.

        Returns:
            The sum of the sentences' losses before the step, in nats.

        Raises:
            DivergedError: The loss or its gradient is not finite; the weights are unchanged.
        """
        self.network.zero_grad()
        total = self._gradients(batches)
        if not math.isfinite(total):
            raise DivergedError(f"the loss is {total}")
        length = scale_gradients(
            self.network.parameters(),
            self._settings.gradient_clip,
            always=self._settings.gradient_normalisation,
        )
        if not math.isfinite(length):
            raise DivergedError(f"the length of the gradient is {length}")
        self._step(rate)
        self._taken += 1
        if self._taken % RELEASED == 0:
            release_memory()
        return total

    def settle(self) -> None:
        """Apply pending updates to the weights and their average, and free the gradients."""
        self.rows.settle()
        self.network.zero_grad()

    def release(self) -> None:
        """Free the memory of optimiser and tokens. No step can be taken after that."""
        self.average, self.rows, self.table = None, RowTables(None, {}), TypeTable([])
        self.optimizer.state.clear()
        release_memory()

    def _gradients(self, batches: Sequence[Sequence[Indexed]]) -> float:
        """Compute the gradients, and return the sum of the sentences' losses."""
        count = sum(map(len, batches))
        total = 0.0
        with self.rows.watching():
            for sentences in batches:
                if share := self._processes.share(sentences):
                    total += self._add_gradients(share, len(share) / count) * count
        self.rows.coalesce()
        groups = self.optimizer.param_groups
        dense = [p for group in groups for p in group["params"] if p.requires_grad]
        tables = [table.weight for table in self.rows.tables.values()]
        return self._processes.sum_gradients(dense, tables, total)

    def _step(self, rate: float) -> None:
        """Update weights and average from the gradients."""
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        # fused kernels do not, and results of old weights would be taken for those of the new ones
        torch.autograd.graph.increment_version(list(self.network.parameters()))
        decay = 1.0
        if self.average:
            decay = self.average.update(
                (name, weight)
                for name, weight in self.network.named_parameters()
                if name not in self.rows.tables
            )
        self.rows.step(rate, decay)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name, for ``restore``."""
        parts: dict[str, Mapping[str, Tensor]] = {
            "network": trained_weights(self.network),
            "optimizer": optimizer_tensors(self.optimizer),
            "rows": self.rows.tensors(),
            "average": self._averaged(),
        }
        return {f"{part}.{name}": t for part, named in parts.items() for name, t in named.items()}

    def restore(self, parts: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        """Restore tensors that were saved after this many steps."""
        self.network.load_state_dict(parts["network"], strict=False)
        restore_optimizer(self.optimizer, parts["optimizer"])
        self.rows.restore(parts["rows"])
        if self.average:
            self.average.restore(parts["average"], steps)

    def _averaged(self) -> dict[str, Tensor]:
        """Return the averages of the trained weights."""
        if self.average is None:
            return {}
        changed = {name for name, p in self.network.named_parameters() if p.requires_grad}
        return {name: t for name, t in self.average.weights.items() if name in changed}

    def _add_gradients(self, sentences: Sequence[Indexed], weight: float) -> float:
        """Add the gradients of the mean loss of sentences times a weight, and return this product.

        In adversarial training, half of the weight is that of the loss at perturbed vectors. The
        embeddings go backward once, with the sum of the gradients of both.
        """
        batch = self.network.collate(sentences, self.table).to(self._device)
        with self._precision():
            vectors = [stack.vectors(batch) for stack in self.network.stacks]
        if not self._settings.adversarial:
            return self._backward(batch, vectors, weight)
        inputs = [v.detach().requires_grad_() for v in vectors]
        loss = self._backward(batch, inputs, weight / 2)
        for x in inputs:
            perturb(x, self._settings.adversarial)
        loss += self._backward(batch, inputs, weight / 2)
        for v, x in zip(vectors, inputs, strict=True):
            if v.requires_grad and x.grad is not None:
                change = torch.dot(v.reshape(-1), x.grad.reshape(-1))
                change.backward()  # type: ignore[no-untyped-call]  # v.backward(...) loads sympy
        return loss

    def _backward(self, batch: Batch, vectors: Sequence[Tensor], weight: float) -> float:
        """Compute the gradients of the loss at vectors of tokens, and return the loss."""
        try:
            with self._precision():
                loss = self._loss(batch, vectors) * weight
        except ValueError as error:  # the CRF raises for emissions that contain NaN
            raise DivergedError(str(error)) from error
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _precision(self) -> contextlib.AbstractContextManager[None]:
        if self._settings.precision == "float32":
            return contextlib.nullcontext()
        return autocast_bfloat16(self.network, self._device)

    def _loss(self, batch: Batch, vectors: Sequence[Tensor]) -> Tensor:
        if batch.tags is None:
            raise ValueError("training needs annotated sentences, but some have spans=None")
        each = [
            stack.scores(v, batch.lengths)
            for stack, v in zip(self.network.stacks, vectors, strict=True)
        ]
        if self._costs is not None:
            costs = self._costs[batch.tags]
            if batch.candidates is not None:  # what is open may be anything at no cost
                costs = costs * (batch.candidates.sum(2, keepdim=True) == 1)
            each = [emissions + costs for emissions in each]
        loss = self.network.loss_of(each, batch.lengths, batch.tags, batch.candidates)
        return loss if self._distillation is None else loss + self._distillation.loss(batch)


@torch.no_grad()
def perturb(vectors: Tensor, size: float) -> None:
    """Move vectors, in place, to where the loss is higher (Miyato, Dai and Goodfellow 2017).

    With the gradient g_i of token i, x_i becomes x_i + size |x_i| g_i / max_j |g_j|, j over the
    tokens of the sentence: the token with the greatest influence moves furthest.

    Args:
        vectors: The vectors of the tokens, ``(batch, length, width)``, with their gradients.
        size: The length of the largest movement, relative to the vector.
    """
    assert vectors.grad is not None
    lengths = vectors.grad.norm(dim=2, keepdim=True)
    largest = lengths.amax(1, keepdim=True).clamp_min(_LEAST)
    vectors.addcmul_(vectors.grad, vectors.norm(dim=2, keepdim=True) * size / largest)


def cost_table(network: Scorer, costs: Mapping[str, float]) -> Tensor:
    """Return what is added to the scores of wrong tags in training, ``(gold tags, tags)``.

    The loss becomes ``log sum_y exp(score(y) + cost(y, gold)) - score(gold)`` (Gimpel and Smith
    2010), where the cost of a path is the sum of the logarithms of its tokens' costs.

    Raises:
        ConfigError: A cost is neither that of ``miss`` or ``false_alarm`` nor of a label.
    """
    known = ("miss", "false_alarm", *network.labels)
    for name in costs:
        if name not in known:
            raise UnknownOptionError("training.costs", name, known)
    table = torch.zeros(len(network.tags), len(network.tags), device=network.device)
    for gold, tag in enumerate(network.tags):
        table[gold] = math.log(costs.get(tag.partition("-")[2], 1.0))
        if tag == OUTSIDE:
            table[gold] = math.log(costs.get("false_alarm", 1.0))
    outside = network.tags.index(OUTSIDE)
    table[:, outside] += math.log(costs.get("miss", 1.0))
    return table.fill_diagonal_(0.0)


def trained_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the state of a network without its frozen weights, which can be large."""
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    return {name: w for name, w in network.state_dict().items() if name not in frozen}


def frozen_digest(network: nn.Module) -> str:
    """Return the SHA-256 of the frozen weights, which checkpoints do not hold; empty for none."""
    frozen = [w.detach() for w in network.parameters() if not w.requires_grad]
    if not sum(weight.numel() for weight in frozen):
        return ""
    digest = hashlib.sha256()
    for weight in frozen:
        digest.update(weight.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the random generators used in training."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Restore the states of the random generators."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@contextlib.contextmanager
def autocast_bfloat16(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 where that is safe (autocast) while the block runs.

    On processors without bfloat16 support, LSTMs compute in float32.
    """
    with torch.autocast(device.type, torch.bfloat16), contextlib.ExitStack() as hooks:
        if device.type == "cpu" and not _has_bfloat16():
            for module in network.modules():
                if isinstance(module, nn.LSTM):
                    before, after = _float32(module)
                    hooks.callback(before.remove)
                    hooks.callback(after.remove)
        yield


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _float32(
    module: nn.LSTM,
) -> tuple[torch.utils.hooks.RemovableHandle, torch.utils.hooks.RemovableHandle]:
    """Disable autocast while a module computes."""
    outside = torch.autocast("cpu", enabled=False)

    def leave(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outside.__enter__()  # type: ignore[no-untyped-call]
        return tuple(tensor.float() for tensor in given)

    def come_back(module: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> None:
        outside.__exit__(None, None, None)

    return module.register_forward_pre_hook(leave), module.register_forward_hook(come_back)
