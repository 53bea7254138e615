"""Slots: one sentence a line, each token with its tag, ``flights:O to:O Rome:B-City <=> flight``.

What follows ``<=>`` is the intent of the sentence, which is in the column ``intent``; ``<NULL>``
means that it has none. A document begins with a line ``-DOCSTART- its-id``; empty lines are
ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from ner.errors import BAD_TAG
from ner.formats.columns import BOUNDARY
from ner.formats.detection import MISSING, Repairs, TagCounts, complaint, spans_of, tags_of
from ner.formats.documents import Boundary, Parsed, in_documents, write_lines
from ner.formats.lines import Faults, LineOptions, numbered, rereadable
from ner.schemes import Scheme, file_scheme_named
from ner.sentence import Origin, Sentence

ARROW = "<=>"
NO_INTENT = "<NULL>"
INTENT = "intent"

_BLANKS = re.compile("[ \\t]+")
_NO_ITEM = re.compile("[ \\t\\r\\n]")

Line = tuple[int, list[str], list[str], str]  # its number, the tokens, the tags, the intent


@dataclass(frozen=True, kw_only=True)
class SlotsOptions(LineOptions):
    """Options of the slots reader.

    Attributes:
        scheme: Tagging scheme; detected by default.
        separator: Separates a token from its tag; the last one on an item counts.
    """

    scheme: str | None = None
    separator: str = ":"

    def __post_init__(self) -> None:
        if self.scheme is not None:
            file_scheme_named(self.scheme)


OPTIONS = SlotsOptions


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file; all bad lines are reported together at the end.

    For the options see `SlotsOptions`.

    Raises:
        DataError: Lines cannot be decoded, or hold something other than a token with a tag.
    """
    given = SlotsOptions(**options)
    faults = Faults(source) if given.faults is None else given.faults
    counts = TagCounts(MISSING)
    with rereadable(source) as path:
        for item in _lines(path, given, Faults(source)):
            if not isinstance(item, Boundary):
                counts.add(item[2])
        found = counts.detect(None if given.scheme is None else file_scheme_named(given.scheme))
        repairs = Repairs(faults.path, found, counts.illegal_pairs(found.scheme))
        lines = _lines(path, given, faults)
        yield from in_documents(_parsed(lines, found.scheme, repairs, faults))
    repairs.warn()
    if given.faults is None:
        faults.check()


def _parsed(
    lines: Iterable[Line | Boundary], scheme: Scheme, repairs: Repairs, faults: Faults
) -> Iterator[Parsed | Boundary]:
    origin = Origin(path=faults.path, scheme=scheme.name)
    for item in lines:
        if isinstance(item, Boundary):
            yield item
            continue
        number, tokens, tags, intent = item
        wrong = [told for tag in tags if tag != MISSING and (told := complaint(tag, scheme))]
        if wrong:
            faults.add(number, wrong[0], BAD_TAG)
            continue
        repairs.note([number] * len(tags), tags)
        spans, unknown = spans_of(tags, scheme, MISSING)
        columns = {INTENT: (intent,) * len(tokens)} if intent else {}
        yield Parsed(
            tuple(tokens), spans, columns, unknown, number, tags=tuple(tags), origin=origin
        )


def _lines(source: str | Path, options: SlotsOptions, faults: Faults) -> Iterator[Line | Boundary]:
    separator = options.separator
    for number, text in numbered(source, options, faults):
        items = _BLANKS.split(text.strip(" \t"))
        if items[0] == BOUNDARY:
            yield Boundary(" ".join(items[1:]))
            continue
        end = items.index(ARROW) if ARROW in items else len(items)
        pairs = [item.rpartition(separator) for item in items[:end] if item]
        bad = next(("".join(one) for one in pairs if not (one[0] and one[2])), None)
        if bad is not None:
            wanted = f"'Rome{separator}B-City'"
            faults.add(number, f"expected a token and its tag, such as {wanted}, found {bad!r}")
        elif pairs:
            intent = " ".join(items[end + 1 :]).replace(NO_INTENT, "")
            yield number, [one[0] for one in pairs], [one[2] for one in pairs], intent


def write(
    file: TextIO,
    sentences: Iterable[Sentence],
    *,
    scheme: str | None = None,
    separator: str = ":",
) -> None:
    """Write one sentence a line, and a boundary line wherever another document begins.

    Args:
        file: Open file to write to.
        sentences: What to write; ``_`` is the tag of tokens nobody has annotated.
        scheme: Of the tags; BIO where none is given.
        separator: What parts a token from its tag.

    Raises:
        ValueError: A sentence has no tokens, or would not be read back the same.
    """
    chosen = file_scheme_named(scheme or "BIO")
    spell = partial(_spelled, scheme=chosen, separator=separator)
    write_lines(file, sentences, spell, lambda name: " ".join(name.split()))


def _spelled(sentence: Sentence, scheme: Scheme, separator: str) -> str:
    """The line of a sentence.

    Raises:
        ValueError: It would not be read back the same.
    """
    pairs = zip(sentence.tokens, tags_of(sentence, scheme), strict=True)
    items = [f"{token}{separator}{tag}" for token, tag in pairs]
    for item, token in zip(items, sentence.tokens, strict=True):
        whole = item.rpartition(separator)[0] == token and token
        if not whole or _NO_ITEM.search(item) or item == BOUNDARY:
            raise ValueError(
                f"the token and tag {item!r} cannot be written as a slot: one is empty or contains "
                f"a blank or a line end, or the label contains {separator!r}"
            )
    if not items:
        raise ValueError("a sentence has no tokens, which slots cannot express")
    intent = " ".join(next(iter(sentence.columns.get(INTENT, ())), "").split())
    return f"{' '.join(items)} {ARROW} {intent or NO_INTENT}"
