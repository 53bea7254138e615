"""Kernels in plain C for what takes most of the time; without them everything is numpy and torch.

They are built when ner is installed, if there is a C compiler, and choose the widest vectors that
the processor has. ``NER_NATIVE=0`` in the environment switches them off. What they compute is what
the numpy code computes; where they cannot (a score is NaN or huge), they leave it to that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ner.loading import kernels as kernels

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
SPAN = np.dtype(
    [(name, np.int64) for name in ("row", "start", "end", "label")] + [("score", float)]
)
_CUT = -650.0  # a score so far below the greatest weighs nothing, as in ner.crf.core.linear_space


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


class KernelFactors(NamedTuple):
    """The scores of a CRF as factors, made once for many sentences.

    Attributes:
        transitions, start, end: Their exponentials, each over the greatest; in float64.
        fall: How far the least of them lies below the greatest, in logs.
        temperature: What scores were divided by.
    """

    transitions: Doubles
    start: Doubles
    end: Doubles
    fall: float
    temperature: float

    @staticmethod
    def of(transitions: Any, start: Any, end: Any, temperature: float = 1.0) -> KernelFactors:
        """Return the factors of scores; minus infinity is a factor of 0."""
        fall, factors = 0.0, []
        for part in (transitions, start, end):
            scores = part.astype(np.float64) / temperature
            greatest = scores.max()
            scores -= greatest if np.isfinite(greatest) else 0.0
            fall = max(fall, -scores[scores > _CUT].min(initial=0.0))
            fall = fall if (scores <= 0.0).all() else np.inf  # NaN or infinite: numpy says so
            factors.append(np.exp(scores))
        moves, first, last = factors
        return KernelFactors(moves, first, last, fall, temperature)


def span_probabilities(
    emissions: NDArray[Any],
    lengths: Integers,
    potentials: KernelFactors,
    spans: Any,
    table: Integers,
) -> Doubles | None:
    """Return the probability of each span; None where numpy must decide, as for `viterbi`.

    Args:
        emissions: ``(batch, length, tags)``.
        lengths: ``(batch,)``.
        potentials: The factors of the CRF.
        spans: Rows, starts, ends and labels, sentence by sentence, ``(4, spans)``.
        table: The fields of ``ner.crf.core.spans.SpanTable``, ``(5, labels)``.
    """
    if not _sums(emissions):
        return None
    probabilities = np.empty(spans.shape[1])
    chain = _chain(emissions, lengths, potentials, table)
    return probabilities if kernels.span_probabilities(chain, spans, probabilities) else None


def probable_spans(
    emissions: NDArray[Any],
    lengths: Integers,
    potentials: KernelFactors,
    table: Integers,
    least: float,
) -> NDArray[Any] | None:
    """Return the spans of at least that probability, overlapping or not; None as above.

    They come by sentence and start, as records of `SPAN`.
    """
    if not _sums(emissions):
        return None
    found = kernels.probable_spans(_chain(emissions, lengths, potentials, table), least)
    return None if found is None else np.frombuffer(found, SPAN)


def character_maxima(products: Floats, characters: Integers) -> tuple[Floats, NDArray[np.int32]]:
    """Return the greatest value of each filter over the windows of each word, and where it is.

    Args:
        products: What each character gives at each place of the window, ``(window, known, width)``.
        characters: The characters of each word, 0 behind the last, ``(words, length)``.

    Returns:
        ``(words, width)`` each; -1e4 at -1 for a word without characters.
    """
    window, known, width = products.shape
    maxima = np.empty((len(characters), width), np.float32)
    places = np.empty(maxima.shape, np.int32)
    sizes = (*characters.shape, known, width, window)
    kernels.character_maxima(*sizes, characters, products, maxima, places)
    return maxima, places


def character_gradients(
    gradients: Floats, places: NDArray[np.int32], characters: Integers, known: int, window: int
) -> Floats:
    """Return the gradients of the products, from those of `character_maxima`."""
    width = gradients.shape[1]
    products = np.zeros((window, known, width), np.float32)
    sizes = (*characters.shape, known, width, window)
    kernels.character_gradients(*sizes, characters, products, _contiguous(gradients), places)
    return products


def _sums(emissions: NDArray[Any]) -> bool:
    return kernels is not None and emissions.dtype == np.float32 and emissions.shape[2] > 0


def _chain(
    emissions: NDArray[Any], lengths: Integers, potentials: KernelFactors, table: Integers
) -> tuple[Any, ...]:
    return (*emissions.shape, _contiguous(emissions), lengths, *potentials, table)


def _contiguous(array: NDArray[Any]) -> Floats:
    return np.ascontiguousarray(array, np.float32)
