"""Which format a file without a telling name is in, by how it begins."""

from __future__ import annotations

import re
from pathlib import Path

from ner.formats.compression import broken
from ner.formats.lines import opened

SAMPLED = 4_000  # bytes looked at

_LINE = r"[^\r\n]*(?:\r\n|\r|\n)"
_SLOT = r"\S+:(?:O|[BIESMLU]-\S+)"
_BEGINNINGS = {
    "conll2012": r"\s*#begin document\b",
    "conllu": rf"# ?global\.columns\b|(?:#{_LINE})+1(?:-\d+)?(?:\t[^\t\r\n]*){{9}}(?:[\r\n]|$)",
    "jsonl": r'\s*(?:\{\s*"|\[\s*\{\s*")',
    "sgml": r"\s*<[A-Za-z!?][^<>]*>[ \t]*(?:[\r\n]|$)",
    "slots": rf"\s*{_SLOT}(?:[ \t]+{_SLOT})*[ \t]*(?:<=>|[\r\n]|$)",
}


def sniff(path: str | Path) -> str | None:
    """The format of a file; ``None`` where its beginning is not that of one we would know."""
    try:
        with opened(path) as file:
            start = file.read(SAMPLED)
    except broken():
        return None  # the reader of whatever format says what is wrong
    text = start.decode("utf-8", "replace").removeprefix("\ufeff")
    return next((name for name, begins in _BEGINNINGS.items() if re.match(begins, text)), None)
