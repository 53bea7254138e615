"""Lines of files as they are on disk: strict decoding, LF, CRLF or CR, compressed or not."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import glob
import gzip
import io
import lzma
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

STREAM = "-"  # standard input or standard output
SHOWN = 20  # bad lines an error lists before it counts the rest
BLOCK = 1 << 20  # bytes read at a time
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class DataError(ValueError):
    """A file does not hold what it should; each line of the message is ``path:line: ...``."""


class DataWarning(UserWarning):
    """A file was read, but something in it had to be repaired or left out."""


class Faults:
    """Collects what is wrong with a file, so that one run shows all of it.

    Attributes:
        path: What the file is called in messages.
        lines: How many lines are bad.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.lines = 0
        self._last = 0
        self._shown: list[str] = []

    def add(self, line: int, message: str) -> None:
        """Note what is wrong with a line, counted from 1."""
        if line == self._last:
            return  # one message a line
        self._last = line
        self.lines += 1
        if len(self._shown) < SHOWN:
            self._shown.append(f"{self.path}:{line}: {message}")

    def check(self) -> None:
        """Raise what has been noted, if anything.

        Raises:
            DataError: At least one line is bad; the first 20 are listed, the others counted.
        """
        if not self._shown:
            return
        more = self.lines - len(self._shown)
        tail = [f"{self.path}: and {more} more bad line{'s' * (more > 1)}"] if more else []
        raise DataError("\n".join(self._shown + tail))
