"""Figures and tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence

UNDEFINED = "n/a"


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction in per cent, or ``n/a`` where it is undefined."""
    return UNDEFINED if fraction is None else f"{100 * fraction:.{digits}f}"


def table(rows: Sequence[Sequence[object]], *, indent: int = 2) -> list[str]:
    """Rows as lines, the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)] if cells else []
    lines = []
    for row in cells:
        first, *others = (
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append((" " * indent + "  ".join([first, *others])).rstrip())
    return lines
