"""Memory that is used again and again; needs no torch.

The recursions fill some megabytes and drop them at every training step. An allocator that gives
such memory back to the system has every page of it zeroed and mapped anew the next time, which
can cost as much as the recursions themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_KEPT = 2  # buffers waiting for their next user: of a loss and, in partial annotation, a second one
_LARGEST = 1 << 23  # longer buffers, in float64 numbers (64 MB), go back to the system
_ONCE = 31 << 20  # bytes; a little under the most that glibc's malloc adapts to

_waiting: list[NDArray[np.float64]] = []


class Scratch:
    """A buffer of float64 numbers for one user at a time.

    It waits for its next user as soon as this object is gone: what is cut from it must not be
    used longer than that.

    buffer: at least `size` numbers, not initialised.
    """

    __slots__ = ("buffer",)

    def __init__(self, size: int) -> None:
        try:
            self.buffer = _waiting.pop()
        except IndexError:
            self.buffer = np.empty(0)
        if self.buffer.size < size:
            # The C library of Linux learns from a large block that is freed to keep blocks of
            # that size; without it, gradients given to torch would be mapped anew at each step.
            np.empty(_ONCE, np.uint8)
            self.buffer = np.empty(size)

    def __del__(self) -> None:
        if len(_waiting) < _KEPT and self.buffer.size <= _LARGEST:
            _waiting.append(self.buffer)
