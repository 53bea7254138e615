"""Slots: one sentence a line, each token with its tag, ``flights:O to:O Rome:B-City <=> flight``.

What follows ``<=>`` is the intent of the sentence, which is in the column ``intent``; ``<NULL>``
is none. A document begins with a line ``-DOCSTART- its-id``; empty lines are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from ner.errors import BAD_TAG
from ner.formats.detection import Repairs, TagCounts, complaint
from ner.formats.documents import Boundary, Parsed, begins_document, in_documents, tags_of
from ner.formats.lines import Faults, read_blocks, rereadable
from ner.formats.records import MISSING
from ner.schemes import OUTSIDE, Scheme, file_scheme_named
from ner.sentence import Document, Origin, Sentence

BOUNDARY = "-DOCSTART-"
ARROW = "<=>"
NO_INTENT = "<NULL>"
INTENT = "intent"

_BLANKS = re.compile("[ \\t]+")
_NO_ITEM = re.compile("[ \\t\\r\\n]")

Line = tuple[int, list[str], list[str], str]  # its number, the tokens, the tags, the intent


def read(
    source: str | Path,
    *,
    encoding: str = "utf-8",
    scheme: str | None = None,
    separator: str = ":",
    faults: Faults | None = None,
) -> Iterator[Sentence]:
    """Read the sentences of a file; all bad lines are reported together at the end.

    Args:
        source: A path or ``"-"``.
        encoding: Of the file.
        scheme: Of the tags; without it the file tells.
        separator: What parts a token from its tag, the last time it stands there.
        faults: Where bad lines are noted instead of raised.

    Raises:
        DataError: Lines cannot be decoded, or hold something that is no token with a tag.
        ValueError: There is no such scheme.
    """
    noted = Faults(source) if faults is None else faults
    chosen = None if scheme is None else file_scheme_named(scheme)
    counts = TagCounts(MISSING)
    with rereadable(source) as path:
        for item in _lines(path, encoding, separator, Faults(source)):
            if not isinstance(item, Boundary):
                counts.add(item[2])
        found = counts.detect(chosen)
        repairs = Repairs(noted.path, found, counts.illegal_pairs(found.scheme))
        lines = _lines(path, encoding, separator, noted)
        yield from in_documents(_parsed(lines, found.scheme, repairs, noted))
    repairs.warn()
    if faults is None:
        noted.check()


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
        unknown = frozenset(place for place, tag in enumerate(tags) if tag == MISSING)
        spans, columns = None, {INTENT: (intent,) * len(tokens)} if intent else {}
        if len(unknown) < len(tokens):
            spans = scheme.decode([OUTSIDE if tag == MISSING else tag for tag in tags])
        else:
            unknown = frozenset()
        yield Parsed(
            tuple(tokens), spans, columns, unknown, number, tags=tuple(tags), origin=origin
        )


def _lines(
    source: str | Path, encoding: str, separator: str, faults: Faults
) -> Iterator[Line | Boundary]:
    number = 0
    for block in read_blocks(source, encoding=encoding, faults=faults):
        for text in block:
            number += 1
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
        file: An open text.
        sentences: What to write; ``_`` is the tag of tokens nobody has annotated.
        scheme: Of the tags; BIO where none is given.
        separator: What parts a token from its tag.

    Raises:
        ValueError: A sentence has no tokens, or would not be read back the same.
    """
    chosen = file_scheme_named(scheme or "BIO")
    before: Document | None = None
    for number, sentence in enumerate(sentences):
        document = sentence.document
        text = ""
        if (document is None and before is not None) or begins_document(sentence, before):
            name = " ".join(document.id.split()) if document else ""
            text = f"{BOUNDARY} {name}".rstrip() + "\n"
        before = document
        text += _spelled(sentence, chosen, separator) + "\n"
        if number == 0 and text.startswith("\ufeff"):
            file.write("\ufeff")  # a reader takes the first one for a byte order mark
        file.write(text)


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
                f"the token and tag {item!r} cannot be written as a slot: one is empty, holds a "
                f"blank or a line end, or the label holds {separator!r}"
            )
    if not items:
        raise ValueError("a sentence has no tokens; slots cannot write that")
    intent = " ".join(next(iter(sentence.columns.get(INTENT, ())), "").split())
    return f"{' '.join(items)} {ARROW} {intent or NO_INTENT}"
