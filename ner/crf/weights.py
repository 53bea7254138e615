"""Scores as weights: their exponentials, with what is divided out kept in logs; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]

FALL = 250.0  # by the logs of so much at most may weights fall between two scalings
_CUT = 650.0  # a score so far below the greatest weighs nothing (such as a penalty of -1e4)
_NARROW = 40.0  # emissions within this range need no maximum per token, and exp in their dtype


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of emissions and transitions, and the logs of what was divided out.

    nodes: ``(n, tags)``. moves: ``(tags, tags)``, no row or column sum over 1. start, end:
    ``(1 or rows, tags)``. node_log: scalar or ``(n,)``. start_log, end_log: ``(1 or rows,)``.
    every: the number of steps that need no scaling; 0 where not even one goes without.
    """

    nodes: Floats
    moves: Doubles
    start: Doubles
    end: Doubles
    node_log: Doubles
    move_log: float
    start_log: Doubles
    end_log: Doubles
    every: int

    @staticmethod
    def of(emissions: Floats, transitions: Doubles, start: Doubles, end: Doubles) -> Weights:
        """Weigh scores; the emissions may be overwritten.

        Args:
            emissions: ``(n, tags)``, float32 or float64.
            transitions: ``(tags, tags)``.
            start: ``(tags,)`` or ``(rows, tags)``.
            end: ``(tags,)`` or ``(rows, tags)``.
        """
        nodes, node_log, fall = _nodes(emissions)
        tags = len(transitions)
        table = np.concatenate((transitions, np.atleast_2d(start), np.atleast_2d(end)))
        greatest = table.max(1)
        greatest[:tags] = greatest[:tags].max()
        greatest[greatest == -np.inf] = 0.0  # a sentence of one token needs no transition
        table -= greatest[:, None]
        fall += _fall(table)
        np.exp(table, table)
        moves, ends = table[:tags], table[tags:]
        mass = max(moves.sum(0).max(), moves.sum(1).max(), 1.0)
        moves /= mass
        fall += float(np.log(mass))
        starts = len(start) if start.ndim == 2 else 1
        return Weights(
            nodes,
            moves,
            ends[:starts],
            ends[starts:],
            node_log,
            float(greatest[0] + np.log(mass)),
            greatest[tags : tags + starts],
            greatest[tags + starts :],
            int(FALL / max(fall, 1e-3)) if fall < np.inf else 0,
        )


def _nodes(emissions: Floats) -> tuple[Floats, Doubles, float]:
    """The weights of emissions, the log of what was divided out, and how far they fall."""
    low, high = emissions.min(), emissions.max()
    if high - low <= _NARROW:
        np.subtract(emissions, high, emissions)
        return np.exp(emissions, emissions), np.array(high, np.float64), float(high - low)
    wide = emissions.astype(np.float64)
    greatest = wide.max(1)
    wide -= greatest[:, None]
    fall = _fall(wide)
    return np.exp(wide, wide), greatest, fall


def _fall(scores: Floats) -> float:
    """How far scores of at most 0 lie below 0; infinite if they are no numbers."""
    least = scores.min()
    if least > -_CUT:
        return float(-least)
    counted = scores[~(scores <= -_CUT)]  # keeps what is no number
    least = counted.min() if counted.size else 0.0
    return float(-least) if least <= 0.0 else np.inf
