"""The processes that train together; one where nobody asked for more.

``torchrun --nproc-per-node N -m ner train ...`` starts N processes that see each other. Each step's
sentences are dealt out to them and their gradients are summed, so that a run of N processes takes
the very steps that one process would take, dropout aside.
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
        rank: Which of them this is; 0 writes files.
        count: How many there are.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def writes(self) -> bool:
        """Whether this one writes files and speaks to the user."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The device of this process, where each is to have its own."""
        if self.count == 1 or device.type != "cuda":
            return device
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    def join(self, device: torch.device) -> None:
        """Meet the others."""
        if self.count > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    def share(self, items: Sequence[Item]) -> list[Item]:
        """The items that are this process's to do."""
        return list(items[self.rank :: self.count])

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all, in place."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sum_rows(self, gradient: Tensor | None, table: Tensor) -> Tensor:
        """The sum of the sparse gradients of all, each of some rows of a table.

        Args:
            gradient: This process's, coalesced; ``None`` where it has none.
            table: What it is the gradient of.
        """
        if gradient is None:
            gradient = torch.sparse_coo_tensor(
                indices=torch.zeros(1, 0, dtype=torch.int64),
                values=table.new_zeros(0, table.shape[1]),
                size=table.shape,
                check_invariants=False,
            ).coalesce()
        counts = self.gather(torch.tensor([gradient.indices().shape[1]]))
        most = int(max(counts))
        rows = gradient.indices()[0]
        padded = torch.cat([rows, rows.new_zeros(most - len(rows))])
        values = torch.cat([gradient.values(), table.new_zeros(most - len(rows), table.shape[1])])
        everybody = zip(self.gather(padded), self.gather(values), counts, strict=True)
        parts = [(r[: int(n)], v[: int(n)]) for r, v, n in everybody]
        indices, found = (torch.cat(kind) for kind in zip(*parts, strict=True))
        return torch.sparse_coo_tensor(
            indices[None], found, table.shape, check_invariants=False
        ).coalesce()

    def any(self, flag: bool) -> bool:
        """Whether some process says so."""
        return flag if self.count == 1 else bool(self._total(flag))

    def _total(self, flag: bool) -> float:
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        return self.sum(torch.tensor([float(flag)], device=device)).item()

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all, which are of one shape, in order of rank, on the CPU."""
        if self.count == 1:
            return [tensor]
        if distributed.get_backend() == "nccl":
            tensor = tensor.cuda()
        gathered = [torch.empty_like(tensor) for _ in range(self.count)]
        distributed.all_gather(gathered, tensor)
        return [one.cpu() for one in gathered]

    def wait(self) -> None:
        """Go on only when all are here."""
        if self.count > 1:
            distributed.barrier()
