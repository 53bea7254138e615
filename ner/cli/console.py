"""What the verbs share: progress on a terminal, lines elsewhere, figures, JSON."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ner.storage import write_text

Step = Callable[[int], None]


class Progress:
    """Tells how far the work is: a bar on a terminal, only the lines elsewhere.

    Args:
        quiet: Tell nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def line(self, text: str) -> None:
        """Print a line of the report, on standard output."""
        if not self.quiet:
            print(text, flush=True)

    @contextlib.contextmanager
    def bar(self, total: int | None, title: str, unit: str) -> Iterator[Step]:
        """A bar on standard error while the block runs; its value takes how much is done."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda count: None
            return
        from tqdm import tqdm

        with tqdm(total=total, desc=title, unit=f" {unit}", leave=False, unit_scale=True) as bar:
            yield lambda count: bar.update(count) and None


def percent(fraction: float | None) -> str:
    """A fraction in per cent with two decimals, ``n/a`` where it is undefined."""
    if fraction is None or math.isnan(fraction):
        return "  n/a"
    return f"{100 * fraction:5.2f}"


def write_json(result: Any, path: str) -> None:
    """Write a result as JSON to a file, or to standard output where the path is ``-``."""
    text = json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        write_text(Path(path), text)
