"""CoNLL: one token a line with its tag, an empty line after each sentence.

Reads what CoNLL-2002, CoNLL-2003 and their many relatives put on disk; ``docs/formats.md`` has
the rules. A file is read twice: a quick pass finds its columns, its scheme and everything that
is wrong with it, before the second one gives the first sentence. (A file of up to half a
million tokens is held in between instead; memory does not grow beyond that.) Standard input
and pipes are first copied to a temporary file, unless they are read without tags.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ner.errors import BAD_TAG, DataError, DataWarning
from ner.formats.advice import REMARKED, advice_on, remarks, sampled
from ner.formats.columns import (
    BOUNDARY,
    NO_COLUMNS,
    Aside,
    ColumnLayout,
    Columns,
    Cut,
    Fields,
    Lines,
    Numbering,
    columns_of,
)
from ner.formats.detection import (
    NONE,
    Detection,
    Repairs,
    TagCounts,
    complaint,
    spans_of,
    tags_of,
)
from ner.formats.documents import Boundary, Parsed, begins_document, in_documents
from ner.formats.lines import Faults, rereadable, taken, title
from ner.formats.table import (
    FATE,
    REFUSE,
    Piece,
    Skip,
    Table,
    TableOptions,
    comment_hint,
    options_from,
    refuse_empty,
)
from ner.options import check_options, parameters_of
from ner.schemes import IO, OUTSIDE, Scheme, file_scheme_named
from ner.sentence import Document, Sentence, check_column

OPTIONS = TableOptions
SAME, PLAIN = "same", "plain"  # layouts that can be written
MERGED = "scheme IO cannot separate adjacent entities of one label; they are read as one"
HELD = 500_000  # tokens of a file that is cut into lines only once

_FILLING = {"-X-", "X", "O", "_", "-", "", BOUNDARY}  # in the columns of a boundary line


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file.

    For the options see `TableOptions`.

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
        options: See `TableOptions`.

    Attributes:
        options: How it is read.
    """

    def __init__(self, source: str | Path, **options: Any) -> None:
        check_options(options, parameters_of(TableOptions), "the conll reader")
        self.options = options_from(**options)
        self._source = source
        self._table = Table(title(source), self.options)
        self._detection: Detection | None = None
        self._illegal: frozenset[tuple[str, str]] = frozenset()
        self._open = True  # whether tokens may be unannotated
        # what the first pass saw of a file of modest size
        self._held: deque[Piece | Aside] = deque()
        self._seen = 0  # tokens that it saw in pieces
        self._scheme: Scheme | None = None
        if self.options.scheme is not None:
            self._scheme = file_scheme_named(self.options.scheme)
        self._tag_map = dict(self.options.tag_map)
        self._bad: dict[str, str] = {}  # invalid tags, to be read as missing

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
            return in_documents(self._parse(self._source))
        return self._twice()

    def _twice(self) -> Iterator[Sentence]:
        with rereadable(self._source) as path:
            self._survey(path)
            yield from in_documents(self._parse(path))

    def _survey(self, path: str | Path) -> Detection:
        """Find the scheme, and everything that is wrong."""
        if self._detection is not None:
            return self._detection
        faults, numbering = Faults(self._source), Numbering()
        counts = TagCounts(self.options.missing)
        met: dict[str, int] = {OUTSIDE: 0, self.options.missing: 0}  # where each tag stands first
        table, mapped, known = self._table, self._tag_map, met.keys()
        skip = self._skipping(counts, numbering, known)
        for piece in self._kept(table.pieces(path, faults, skip)):
            if numbering.going:
                numbering.add(piece.tokens)
            if table.hollow:
                refuse_empty(piece, faults)
            tags = [mapped.get(tag, tag) for tag in piece.tags] if mapped else piece.tags
            if not known >= set(tags):
                self._meet(piece, tags, met, faults)
                tags = [self._bad.get(tag, tag) for tag in tags]
            counts.add(tags)
        found = self._settled(counts, met, faults)
        self._check(path, faults)
        self._detection = found
        faults.warn(FATE)
        self._tag_map |= self._bad
        self._illegal = counts.illegal_pairs(found.scheme)
        self._open = bool(self._bad) or self.options.missing in found.tags
        remark = numbering.remark()
        for told in filter(None, (remark, *self._remarks())):
            warnings.warn(DataWarning(told, path=faults.path), stacklevel=2)
        return found

    def _skipping(self, counts: TagCounts, numbering: Numbering, known: Set[str]) -> Skip:
        """Return what counts the tags of many sentences at once, where no more is to do."""

        def skip(cut: Callable[[], Cut | None]) -> int | None:
            if self._seen <= HELD or numbering.going or self._tag_map:
                return 0
            found = cut()
            if found is None:
                return None
            if not (found.tags and known >= set(found.tags)):
                return 0
            counts.add(found.tags, found.sentences)
            return len(found.tags)

        return skip

    def _check(self, path: str | Path, faults: Faults) -> None:
        """Raise what is wrong with the file: in one line where that shows what to set."""
        if not faults.lines:
            return
        if self.options.bad_lines == REFUSE and self._scheme is None:
            for found in advice_on(path, self.options, bad=True):
                Faults(self._source).refuse(*found)
        faults.check()

    def _remarks(self) -> Iterable[str]:
        """Yield remarks on a file without errors."""
        if self._detection is not None and self._detection.scheme is IO:
            yield MERGED
        given = sampled(self._table.opening.split("\n", REMARKED)[:REMARKED], self.options)
        if given is not None:
            yield from remarks(given, self.options)

    def _settled(self, counts: TagCounts, met: dict[str, int], faults: Faults) -> Detection:
        """The scheme of all tags; invalid ones are reported with all other errors."""
        found = counts.detect(self._scheme)
        for tag, line in met.items():
            if line and (wrong := complaint(tag, found.scheme)):
                self._fault(tag, line, wrong, faults, found.tags[tag])
        return found

    def _kept(self, pieces: Iterable[Piece | Aside]) -> Iterator[Piece]:
        """The sentences among the pieces, all of which are held if they are not too many."""
        self._held.clear()
        self._seen = 0
        for piece in pieces:
            if self._seen <= HELD:
                self._held.append(piece)
            if not isinstance(piece, Aside):
                self._seen += len(piece.lines)
                yield piece
        if self._seen > HELD:
            self._held.clear()

    def _meet(self, piece: Piece, tags: Sequence[str], met: dict[str, int], faults: Faults) -> None:
        """Note where tags stand first, and those that no scheme has."""
        rows = zip(*columns_of(piece.whole), strict=True)
        for line, row, tag in zip(piece.lines, rows, tags, strict=True):
            if tag in met:
                continue
            wrong = complaint(tag, self._scheme if self._scheme is IO else None)
            if wrong is None:
                met[tag] = line
            else:
                self._fault(tag, line, wrong + comment_hint(" ".join(row)), faults)

    def _fault(self, tag: str, line: int, wrong: str, faults: Faults, times: int = 1) -> None:
        """Note a bad tag, which counts as missing annotation where bad lines do."""
        if self.options.bad_lines == REFUSE:
            faults.add(line, wrong, BAD_TAG)
        else:
            faults.pardon(line, wrong, times, BAD_TAG)
            self._bad[tag] = self.options.missing

    def _parse(self, path: str | Path) -> Iterator[Parsed | Boundary]:
        """The sentences of a file and the boundaries between its documents."""
        faults, table = Faults(self._source), self._table
        repairs = Repairs(faults.path, self._detection, self._illegal)
        layout: ColumnLayout | None = None
        pieces = taken(self._held) if self._held else table.pieces(path, faults)
        for piece in pieces:
            if isinstance(piece, Aside):
                yield Boundary(_id(piece.boundary or ()))
                continue
            if layout is None:
                scheme = repairs.scheme.name if repairs.scheme else None
                layout = replace(table.layout, path=faults.path, scheme=scheme)
            if table.hollow and self._detection is None:
                refuse_empty(piece, faults)
            if not faults.lines:
                yield self._parsed(piece, layout, repairs)
        faults.check()
        if self._detection is None:
            faults.warn(FATE)
        repairs.warn()

    def _parsed(self, piece: Piece, layout: ColumnLayout, repairs: Repairs) -> Parsed:
        tokens, line = piece.tokens, piece.lines[0]
        raw = None if layout.tag is None else piece.tags
        columns = Columns(piece.whole, layout.others) if layout.others else NO_COLUMNS
        origin = (None, None, raw, layout)
        if raw is None or repairs.scheme is None:
            return Parsed(tokens, None, columns, NONE, line, *origin)
        tags = [self._tag_map.get(tag, tag) for tag in raw] if self._tag_map else raw
        if self._illegal:
            repairs.note(piece.lines, tags)
        if self._open:
            spans, unknown = spans_of(tags, repairs.scheme, self.options.missing)
        else:
            spans, unknown = repairs.scheme.decode(tags), NONE
        return Parsed(tokens, spans, columns, unknown, line, *origin)


def _id(fields: Fields) -> str:
    """Return the document ID that a boundary line gives, unless it is a placeholder."""
    return "" if set(fields) <= _FILLING else " ".join(fields)


def write(
    target: TextIO,
    sentences: Iterable[Sentence],
    *,
    scheme: str | None = None,
    separator: str | None = None,
    missing: str = "_",
    layout: str = SAME,
) -> None:
    """Write sentences as lines of columns, an empty line after each.

    Sentences that come from a file of columns are written as they stood in it: the same columns
    in the same order, the same separator, the same scheme. Others have the token first, then
    their other columns, then the tag, separated by TABs. A boundary line goes before each document.

    Args:
        target: Open file to write to.
        sentences: Sentences to write.
        scheme: How tags are written, whatever the sentences come from.
        separator: What parts the columns, a TAB or a blank.
        missing: The tag of tokens that nobody has annotated.
        layout: ``same``, or ``plain``: the token first and the tag last, without a header,
            wherever they stood, so that no option is needed to read it.

    Raises:
        ValueError: ``layout`` is neither.
        DataError: Something cannot be written so that it is read back the same.
    """
    if layout not in (SAME, PLAIN):
        raise ValueError(f"layout must be {SAME} or {PLAIN}, got {layout!r}")
    chosen, lines = file_scheme_named(scheme or "BIO"), Lines(separator or "\t")
    first: ColumnLayout | None = None
    document: Document | None = None
    for number, sentence in enumerate(sentences, 1):
        own = _layout(sentence, separator, plain=layout == PLAIN)
        if first is None:
            first, lines = own, Lines(own.separator)
            chosen = file_scheme_named(scheme or own.scheme or "BIO")
            if own.header:
                target.write(lines[own.names] + "\n")
        try:
            _check_same(own.names, first.names)
            text = [lines[row] for row in _rows(sentence, first, chosen, missing)]
        except ValueError as error:
            raise DataError(f"sentence {number}: {error}") from error
        if begins_document(sentence, document):
            text = [_boundary(sentence, first), "", *text]
        document = sentence.document
        if number == 1 and text[0].startswith("\ufeff"):
            target.write("\ufeff")  # a reader takes the first one for a byte order mark
        target.write("\n".join(text) + "\n\n")


def _check_same(names: tuple[str, ...], before: tuple[str, ...]) -> None:
    if names != before:
        raise DataError(
            f"has the columns {', '.join(names)}, but earlier sentences have {', '.join(before)}"
        )


def _layout(sentence: Sentence, separator: str | None, *, plain: bool) -> ColumnLayout:
    """Return the columns of a sentence in its file, or those it would be written with."""
    layout = sentence.origin
    if not isinstance(layout, ColumnLayout):
        names = ("token", *sentence.columns, "tag")
        layout = ColumnLayout(names, 0, len(names) - 1, "\t")
    elif layout.tag is None and sentence.spans is not None:  # found by somebody since
        layout = replace(layout, names=(*layout.names, "tag"), tag=len(layout.names))
    if plain:
        tag = () if layout.tag is None else (layout.names[layout.tag],)
        names = (layout.names[layout.token], *layout.others, *tag)
        last = len(names) - 1 if tag else None
        layout = replace(layout, names=names, token=0, tag=last, header=False)
    return layout if separator is None else replace(layout, separator=separator)


def _rows(
    sentence: Sentence, layout: ColumnLayout, scheme: Scheme, missing: str
) -> Iterable[tuple[str, ...]]:
    """The fields of each line of a sentence."""
    if not all(sentence.tokens):
        raise DataError("a token is empty")
    if not sentence.tokens:
        raise DataError("has no tokens")
    if not all(span.label for span in sentence.spans or ()):
        raise DataError("a label is empty")
    for name in layout.others:
        check_column(name, sentence.columns[name], len(sentence))
    special: dict[int | None, Sequence[str]] = {
        layout.tag: tags_of(sentence, scheme, missing),
        layout.token: sentence.tokens,
    }
    columns = [
        special[place] if place in special else sentence.columns[name]
        for place, name in enumerate(layout.names)
    ]
    return zip(*columns, strict=True)


def _boundary(sentence: Sentence, layout: ColumnLayout) -> str:
    """The line before a document: its id, or else what CoNLL-2003 puts there."""
    name = sentence.document.id if sentence.document else ""
    width = len(layout.names)
    filling = ["-X-"] * (width - 2) + ["O"] * (width > 1)
    fields = name.split() or filling
    return layout.separator.join((BOUNDARY, *fields))
