"""Kernels in plain C for what takes most of the time; without them everything is numpy and torch.

They are built when ner is installed, if there is a C compiler, and choose the widest vectors that
the processor has. ``NER_NATIVE=0`` in the environment switches them off. What they compute is what
the numpy code computes; where they cannot (a score is NaN or huge), they leave it to that.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def _loaded() -> Any:
    if os.environ.get("NER_NATIVE") == "0":
        return None
    try:
        return import_module("ner._native")
    except ImportError:
        return None


kernels = _loaded()


def described() -> str:
    """Return what computes: the instruction set of the kernels, or numpy."""
    return "numpy" if kernels is None else f"native, {kernels.in_use()}"


class Recurrence:
    """The recurrence of one layer of an LSTM, in all its directions.

    Args:
        recurrent: From halved outputs to gates, ``(directions, width, 4 * width)``; see
            ``ner.inference.lstm``.
    """

    def __init__(self, recurrent: Floats) -> None:
        self.directions, self.width, _ = recurrent.shape
        self._packed = kernels.pack(self.width, self.directions, _contiguous(recurrent))

    def run(self, gates: Floats, index: Integers, places: Integers, counts: Integers) -> Floats:
        """Return halved outputs, ``(tokens, directions * width)``.

        Args:
            gates: What the input gives, ``(directions, rows, 4 * width)``, or with the directions
                side by side, ``(rows, directions * 4 * width)``.
            index: The row of gates of each packed token, ``(directions, tokens)``.
            places: The row of the output of each packed token, ``(directions, tokens)``.
            counts: The tokens of each step, descending.
        """
        row = gates.shape[-1]
        direction = 4 * self.width if gates.ndim == 2 else row * gates.shape[1]
        outputs = np.empty((places.shape[1], self.directions * self.width), np.float32)
        kernels.lstm(self._packed, direction, row, gates, index, places, counts, outputs)
        return outputs


def viterbi(
    emissions: NDArray[Any], lengths: Integers, transitions: Any, start: Any, end: Any
) -> Integers | None:
    """Return best paths, ``(batch, length)``, 0 at padding; None where numpy must decide.

    That is without kernels, in float64, and where a score is NaN or huge or no path is legal.
    """
    if kernels is None or emissions.dtype != np.float32 or not emissions.shape[2]:
        return None
    paths = np.zeros(emissions.shape[:2], np.int64)
    scores = map(_contiguous, (transitions, start, end))
    lengths = np.ascontiguousarray(lengths, np.int64)
    found = kernels.viterbi(*emissions.shape, _contiguous(emissions), lengths, *scores, paths)
    return paths if found else None


def _contiguous(array: NDArray[Any]) -> Floats:
    return np.ascontiguousarray(array, np.float32)
