"""Where ``ner tag`` reads from: lines, what is wrong with them, and when none are coming."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

from ner.errors import BAD_LINE
from ner.formats.faults import STREAM, Faults
from ner.formats.json_values import MAX_LINE
from ner.formats.lines import read_blocks

PATIENCE = 0.05  # seconds without a line after which what was read is to be answered


class Idle:
    """Nothing is coming for now: who types, or asks line by line, waits for the answer."""


class SkippedLines(Faults):
    """What is wrong with a stream, and which lines of the block at hand are to be left out.

    Attributes:
        block: Their numbers.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.block: set[int] = set()

    def add(self, line: int, message: str, kind: str = BAD_LINE) -> None:
        super().add(line, message, kind)
        self.block.add(line)


@dataclass(slots=True)
class Source:
    """Where a stream comes from, and what becomes of lines that cannot be read.

    Attributes:
        path: A path, or ``-``.
        skip: Whether bad lines are left out, and said at the end, instead of raised.
        tokenizer: Of texts, see ``ner.streaming.tokenizers``.
        encoding: Of the bytes.
        skipped: How many were left out.
    """

    path: str
    skip: bool = False
    tokenizer: str = "builtin"
    encoding: str = "utf-8"
    skipped: int = 0
    _faults: SkippedLines = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._faults = SkippedLines(self.path)

    def lines(self) -> Iterator[tuple[int, str] | Idle]:
        """The lines that can be decoded, and their numbers from 1; `Idle` where it waits."""
        number = 0
        blocks = read_blocks(
            self.path, encoding=self.encoding, faults=self._faults, max_line=MAX_LINE
        )
        while True:
            if self.path == STREAM and _is_silent(sys.stdin):
                yield Idle()
            block = next(blocks, None)
            if block is None:
                break
            if self._faults.lines and not self.skip:
                self._faults.check()
            for line in block:
                number += 1
                if number not in self._faults.block:
                    yield number, line
            self._faults.block.clear()
        self.skipped = self._faults.lines

    def bad(self, number: int, message: str) -> None:
        """Note a line that cannot be tagged.

        Raises:
            DataError: Bad lines are not to be skipped.
        """
        self._faults.add(number, message)
        self.skipped = self._faults.lines
        if not self.skip:
            self._faults.check()

    def told(self) -> str:
        """What is wrong with the lines left out, or nothing."""
        return str(self._faults.error() or "")


def _is_silent(stream: TextIO) -> bool:
    """Whether nothing comes for a while; never so where that cannot be told."""
    try:
        return not select.select([stream], [], [], PATIENCE)[0]
    except (OSError, ValueError):  # it has no descriptor, or is no socket, on Windows
        return False
