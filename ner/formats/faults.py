"""Collects what is wrong with a file, so that one run shows all of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NoReturn

from ner.errors import BAD_LINE, DataError, DataWarning, Fault

STREAM = "-"  # standard input or standard output
SHOWN = 20  # bad lines an error lists before it counts the rest


class Faults:
    """The errors found in a file.

    Attributes:
        path: What the file is called in messages.
        lines: How many lines are bad.
        pardoned: How many bad lines have been read all the same.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = title(path)
        self.lines = 0
        self.pardoned = 0
        self._last = 0
        self._first: dict[int, Fault] = {}
        self._kept: list[Fault] = []  # of those pardoned

    def add(self, line: int, message: str, kind: str = BAD_LINE) -> None:
        """Note what is wrong with a line, counted from 1; one message a line is enough."""
        if line == self._last or line in self._first:
            return
        self._last = line
        self.lines += 1
        self._first[line] = Fault(self.path, line, kind, message)
        if len(self._first) > 2 * SHOWN:
            self._first = {line: self._first[line] for line in sorted(self._first)[:SHOWN]}

    def refuse(self, line: int, message: str) -> NoReturn:
        """End the reading of a file that is something else altogether.

        Raises:
            DataError: Always; what has been noted before is listed too.
        """
        self.add(line, message)
        self.check()
        raise AssertionError("what was noted has been raised")

    def pardon(self, line: int, message: str, lines: int = 1, kind: str = BAD_LINE) -> None:
        """Note what is wrong with a line that is read all the same, or with several such."""
        self.pardoned += lines
        if len(self._kept) < SHOWN:
            self._kept.append(Fault(self.path, line, kind, message))

    def warn(self, fate: str) -> None:
        """Warn once of the lines that were pardoned, if any.

        Args:
            fate: What became of them.
        """
        if self.pardoned:
            message = f"{self.pardoned} bad line{'s' * (self.pardoned > 1)}: {fate}"
            faults = sorted(self._kept, key=lambda one: one.line)
            warnings.warn(
                DataWarning(
                    message, path=self.path, kind=BAD_LINE, count=self.pardoned, faults=faults
                ),
                stacklevel=2,
            )

    def error(self) -> DataError | None:
        """Return the noted errors, if any: the first 20 bad lines, and the number of others."""
        if not self.lines:
            return None
        shown = [self._first[line] for line in sorted(self._first)[:SHOWN]]
        return DataError(*shown, more={self.path: self.lines - len(shown)})

    def check(self) -> None:
        """Raise what has been noted, if anything.

        Raises:
            DataError: At least one line is bad.
        """
        if error := self.error():
            raise error


def title(source: str | Path) -> str:
    """Return the name of a source in messages."""
    return "standard input" if source == STREAM else str(source)
