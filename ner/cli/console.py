"""The output of verbs: progress on a terminal, plain lines elsewhere, and JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

STREAM = "-"  # in place of a path: standard input or output

# Control characters except TAB and LF: sequences that begin with ESC or U+009B move the cursor,
# rename the window, or do worse. Tokens, labels and file names may contain them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    r"""Return the text with control characters escaped: ``\x1b``."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def note(text: str) -> None:
    """Print a line on standard error, with control characters escaped."""
    print(printable(text), file=sys.stderr)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


class Advance(Protocol):
    """Advances a bar by an amount, with figures to show beside it."""

    def __call__(self, count: int, /, **figures: str) -> None: ...


class Progress:
    """Shows progress: a bar on a terminal, plain lines elsewhere.

    Args:
        quiet: Print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._json: str | None = None
        self._bar: Any = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Return the progress of a verb, which is quiet where standard output takes its JSON."""
        progress = cls(quiet=arguments.quiet or arguments.json == STREAM)
        progress._json = arguments.json
        return progress

    def result(self, result: Any) -> None:
        """Write the result of the verb as JSON, if ``--json`` asks for it."""
        if self._json:
            write_json(result, self._json)

    def line(self, text: str) -> None:
        """Print a line of the report, on standard output."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        print(printable(text), flush=True)
        if self._bar is not None:
            self._bar.refresh()

    @contextlib.contextmanager
    def steps(self) -> Iterator[None]:
        """Print the steps that the library logs while the block runs."""
        import logging

        log = logging.getLogger("ner")
        level, handler = log.level, logging.Handler(logging.INFO)
        handler.emit = lambda record: self.line(  # type: ignore[method-assign]
            f"{record.getMessage()} ..."
        )
        if not self.quiet:
            log.addHandler(handler)
            log.setLevel(min(level or logging.INFO, logging.INFO))
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(level)

    @contextlib.contextmanager
    def bar(self, total: int | None, title: str, unit: str, *, done: int = 0) -> Iterator[Advance]:
        """Show a bar on standard error while the block runs; its value advances it.

        ``done`` is the amount done before it starts.
        """
        if self.quiet or not sys.stderr.isatty():
            yield lambda count, /, **figures: None
            return
        from tqdm import tqdm

        with tqdm(
            total=total, desc=title, unit=f" {unit}", leave=False, unit_scale=True, initial=done
        ) as bar:

            def step(count: int, /, **figures: str) -> None:
                if figures:
                    bar.set_postfix(figures, refresh=not count)
                bar.update(count)

            self._bar = bar
            try:
                yield step
            finally:
                self._bar = None


def write_json(result: Any, path: str) -> None:
    """Write a result as JSON to a file, or to standard output if the path is ``-``."""
    write_out(json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False) + "\n", path)


def write_out(text: str, path: str) -> None:
    """Write a text to a file, or to standard output if the path is ``-``."""
    if path == STREAM:
        sys.stdout.write(text)
    else:
        from ner.storage.atomic import write_text

        write_text(Path(path), text)
