"""Memory that is used again and again; needs no torch.

The recursions fill some megabytes and drop them at every training step. An allocator that gives
such memory back to the system has every page of it zeroed and mapped anew the next time, which
costs as much as the recursions themselves.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_KEPT = 2  # buffers waiting for their next user: a loss and, in partial annotation, a second one
_LARGEST = 1 << 23  # longer buffers, in float64 numbers (64 MB), go back to the system

_waiting: list[NDArray[np.float64]] = []


class Scratch:
    """A buffer that arrays are cut from, one after the other.

    The buffer waits for its next user as soon as this object is gone; arrays cut from it must
    not be used longer than that.
    """

    __slots__ = ("_buffer", "_used")

    def __init__(self, size: int) -> None:
        try:
            buffer = _waiting.pop()
        except IndexError:
            buffer = np.empty(0)
        if buffer.size < size:
            buffer = np.empty(size)
        self._buffer, self._used = buffer, 0

    def cut(self, *shape: int) -> NDArray[np.float64]:
        """An array of float64 numbers, not initialised."""
        first, self._used = self._used, self._used + math.prod(shape)
        return self._buffer[first : self._used].reshape(shape)

    def __del__(self) -> None:
        if len(_waiting) < _KEPT and self._buffer.size <= _LARGEST:
            _waiting.append(self._buffer)
