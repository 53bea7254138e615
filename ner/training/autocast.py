"""Computing in bfloat16 what may be, and in float32 what the processor cannot do in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def autocast_bfloat16(network: nn.Module, device: torch.device) -> Iterator[None]:
    """While the block runs, the network computes in bfloat16 where that is safe (autocast).

    The LSTMs of processors that have no bfloat16 for them compute in float32.
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
    """Make a module leave autocast while it computes."""
    outside = torch.autocast("cpu", enabled=False)

    def leave(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outside.__enter__()  # type: ignore[no-untyped-call]
        return tuple(tensor.float() for tensor in given)

    def come_back(module: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> None:
        outside.__exit__(None, None, None)

    return module.register_forward_pre_hook(leave), module.register_forward_hook(come_back)
