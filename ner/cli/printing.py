"""Text that may be shown on a terminal."""

from __future__ import annotations

import re
import sys

# Control characters but TAB and LF: what begins with ESC or U+009B moves the cursor, renames the
# window, or does worse. Tokens, labels and names of files may hold them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    r"""The same text, control characters written out: ``\x1b``."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def note(text: str) -> None:
    """Show a line on standard error, whatever text from outside is in it."""
    print(printable(text), file=sys.stderr)
