"""Scores as weights: their exponentials, with what is divided out kept in logs; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

FALL = 250.0  # by the logs of so much at most may weights fall between two scalings
_CUT = 650.0  # a score so far below the greatest weighs nothing (such as a penalty of -1e4)
_NARROW = 60.0  # emissions within this range need no maximum per token


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of transitions, and the logs of what was divided out of all weights.

    moves: ``(tags, tags)``, no row or column sum over 1. start, end:
    ``(1 or rows, tags)``. node_log: scalar or ``(n,)``. start_log, end_log: ``(1 or rows,)``.
    every: the number of steps that need no scaling; 0 where not even one goes without.
    """

    moves: Doubles
    start: Doubles
    end: Doubles
    node_log: Doubles
    move_log: float
    start_log: Doubles
    end_log: Doubles
    every: int

    @staticmethod
    def of(nodes: Doubles, transitions: Doubles, start: Doubles, end: Doubles) -> Weights:
        """Weigh scores.

        Args:
            nodes: The emissions, ``(n, tags)``; they are overwritten by their weights.
            transitions: ``(tags, tags)``.
            start: ``(tags,)`` or ``(rows, tags)``.
            end: ``(tags,)`` or ``(rows, tags)``.
        """
        node_log, fall = _nodes(nodes)
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
            moves,
            ends[:starts],
            ends[starts:],
            node_log,
            float(greatest[0] + np.log(mass)),
            greatest[tags : tags + starts],
            greatest[tags + starts :],
            int(FALL / max(fall, 1e-3)) if fall < np.inf else 0,
        )


def _nodes(nodes: Doubles) -> tuple[Doubles, float]:
    """Turn emissions into weights; the log of what was divided out, and how far they fall."""
    low, high = nodes.min(), nodes.max()
    if high - low <= _NARROW:
        nodes -= high
        np.exp(nodes, nodes)
        return np.array(high), float(high - low)
    greatest: Doubles = nodes.max(1)
    nodes -= greatest[:, None]
    fall = _fall(nodes)
    np.exp(nodes, nodes)
    return greatest, fall


def _fall(scores: Doubles) -> float:
    """How far scores of at most 0 lie below 0; infinite if they are no numbers."""
    least = scores.min()
    if least > -_CUT:
        return float(-least)
    counted = scores[~(scores <= -_CUT)]  # keeps what is no number
    least = counted.min() if counted.size else 0.0
    return float(-least) if least <= 0.0 else np.inf
