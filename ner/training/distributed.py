"""The processes that train together; by default only one.

``torchrun --nproc-per-node N -m ner train ...`` starts N connected processes. The sentences of each
step are distributed among them and their gradients are summed, so that N processes take the same
steps as one process, except for dropout.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor

Item = TypeVar("Item")


class Processes:
    """The processes of a run.

    Attributes:
        rank: The rank of this process; 0 writes files.
        count: The number of processes.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def writes(self) -> bool:
        """Return whether this process writes files and prints."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """Return the device of this process: on CUDA, its own."""
        if self.count == 1 or device.type != "cuda":
            return device
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    def join(self, device: torch.device) -> None:
        """Join the process group."""
        if self.count > 1 and not distributed.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)  # what "cuda" means from now on
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    def share(self, items: Sequence[Item]) -> list[Item]:
        """Return this process's share of items."""
        return list(items[self.rank :: self.count])

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(
        self, weights: Sequence[Tensor], tables: Sequence[Tensor], total: float
    ) -> float:
        """Sum the gradients of weights over all processes.

        Everything dense is exchanged at once, and so are all rows of tables, since most of the cost
        of an exchange is its latency.

        Args:
            weights: The weights with dense gradients, or ``None``.
            tables: The weights with sparse, coalesced gradients, or ``None``.
            total: A number to be summed as well.

        Returns:
            The sum of the totals.
        """
        if self.count == 1:
            return total
        own = [_rows_and_values(table) for table in tables]
        gradients = [w.grad if w.grad is not None else torch.zeros_like(w) for w in weights]
        counts = torch.zeros(self.count, len(tables))
        counts[self.rank] = torch.tensor([len(rows) for rows, _ in own])
        parts = [*gradients, counts, torch.tensor([total])]
        device = gradients[0].device
        flat = self.sum(torch.cat([part.to(device).reshape(-1) for part in parts]))
        *dense, counts, last = torch.split(flat, [part.numel() for part in parts])
        for weight, gradient in zip(weights, dense, strict=True):
            weight.grad = gradient.view_as(weight)
        if tables:
            self._sum_rows(tables, own, counts.int().view(self.count, -1).tolist())
        return float(last.item())

    def _sum_rows(
        self,
        tables: Sequence[Tensor],
        own: Sequence[tuple[Tensor, Tensor]],
        counts: Sequence[Sequence[int]],
    ) -> None:
        """Exchange rows of tables between processes and sum them."""
        packed = torch.cat([part.reshape(-1) for one in own for part in one])
        sizes = [_packed_size(tables, one) for one in counts]
        padded = torch.cat([packed, packed.new_zeros(max(sizes) - len(packed))])
        parts = [
            _unpacked(one, tables, known)
            for one, known in zip(self.gather(padded), counts, strict=True)
        ]
        for table, found in zip(tables, zip(*parts, strict=True), strict=True):
            rows, values = (torch.cat(kind) for kind in zip(*found, strict=True))
            table.grad = torch.sparse_coo_tensor(
                rows[None], values, table.shape, check_invariants=False
            ).coalesce()

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return self.sum_counts([[int(flag)]])[0][0] > 0

    def sum_counts(self, counts: list[list[int]]) -> list[list[int]]:
        """Return the sums of integers of the same shape over all processes."""
        if self.count == 1:
            return counts
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        total: list[list[int]] = self.sum(torch.tensor(counts, device=device)).tolist()
        return total

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, of the same shape, by rank, on the CPU."""
        if self.count == 1:
            return [tensor]
        if distributed.get_backend() == "nccl":
            tensor = tensor.cuda()
        gathered = [torch.empty_like(tensor) for _ in range(self.count)]
        distributed.all_gather(gathered, tensor)
        return [one.cpu() for one in gathered]

    def first(self, item: Item) -> Item:
        """Return the item of the first process."""
        items = [item]
        if self.count > 1:
            distributed.broadcast_object_list(items)
        return items[0]

    def wait(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            distributed.barrier()


def _rows_and_values(table: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of a table with a gradient, as bits of float32, and their gradients."""
    if table.grad is None:
        return table.new_zeros(0), table.new_zeros(0, table.shape[1])
    return table.grad.indices()[0].int().view(torch.float32), table.grad.values()


def _packed_size(tables: Sequence[Tensor], counts: Sequence[int]) -> int:
    pairs = zip(tables, counts, strict=True)
    return sum(count * (1 + table.shape[1]) for table, count in pairs)


def _unpacked(
    packed: Tensor, tables: Sequence[Tensor], counts: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """Return the rows and gradients of each table, packed by one process."""
    found, start = [], 0
    for table, count in zip(tables, counts, strict=True):
        middle, end = start + count, start + count * (1 + table.shape[1])
        rows = packed[start:middle].view(torch.int32).long()
        found.append((rows, packed[middle:end].view(count, -1)))
        start = end
    return found
