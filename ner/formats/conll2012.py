"""CoNLL-2012, as OntoNotes is distributed: entities are parentheses in the eleventh column.

The columns are: document, part, number, word, part of speech, parse, lemma, frameset, sense,
speaker, entity, then one for each predicate of the sentence, and coreference. A document stands
between ``#begin document`` and ``#end document``.

Spans open in parentheses at their first token and close at their last: ``(PERSON*`` and ``*)``
here, ``(1-person-new(2-place)`` and ``1)`` in CoNLL-U. `parse` reads both.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ner.errors import DataError, DataWarning
from ner.formats.columns import split
from ner.formats.documents import Boundary, Parsed, begins_document, in_documents
from ner.formats.lines import Faults, SentenceOptions, numbered
from ner.schemes import outermost
from ner.sentence import Document, Sentence, Span

_EVENT = re.compile(r"\(([^()]*)|([^()]*)\)")
_SHOWN = 80  # characters of a value that a message repeats
_NOTHING = ("_", "*", "-", "", None)  # how a token without parentheses is written


@dataclass(slots=True)
class Parentheses:
    """The parsed parentheses of a sentence.

    Attributes:
        spans: The spans, nested ones too, with what stands after the opening parenthesis as
            their label.
        open: The places of spans that do not close in the sentence.
        strays: The places of closing parentheses that nothing has opened.
    """

    spans: list[Span] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    strays: list[int] = field(default_factory=list)


def parse(values: Sequence[str | None], id_of: Callable[[str], str] = str) -> Parentheses:
    """Read the spans of a sentence.

    Args:
        values: What each token has.
        id_of: What a span's closing parenthesis calls it, given its opening one; a
            closing parenthesis that names nothing closes the span opened last.

    Raises:
        ValueError: A value is malformed; the message does not say where.
    """
    found, opened = Parentheses(), _Opened(id_of)
    for place, value in enumerate(values):
        if value is None or value in _NOTHING:
            continue
        for name, closes in _events(value):
            if not closes:
                opened.add(name, place)
            elif (opener := opened.take(name)) is None:
                found.strays.append(place)
            else:
                label, start = opener
                found.spans.append(Span(start, place + 1, label))
    found.open = opened.places()
    return found


class _Opened:
    """The spans that are open, each found at once by what closes it.

    Args:
        id_of: What a span's closing parenthesis calls it.
    """

    def __init__(self, id_of: Callable[[str], str]) -> None:
        self._id_of = id_of
        self._all: dict[int, tuple[str, int]] = {}
        self._by_id: dict[str, list[int]] = {}  # some of which may be closed already
        self._count = 0

    def add(self, name: str, place: int) -> None:
        self._all[self._count] = name, place
        self._by_id.setdefault(self._id_of(name), []).append(self._count)
        self._count += 1

    def take(self, name: str) -> tuple[str, int] | None:
        """The span of that id, or for an empty one the span, that was opened last."""
        if not name:
            return self._all.popitem()[1] if self._all else None
        numbers = self._by_id.get(name, [])
        while numbers:
            if (number := numbers.pop()) in self._all:
                return self._all.pop(number)
        return None

    def places(self) -> list[int]:
        return [place for _, place in self._all.values()]


def spell(spans: Iterable[Span], length: int) -> list[str]:
    """Write spans as CoNLL-2012 does: ``(PERSON*``, ``*``, ``*)``, ``(PERSON)``."""
    values = ["*"] * length
    for span in sorted(spans, reverse=True):
        if any(character in "()* \t\r\n" for character in span.label) or not span.label:
            raise ValueError(f"the label {span.label!r} cannot be written in parentheses")
        values[span.start] = f"({span.label}" + values[span.start]
        values[span.end - 1] += ")"
    return [value.replace("*)", ")") if value[0] == "(" else value for value in values]


def _events(value: str) -> list[tuple[str, bool]]:
    """Return the names opened and closed at a token (a close may be nameless)."""
    events, end = list[tuple[str, bool]](), 0
    while match := _EVENT.match(value, end):
        end = match.end()
        opens, closes = match.groups()
        events.append((opens.rstrip("*"), False) if closes is None else (closes.strip("*"), True))
    if end != len(value):
        raise ValueError(f"{value[:_SHOWN]!r} is not a sequence of opening and closing parentheses")
    return events


class Losses:
    """Counts the spans a flat sentence cannot hold.

    Args:
        path: What the file is called.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._nested = 0
        self._crossing = 0
        self._first = 0

    def flat(self, spans: Sequence[Span], line: int) -> tuple[Span, ...]:
        """The outermost of the spans of a sentence; the others are counted."""
        kept = outermost(spans)
        self._nested += len(spans) - len(kept)
        if len(kept) < len(spans):
            self._first = self._first or line
        return kept

    def crossing(self, number: int, line: int) -> None:
        """Count spans that go beyond their sentence."""
        self._crossing += number
        if number:
            self._first = self._first or line

    def warn(self) -> None:
        """Issue one warning of what was left out."""
        if not self._first:
            return
        parts = [
            f"{number} spans {how}"
            for number, how in (
                (self._nested, "inside or across another, of which the outermost are kept"),
                (self._crossing, "that go beyond their sentence"),
            )
            if number
        ]
        message = f"left out {', and '.join(parts)} (first in the sentence of line {self._first})"
        warning = DataWarning(message, path=self._path, count=self._nested + self._crossing)
        warnings.warn(warning, stacklevel=2)


OPTIONS = SentenceOptions

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


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file.

    Of nested entities the outermost are kept, and a warning counts the others.

    For the options see `ner.formats.lines.SentenceOptions`.

    Raises:
        DataError: Lines are malformed; all of them in one message, at the end.
    """
    return in_documents(_parsed(source, SentenceOptions(**options)))


def _parsed(source: str | Path, options: SentenceOptions) -> Iterator[Parsed | Boundary]:
    faults = Faults(source)
    losses = Losses(faults.path)
    for rows in _groups(source, options, faults):
        if isinstance(rows, Boundary):
            yield rows
            continue
        parsed = _sentence(rows, faults, losses)
        if parsed is not None and not faults.lines:
            yield parsed
    faults.check()
    losses.warn()


def _groups(
    source: str | Path, options: SentenceOptions, faults: Faults
) -> Iterator[Rows | Boundary]:
    """Yield the lines of each sentence, and the boundaries between documents."""
    rows: Rows = []
    for number, line in numbered(source, options, faults):
        fields = split(line)
        comment = line.startswith((_BEGIN, _END))
        if rows and (comment or not fields):
            yield rows
            rows = []
        if line.startswith(_BEGIN):
            yield Boundary(_name(line.removeprefix(_BEGIN).strip(" \t")))
        elif fields and not comment:
            rows.append((number, fields))
        if len(rows) > options.max_sentence:
            faults.refuse(number, f"no empty line within {options.max_sentence:,} lines")
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
        faults.add(rows[place][0], "an unmatched parenthesis in the entity column")
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
        raise DataError(
            f"{row[WORD]!r} or another column contains a blank, or begins like a comment"
        )
    return line
