"""Figures, tables and sections of a report as plain text."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

UNDEFINED = "n/a"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage, or ``n/a`` where it is undefined (``None`` or NaN)."""
    if fraction is None or math.isnan(fraction):
        return UNDEFINED
    return f"{100 * fraction:.{digits}f}"


def table(rows: Sequence[Sequence[object]], *, indent: int = 2, left: int = 1) -> list[str]:
    """Return rows as lines, the first ``left`` columns aligned left, the others right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
    lines = []
    for row in cells:
        aligned = (
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append((" " * indent + "  ".join(aligned)).rstrip())
    return lines


class Section(ABC):
    """A part of a report that is more than one score: ``print`` shows it as text."""

    __slots__ = ()

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Return its figures as JSON holds them."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return its figures as text."""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: print() shows it, as_json() has its figures>"
