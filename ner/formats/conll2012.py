"""CoNLL-2012, as OntoNotes is distributed: entities are parentheses in the eleventh column.

The columns are: document, part, number, word, part of speech, parse, lemma, frameset, sense,
speaker, entity, then one for each predicate of the sentence, and coreference. A document stands
between ``#begin document`` and ``#end document``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from ner.errors import DataError
from ner.formats.columns import split
from ner.formats.documents import Boundary, Parsed, begins_document, in_documents
from ner.formats.faults import Faults
from ner.formats.lines import MAX_SENTENCE, read_blocks
from ner.formats.parentheses import Losses, parse, spell
from ner.sentence import Document, Sentence

WORD, ENTITY = 3, 10
NAMES = (
    *("document", "part", "number", "word", "pos", "parse"),
    *("lemma", "frameset", "sense", "speaker", "entity"),
)  # of the columns every line has; the arguments and coreference follow
ARGUMENTS, COREFERENCE = "arguments", "coreference"

_KEPT = tuple(place for place in range(3, len(NAMES)) if place not in (WORD, ENTITY))
_BEGIN, _END = "#begin document", "#end document"
_NAME = re.compile(r"\((.*)\);?[ \t]*(?:part[ \t]+(\d+))?")

Rows = list[tuple[int, tuple[str, ...]]]


def read(source: str | Path, *, encoding: str = "utf-8") -> Iterator[Sentence]:
    """Read the sentences of a file.

    Of nested entities the outermost are kept, and a warning says how many were not.

    Args:
        source: A path or ``"-"``.
        encoding: Of the file.

    Raises:
        DataError: Lines are not what they should be; all of them in one message, at the end.
    """
    return in_documents(_parsed(source, encoding))


def _parsed(source: str | Path, encoding: str) -> Iterator[Parsed | Boundary]:
    faults = Faults(source)
    losses = Losses(faults.path)
    for rows in _groups(source, encoding, faults):
        if isinstance(rows, Boundary):
            yield rows
            continue
        parsed = _sentence(rows, faults, losses)
        if parsed is not None and not faults.lines:
            yield parsed
    faults.check()
    losses.warn()


def _groups(source: str | Path, encoding: str, faults: Faults) -> Iterator[Rows | Boundary]:
    """The lines of each sentence, and the boundaries between documents."""
    rows: Rows = []
    number = 0
    for block in read_blocks(source, encoding=encoding, faults=faults):
        if len(rows) > MAX_SENTENCE:
            faults.refuse(number, f"no empty line in {MAX_SENTENCE:,} lines")
        for line in block:
            number += 1
            fields = split(line)
            comment = line.startswith((_BEGIN, _END))
            if rows and (comment or not fields):
                yield rows
                rows = []
            if line.startswith(_BEGIN):
                yield Boundary(_name(line.removeprefix(_BEGIN).strip(" \t")))
            elif fields and not comment:
                rows.append((number, fields))
    if rows:
        yield rows


def _name(written: str) -> str:
    """Return the name of a document and part: ``(bc/cctv/00/cctv_0000); part 000``."""
    match = _NAME.fullmatch(written)
    if match is None:
        return written
    return f"{match[1]} part {match[2]}" if match[2] else match[1]


def _sentence(rows: Rows, faults: Faults, losses: Losses) -> Parsed | None:
    width = len(rows[0][1])
    expected = width if width > ENTITY + 1 else f"at least {ENTITY + 2}"
    misfits = [row for row in rows if len(row[1]) != expected]
    for line, fields in misfits:
        shown = " ".join(fields)
        faults.add(line, f"expected {expected} columns, found {len(fields)}: {shown!r}")
    if misfits:
        return None
    values = tuple(zip(*(fields for _, fields in rows), strict=True))
    columns = {NAMES[place]: values[place] for place in _KEPT}
    columns[ARGUMENTS] = tuple(" ".join(fields[ENTITY + 1 : -1]) or "-" for _, fields in rows)
    columns[COREFERENCE] = values[-1]
    try:
        found = parse(values[ENTITY])
    except ValueError as error:
        faults.add(rows[0][0], str(error))
        return None
    for place in found.open + found.strays:
        faults.add(rows[place][0], "a parenthesis of the entity column has no partner")
    spans = losses.flat(found.spans, rows[0][0])
    return Parsed(values[WORD], spans, columns, line=rows[0][0])


def write(target: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write sentences; columns that nothing is known of are filled as OntoNotes fills them.

    A sentence nobody has annotated cannot be distinguished from one without entities.

    Raises:
        DataError: A token or a label cannot stand in such a file.
    """
    document: Document | None = None
    open_document = False
    for number, sentence in enumerate(sentences, 1):
        if begins_document(sentence, document) or not open_document:
            target.write(f"{_END}\n" if open_document else "")
            target.write(_begin(sentence) + "\n")
            open_document = True
        document = sentence.document
        try:
            lines = [_line(row) for row in _rows(sentence)]
        except ValueError as error:
            raise DataError(f"sentence {number}: {error}") from error
        target.write("\n".join(lines) + "\n\n")
    if open_document:
        target.write(f"{_END}\n")


def _begin(sentence: Sentence) -> str:
    name, part = _document(sentence)
    return f"{_BEGIN} ({name});" + (f" part {part}" if part else "")


def _document(sentence: Sentence) -> tuple[str, str]:
    """Return the document ID of a sentence, and its part."""
    name = " ".join(sentence.document.id.split()) if sentence.document else ""
    match = re.fullmatch(r"(.*) part ([0-9]+)", name)
    return (match[1], match[2]) if match else (name, "")


def _rows(sentence: Sentence) -> Iterator[Sequence[str]]:
    if not sentence.tokens:
        raise DataError("has no tokens")
    given = sentence.columns
    name, part = _document(sentence)
    entities = spell(sentence.spans or (), len(sentence))
    for place, (token, entity) in enumerate(zip(sentence.tokens, entities, strict=True)):
        row = [
            given[key][place] if key in given else "*" if key == "parse" else "-"
            for key in (*NAMES, ARGUMENTS, COREFERENCE)
        ]
        row[:3] = name.split(" ")[0] or "-", str(int(part or 0)), str(place)
        row[WORD], row[ENTITY] = token, entity
        arguments = row[ENTITY + 1].split(" ")
        yield [*row[: ENTITY + 1], *(arguments if arguments != ["-"] else ()), row[-1]]


def _line(row: Sequence[str]) -> str:
    line = " ".join(row)
    if split(line) != tuple(row) or "\n" in line or "\r" in line or line.startswith("#"):
        raise DataError(f"{row[WORD]!r} or another column holds a blank, or begins like a comment")
    return line
