"""CoNLL: one token a line with its tag, an empty line after each sentence.

Reads what CoNLL-2002, CoNLL-2003 and their many relatives put on disk; ``docs/formats.md`` has
the rules. A file is read twice: a quick pass finds its columns, its scheme and everything that
is wrong with it, before the second one gives the first sentence. Standard input and pipes are
first copied to a temporary file, unless they are read without tags.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ner.formats.columns import BOUNDARY, Aside, Columns, Fields, Layout, Lines
from ner.formats.detection import Detection, TagCounts, complaint
from ner.formats.lines import DataError, DataWarning, Faults, rereadable, title
from ner.formats.table import Options, Piece, Table, comment_hint
from ner.schemes import OUTSIDE, Scheme, scheme_named
from ner.sentence import Document, Sentence, Span

DOCUMENT_TOKENS = 100_000  # a longer document is given in parts, so that memory stays bounded
FIRST = 3  # repaired tags that a warning shows

_FILLING = {"-X-", "X", "O", "_", "-", "", BOUNDARY}  # in the columns of a boundary line


class Part(Document):
    """A further part of a document that was too long to be given as one."""


class Parsed(NamedTuple):
    """What a sentence is made of, before its document is known."""

    tokens: tuple[str, ...]
    spans: tuple[Span, ...] | None
    columns: Columns
    unknown: frozenset[int]
    line: int


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file.

    Args:
        source: A path or ``"-"``.
        options: See `Options`.

    Raises:
        DataError: Lines are not what they should be; all of them in one message.
    """
    return iter(Reader(source, **options))


def detect_scheme(source: str | Path, **options: Any) -> Detection:
    """The scheme of a file, how sure that is, and its tags.

    Raises:
        DataError: As `read`.
    """
    return Reader(source, **options).detection


class Reader:
    """A file of columns; each ``iter`` reads it anew.

    Args:
        source: A path or ``"-"``, which can be read only once.
        options: See `Options`.

    Attributes:
        options: How it is read.
    """

    def __init__(self, source: str | Path, **options: Any) -> None:
        self.options = Options(**options)
        self._source = source
        self._detection: Detection | None = None
        self._illegal: frozenset[tuple[str, str]] = frozenset()
        self._scheme = scheme_named(self.options.scheme) if self.options.scheme else None

    @property
    def detection(self) -> Detection:
        """The scheme of the tags, and what speaks for it; reads the file once."""
        if self._detection is None:
            with rereadable(self._source) as path:
                return self._survey(path)
        return self._detection

    @property
    def scheme(self) -> Scheme:
        """The scheme of the tags."""
        return self.detection.scheme

    def __iter__(self) -> Iterator[Sentence]:
        if not self.options.tagged:
            return _in_documents(self._parse(self._source))
        return self._twice()

    def _twice(self) -> Iterator[Sentence]:
        with rereadable(self._source) as path:
            self._survey(path)
            yield from _in_documents(self._parse(path))

    def _survey(self, path: str | Path) -> Detection:
        """Find the scheme, and everything that is wrong."""
        if self._detection is not None:
            return self._detection
        faults = Faults(self._source)
        table = Table(faults.path, self.options)
        counts = TagCounts(self.options.missing)
        met: dict[str, int] = {OUTSIDE: 0, self.options.missing: 0}  # where each tag stands first
        for piece in table.pieces(path, faults):
            if not isinstance(piece, Aside):
                _refuse_empty(piece, table.layout.token, faults)
                tags = self._tags(piece, table.layout)
                if not met.keys() >= set(tags):
                    _meet(piece, tags, met, faults)
                counts.add(tags)
        found = counts.detect(self._scheme)
        for tag, line in met.items():
            if line and (wrong := complaint(tag, found.scheme)):
                faults.add(line, wrong)
        faults.check()
        self._illegal = counts.illegal_pairs(found.scheme)
        self._detection = found
        return found

    def _tags(self, piece: Piece, layout: Layout) -> list[str]:
        place = layout.tag
        tags = [row[place] for row in piece.rows] if place is not None else []
        mapped = self.options.tag_map
        return [mapped.get(tag, tag) for tag in tags] if mapped else tags

    def _parse(self, path: str | Path) -> Iterator[Parsed | Aside]:
        """The sentences of a file and the boundaries between its documents."""
        faults = Faults(self._source)
        table = Table(faults.path, self.options)
        repairs = Repairs(faults.path, self._detection, self._illegal)
        layout: Layout | None = None
        for piece in table.pieces(path, faults):
            if isinstance(piece, Aside):
                yield piece
                continue
            if layout is None:
                layout = replace(table.layout, scheme=repairs.scheme and repairs.scheme.name)
            _refuse_empty(piece, layout.token, faults)
            if not faults.lines:
                yield self._parsed(piece, layout, repairs)
        faults.check()
        repairs.warn()

    def _parsed(self, piece: Piece, layout: Layout, repairs: Repairs) -> Parsed:
        values = tuple(zip(*piece.rows, strict=True))
        others = [
            (name, values[place])
            for place, name in enumerate(layout.names)
            if place not in (layout.token, layout.tag)
        ]
        tokens, line = values[layout.token], piece.lines[0]
        if layout.tag is None or repairs.scheme is None:
            return Parsed(tokens, None, Columns(others, layout, None), frozenset(), line)
        columns = Columns(others, layout, values[layout.tag])
        tags, missing = self._tags(piece, layout), self.options.missing
        repairs.note(piece, tags)
        if missing not in tags:
            return Parsed(tokens, repairs.scheme.decode(tags), columns, frozenset(), line)
        unknown = frozenset(place for place, tag in enumerate(tags) if tag == missing)
        if len(unknown) == len(tags):
            return Parsed(tokens, None, columns, frozenset(), line)
        known = [OUTSIDE if tag == missing else tag for tag in tags]
        return Parsed(tokens, repairs.scheme.decode(known), columns, unknown, line)


class Repairs:
    """Counts the tags that may not stand where they stand.

    Args:
        path: What the file is called.
        detection: Its scheme; ``None`` in a file without tags.
        illegal: The pairs of tags that may not follow each other.
    """

    def __init__(
        self, path: str, detection: Detection | None, illegal: frozenset[tuple[str, str]]
    ) -> None:
        self.scheme = detection.scheme if detection else None
        self._path = path
        self._illegal = illegal
        self._number = 0
        self._first: list[str] = []

    def note(self, piece: Piece, tags: Sequence[str]) -> None:
        """Look for tags of a sentence that need repair."""
        if not self._illegal:
            return
        for place, (before, after) in enumerate(pairwise(chain((OUTSIDE,), tags, (OUTSIDE,)))):
            if (before, after) in self._illegal:
                self._number += 1
                if len(self._first) < FIRST:
                    line = piece.lines[min(place, len(tags) - 1)]
                    end = "the end" if place == len(tags) else repr(after)
                    start = "the start" if place == 0 else repr(before)
                    self._first.append(f"line {line} ({end} after {start})")

    def warn(self) -> None:
        """Say in one warning what has been repaired."""
        if not self._number or self.scheme is None:
            return
        more = ", ..." if self._number > len(self._first) else ""
        warnings.warn(
            f"{self._path}: repaired {self._number} tag{'s' * (self._number > 1)} that "
            f"{self.scheme.name} does not allow there, as conlleval does: "
            f"{', '.join(self._first)}{more}",
            DataWarning,
            stacklevel=2,
        )


def _meet(piece: Piece, tags: Sequence[str], met: dict[str, int], faults: Faults) -> None:
    """Note where tags stand first, and those that no scheme has."""
    for line, row, tag in zip(piece.lines, piece.rows, tags, strict=True):
        if tag in met:
            continue
        wrong = complaint(tag)
        if wrong is None:
            met[tag] = line
        else:
            faults.add(line, wrong + comment_hint(" ".join(row)))


def _refuse_empty(piece: Piece, place: int, faults: Faults) -> None:
    """Note tokens of no characters, which a line that begins with a TAB has."""
    tokens = [row[place] for row in piece.rows]
    if "" in tokens:
        for line, token in zip(piece.lines, tokens, strict=True):
            if not token:
                faults.add(line, "the token is empty")


def _in_documents(parsed: Iterable[Parsed | Aside]) -> Iterator[Sentence]:
    """Sentences that know their document, of which one at a time is held in memory."""
    make: type[Document] | None = None  # what to make of the sentences held; None: no document
    held: list[Parsed] = []
    name, tokens = "", 0
    for item in parsed:
        if isinstance(item, Aside):
            yield from _together(held, make, name)
            make, held, tokens, name = Document, [], 0, _id(item.boundary or ())
        elif make is None:
            yield Sentence(*item[:4], line=item.line)
        else:
            held.append(item)
            tokens += len(item.tokens)
            if tokens >= DOCUMENT_TOKENS:
                yield from _together(held, make, name)
                make, held, tokens = Part, [], 0
    yield from _together(held, make, name)


def _together(held: Sequence[Parsed], make: type[Document] | None, name: str) -> Iterator[Sentence]:
    if make is None or not held:
        return
    document = make(tuple(parsed.tokens for parsed in held), name)
    for position, parsed in enumerate(held):
        yield Sentence(*parsed[:4], document, position, parsed.line)


def _id(fields: Fields) -> str:
    """What a boundary line calls its document, if it is more than filling."""
    return "" if set(fields) <= _FILLING else " ".join(fields)
