"""Which format a file without a telling name is in, by how it begins."""

from __future__ import annotations

import re
from pathlib import Path

from ner.formats.compression import broken
from ner.formats.lines import opened

SAMPLED = 4_000  # bytes looked at

_LINE = r"[^\r\n]*(?:\r\n|\r|\n)"
_BEGINNINGS = {
    "conll2012": r"\s*#begin document\b",
    "conllu": rf"# ?global\.columns\b|(?:#{_LINE})+1(?:-\d+)?(?:\t[^\t\r\n]*){{9}}(?:[\r\n]|$)",
    "jsonl": r'\s*(?:\{\s*"|\[\s*\{\s*")',
    "sgml": r"\s*<[A-Za-z!?][^<>]*>[ \t]*(?:[\r\n]|$)",
}
_TAG = re.compile(r"O|[BIESMLU]-\S+")


def sniff(path: str | Path) -> str | None:
    """The format of a file; ``None`` where its beginning is not that of one we would know."""
    try:
        with opened(path) as file:
            start = file.read(SAMPLED)
    except broken():
        return None  # the reader of whatever format says what is wrong
    text = start.decode("utf-8", "replace").removeprefix("\ufeff")
    found = (name for name, begins in _BEGINNINGS.items() if re.match(begins, text))
    return next(found, "slots" if _is_slots(text) else None)


def _is_slots(text: str) -> bool:
    """Whether all of the first line, up to an arrow, are tokens with their tags."""
    line = next(iter(text.lstrip().splitlines()), "")
    pairs = [item.rpartition(":") for item in line.partition("<=>")[0].split()]
    return bool(pairs) and all(token and _TAG.fullmatch(tag) for token, _, tag in pairs)
