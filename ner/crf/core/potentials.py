"""Potentials: the exponentials of scores, with what was divided out of them kept in logs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

FALL = 250.0  # the most that potentials may fall between two scalings, in logs
_CUT = 650.0  # a score so far below the greatest weighs nothing (such as a penalty of -1e4)
_NARROW = 60.0  # emissions within this range need no maximum per token


@dataclass(frozen=True, slots=True)
class Potentials:
    """The potentials of transitions, and the logs of what was divided out of all potentials.

    moves: ``(tags, tags)``, no row or column sum over 1. start, end: ``(tags,)``.
    node_log: scalar or ``(n,)``. move_log, start_log, end_log: scalars.
    every: the number of steps that need no scaling; 0 where not even one goes without.
    """

    moves: Doubles
    start: Doubles
    end: Doubles
    node_log: Doubles
    move_log: float
    start_log: float
    end_log: float
    every: int

    @staticmethod
    def of(nodes: Doubles, transitions: Doubles, start: Doubles, end: Doubles) -> Potentials:
        """Exponentiate scores.

        Args:
            nodes: The emissions, ``(n, tags)``; they are overwritten by their potentials.
            transitions: ``(tags, tags)``.
            start: ``(tags,)``.
            end: ``(tags,)``.
        """
        node_log, fall = _nodes(nodes)
        tags = len(transitions)
        table = np.concatenate((transitions, start[None], end[None]))
        greatest = table.max(1)
        greatest[:tags] = greatest[:tags].max()
        greatest[greatest == -np.inf] = 0.0  # a sentence of one token needs no transition
        table -= greatest[:, None]
        fall += _fall(table)
        np.exp(table, table)
        moves = table[:tags]
        # with no row or column sum over 1, a step never lets the messages grow
        mass = max(moves.sum(0).max(), moves.sum(1).max(), 1.0)
        moves /= mass
        fall += float(np.log(mass))
        return Potentials(
            moves,
            table[tags],
            table[tags + 1],
            node_log,
            float(greatest[0] + np.log(mass)),
            float(greatest[tags]),
            float(greatest[tags + 1]),
            int(FALL / max(fall, 1e-3)) if fall < np.inf else 0,
        )


def _nodes(nodes: Doubles) -> tuple[Doubles, float]:
    """Exponentiate emissions; return the log of what was divided out, and how far they fall."""
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
    """Return how far scores of at most 0 lie below 0; infinity if they are NaN."""
    least = scores.min()
    if least > -_CUT:
        return float(-least)
    counted = scores[~(scores <= -_CUT)]  # keeps NaN
    least = counted.min() if counted.size else 0.0
    return float(-least) if least <= 0.0 else np.inf
