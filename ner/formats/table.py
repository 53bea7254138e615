"""Files of columns: how they are to be read, and the sentences in them as rows of fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, groupby
from pathlib import Path
from typing import Any, NamedTuple, cast

from ner.errors import DataError
from ner.formats.columns import (
    BLANK,
    BOUNDARY,
    EXTRA,
    FILLED,
    Aside,
    ColumnLayout,
    Cut,
    Cutter,
    Fields,
    Row,
    Rows,
    Whole,
    columns_of,
    named,
    paragraphs,
    telling,
    usual_width,
)
from ner.formats.lines import Faults, SentenceOptions, read_texts
from ner.options import suggestion, with_preset

Column = int | str

REFUSE, PARDON = "refuse", "missing"
FATE = "their tokens are kept, without annotation"

_LIKE_COMMENT = re.compile(r"(###\w+:|#{2,} ?|(?:#+|//|%%?|--)(?=\s)[ \t]?)")


@dataclass(frozen=True, kw_only=True)
class TableOptions(SentenceOptions):
    """Options for reading a CoNLL file.

    Attributes:
        comment_prefix: Lines that begin so are skipped; none are unless it is set.
        document_prefix: Lines that begin so open a document whose id is the rest of the line,
            as ``-DOCSTART-`` lines always do.
        tag_map: Tags to be read as other tags, ``{"o": "O"}``.
        scheme: The scheme of the tags; without it, it is detected.
        tagged: Whether the file has tags at all.
        missing: The tag of a token that nobody has annotated.
        token_column: Which column holds the tokens: a number from 0, or a name.
        tag_column: Which column holds the tags; -1 is the last one.
        columns: The names of all columns; of a text, each letter is one.
        header: Whether the first line names the columns.
        ragged: Whether lines may have columns beyond the usual number; they are kept, joined by
            ``|``, in one column named ``extra``. A tag column counted from the end is counted
            so on every line.
        sentence_end: A flag in the last column, among others separated by ``|``, that ends the
            sentence, as ``EndOfSentence`` does in the HIPE files.
        bad_lines: What becomes of a line with a wrong number of columns, or with a tag that is
            none: ``refuse`` (an error), or ``missing``: its token is kept, its annotation counts
            as missing, and a warning tells. Columns beyond the usual number are taken for parts
            of a token that holds blanks.
        token_prefix: What is stripped from the beginning of every token, such as ``en:``; ``*:``
            is whatever stands before the first colon.
        sentence_column: The column whose value changes where a sentence begins.
        preset: The name of a well-known corpus, whose options are set unless they are given.

    Raises:
        ValueError: ``bad_lines`` is something else.
    """

    comment_prefix: str | None = None
    document_prefix: str | None = None
    tag_map: Mapping[str, str] = field(default_factory=dict)
    scheme: str | None = None
    tagged: bool = True
    missing: str = "_"
    token_column: Column = 0
    tag_column: Column = -1
    columns: Sequence[str] | str | None = None
    header: bool = False
    ragged: bool = False
    sentence_end: str | None = None
    bad_lines: str = REFUSE
    token_prefix: str | None = None
    sentence_column: Column | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.bad_lines not in (REFUSE, PARDON):
            raise ValueError(f"bad_lines must be {REFUSE} or {PARDON}, got {self.bad_lines!r}")


VOTING = 10_000  # lines that settle how many columns a file has
SHOWN = 100  # characters of a line that a message repeats
AT_ONCE = 32  # paragraphs that are cut at once, so that their fields stay in the cache of the CPU


# Options of well-known corpora, as their publishers distribute them.
PRESETS: dict[str, dict[str, Any]] = {
    "btc": {},
    "few-nerd": {"scheme": "IO"},
    "germeval": {"comment_prefix": "#\t", "token_column": 1, "tag_column": 2, "ragged": True},
    "hipe": {
        "header": True,
        "tag_column": "NE-COARSE-LIT",
        "comment_prefix": "# ",
        "document_prefix": "# hipe2022:document_id = ",
        "sentence_end": "EndOfSentence",
    },
    "jnlpba": {"document_prefix": "###MEDLINE:"},
    "klue": {"comment_prefix": "## "},
    "multiconer": {"comment_prefix": "# "},
    "uner": {"comment_prefix": "# ", "token_column": 1, "tag_column": 2},
    "wikiann": {"token_prefix": "*:"},
}


def options_from(**given: Any) -> TableOptions:
    """Return options, those of a preset among them unless others are given.

    Raises:
        ValueError: The preset is unknown.
    """
    return TableOptions(**with_preset(PRESETS, given))


Skip = Callable[[Callable[[], Cut | None]], int | None]


class Piece(NamedTuple):
    """The lines of a sentence.

    Attributes:
        lines: Where they stand.
        tokens: What the column of tokens holds.
        tags: What the column of tags holds; empty if there is none.
        whole: All columns, or the text they can be cut from.
    """

    lines: Sequence[int]
    tokens: Fields
    tags: Fields
    whole: Whole


class Table:
    """The pieces of a file of columns.

    Args:
        title: What the file is called in messages.
        options: How it is read.

    Attributes:
        opening: The first lines of the file.
    """

    def __init__(self, title: str, options: TableOptions) -> None:
        self._layout: ColumnLayout | None = None
        self._title = title
        self._options = options
        self._fields_of = Rows(options.comment_prefix, options.document_prefix)
        self._cutter: Cutter | None = None  # where lines can be cut without a look at each
        self.opening = ""  # the first lines
        self._width = 0  # 0: not known yet
        self._header = 0  # the line that names the columns
        self._token, self._tag = 0, cast("int | None", None)  # their places on a line
        self._extra = 0  # where the column of what is beyond the usual ones stands
        self._single = False  # whether the expected column of tags is missing

    @property
    def layout(self) -> ColumnLayout:
        """Which column holds what; known once there has been a piece.

        Raises:
            DataError: There has been none.
        """
        if self._layout is None:
            raise self._error("the file has no columns")
        return self._layout

    @property
    def hollow(self) -> bool:
        """Return whether some line had an empty field."""
        return self._fields_of.hollow

    def pieces(
        self,
        path: str | Path,
        faults: Faults,
        skip: Skip | None = None,
    ) -> Iterator[Piece | Aside]:
        """The sentences of a file, and the boundaries between its documents.

        Lines that do not have the right number of columns are noted and left out.

        Args:
            path: The file.
            faults: Collects malformed lines.
            skip: Is given what cuts the tags of many plain sentences; returns the number of their
                lines if it needs no more of them, or else 0, and ``None`` if they are not plain.
        """
        options, line = self._options, 1
        prefixes = (options.comment_prefix or "", options.document_prefix or "")
        hollow = not any(prefix.startswith((" ", "\t")) for prefix in prefixes)
        texts = read_texts(path, options, faults)

        def check(lines: int, characters: int) -> None:
            if lines > options.max_sentence or characters > 16 * options.max_line:
                told = f"no empty line within {lines:,} lines; raise max_sentence if that is right"
                faults.refuse(line, told)

        for block in paragraphs(self._settled(texts), hollow=hollow, check=check):
            for start in range(0, len(block), AT_ONCE):
                some = block[start : start + AT_ONCE]
                line = yield from self._block(line, some, faults, skip)

    def _block(
        self, line: int, block: Sequence[str], faults: Faults, skip: Skip | None
    ) -> Generator[Piece | Aside, None, int]:
        """The pieces of paragraphs, all cut at once if possible; returns the line after them."""
        cutter = self._cutter
        skipped = skip(partial(cutter.cut, block, tokens=False)) if cutter and skip else 0
        if skipped:
            return line + skipped + 1
        cut = cutter.cut(block) if cutter and skipped is not None else None
        if cut is not None:
            yield from self._plain(line, block, cut, faults)
            return line + len(cut.tokens) + 1
        if len(block) == 1:
            lines = block[0].split("\n")
            yield from self._line_by_line(line, lines, faults)
            return line + len(lines) + 1  # one is empty
        for text in block:
            line = yield from self._block(line, (text,), faults, skip)
        return line

    def _plain(
        self, line: int, block: Sequence[str], cut: Cut, faults: Faults
    ) -> Iterator[Piece | Aside]:
        """The pieces of plain paragraphs."""
        tokens, tags, _ = cut
        start = 0
        for text in block:
            end = start + text.count("\n") + 1
            if text.startswith(BOUNDARY):
                yield from self._line_by_line(line + start, (text,), faults)
            else:
                yield Piece(
                    range(line + start, line + end), tokens[start:end], tags[start:end], text
                )
            start = end + 1

    def _line_by_line(
        self, first: int, lines: Sequence[str], faults: Faults
    ) -> Iterator[Piece | Aside]:
        """The pieces of lines that have to be looked at one by one."""
        rows = list(map(self._fields_of.__getitem__, lines))
        start = 0
        for end in (*_blanks(rows), len(rows)):
            piece = rows[start:end]
            if self._cutter and set(map(len, piece)) == {self._width}:
                yield self._piece(range(first + start, first + end), cast("list[Fields]", piece))
            elif piece:
                sifted = self._sift(first + start, lines[start:end], piece, faults)
                yield from sifted if self._options.sentence_column is None else self._cut(sifted)
            start = end + 1

    def _cut(self, pieces: Iterable[Piece | Aside]) -> Iterator[Piece | Aside]:
        """Pieces cut where the value of the column of sentences changes."""
        place = self._place(self._options.sentence_column or 0, self.layout.names)
        for piece in pieces:
            if isinstance(piece, Aside):
                yield piece
                continue
            rows = list(zip(*columns_of(piece.whole), strict=True))
            told = zip(piece.lines, rows, strict=True)
            for _, group in groupby(told, lambda pair: pair[1][place]):
                lines, chosen = zip(*group, strict=True)
                yield self._piece(lines, list(chosen))

    def _piece(self, lines: Sequence[int], rows: list[Fields]) -> Piece:
        columns, layout = tuple(zip(*rows, strict=True)), self.layout
        if self._options.token_prefix:
            stripped = tuple(map(self._stripped, columns[layout.token]))
            columns = (*columns[: layout.token], stripped, *columns[layout.token + 1 :])
        tags = () if layout.tag is None else columns[layout.tag]
        return Piece(lines, columns[layout.token], tags, columns)

    def _stripped(self, token: str) -> str:
        """A token without the prefix that all tokens have."""
        prefix = self._options.token_prefix or ""
        bare = token.partition(":")[2] if prefix == "*:" else token.removeprefix(prefix)
        return bare or token

    def _settled(self, texts: Iterable[str]) -> Iterator[str]:
        """The same texts; before the first that has lines of columns is given, all is settled."""
        first = 1
        for text in texts:
            if not self._width:
                self.opening = self.opening or text
                self._settle(first, text)
                first += text.count("\n")
            yield text

    def _settle(self, first: int, text: str) -> None:
        """Find out from the first lines which column holds what."""
        options, names = self._options, self._options.columns
        lines = self._telling(text)
        rows = list(map(self._fields_of.__getitem__, lines))
        for line, row in enumerate(rows, first):
            if options.header and row and not isinstance(row, Aside):
                self._header, names = line, row
                break
        width = len(names) if names else usual_width(rows[:VOTING]) or usual_width(rows)
        if width is None:
            return  # only blank lines so far
        self._single = width < 1 + options.tagged
        if self._single and names:
            raise self._error(
                f"only {names[0]!r} is named; expected a column for tokens and one for tags"
            )
        self._width = width + self._single
        self._token = token = self._place(options.token_column, names)
        self._tag = tag = self._place(options.tag_column, names) if options.tagged else None
        if token == tag:
            raise self._error(f"column {token} cannot hold both the tokens and the tags")
        names = named(self._width, names, token, tag)
        if options.ragged:
            self._extra = end = self._width if tag is None or self._tail() == 0 else tag
            names = (*names[:end], EXTRA, *names[end:])
            token, tag = token + (token >= end), tag if tag is None else tag + (tag >= end)
        if len(set(names)) < len(names):
            raise self._error(f"two columns have the same name: {', '.join(names)}")
        separator = _separator(lines, rows, width)
        self._layout = ColumnLayout(names, token, tag, separator, options.header, line_each=True)
        self._cutter = self._cutter_for(token, tag)

    def _telling(self, text: str) -> list[str]:
        """The lines that say how many columns there are."""
        options = self._options
        if options.comment_prefix or options.document_prefix:
            return text.split("\n")
        return telling(text.split("\n", VOTING)[:VOTING])

    def _cutter_for(self, token: int, tag: int | None) -> Cutter | None:
        """Return the function that splits paragraphs, if all lines share their columns."""
        options = self._options
        if options.ragged or options.sentence_end or options.header:
            return None
        if options.token_prefix or options.sentence_column is not None:
            return None
        special = (BOUNDARY, options.comment_prefix, options.document_prefix)
        return Cutter(self._width, token, tag, filter(None, special))

    def _tail(self) -> int:
        """Return the number of columns, from the tag's on, that are counted from the line's end."""
        place = self._options.tag_column
        return -place if isinstance(place, int) and place < 0 and self._options.tagged else 0

    def _place(self, column: Column, names: Sequence[str] | None) -> int:
        """Return the index of a column, from 0."""
        if isinstance(column, int):
            if -self._width <= column < self._width:
                return column % self._width
            raise self._error(f"there are {self._width} columns, and no column {column}")
        if names is None:
            raise self._error(
                f"there is no column {column!r}: no column has a name; set columns, or header: true"
            )
        if column in names:
            return list(names).index(column)
        raise self._error(f"there is no column {column!r}{suggestion(column, names)}")

    def _error(self, message: str) -> DataError:
        return DataError.of(self._title, message)

    def _sift(
        self, first: int, lines: Sequence[str], rows: Sequence[Row], faults: Faults
    ) -> Iterator[Piece | Aside]:
        """The pieces of lines some of which are not tokens, or have too few columns or more."""
        places: list[int] = []
        found: list[Fields] = []
        for line, text, row in zip(count(first), lines, rows, strict=False):
            fields = None if isinstance(row, Aside) else self._fitted(text, row)
            if fields is None and not isinstance(row, Aside):
                fields = self._pardoned(line, text, row, faults)
            ends = isinstance(row, Aside) and row.boundary is not None
            if fields is not None and line != self._header:
                places.append(line)
                found.append(fields)
                ends = self._options.sentence_end in fields[-1].split("|")
            elif not isinstance(row, Aside) and line != self._header:
                faults.add(line, self._misfit(text, row))
            if ends and found:
                yield self._piece(places, found)
                places, found = [], []
            if ends and isinstance(row, Aside):
                yield row
        if found:
            yield self._piece(places, found)

    def _fitted(self, line: str, row: Fields) -> Fields | None:
        """The fields of a line in as many columns as there should be, if they can be."""
        width = self._width
        if len(row) < width:  # its last fields may be there, but empty
            row = tuple(line.split("\t"))
            if not (len(row) == width > 2 and self._named(row)):
                return None
        if not self._options.ragged:
            return row if len(row) == width else None
        tail = len(row) - self._tail()
        head = width - self._tail()
        extra = "|".join(row[head:tail]) or FILLED
        return (*row[:head], extra, *row[tail:])

    def _pardoned(self, line: int, text: str, row: Fields, faults: Faults) -> Fields | None:
        """Return what can be kept of a line with a wrong number of columns, if it is to be kept."""
        token = self._token
        if self._options.bad_lines == REFUSE or token >= len(row) or line == self._header:
            return None
        faults.pardon(line, self._misfit(text, row))
        end = token + 1 + max(0, len(row) - self._width)
        whole = [*row[:token], " ".join(row[token:end]), *row[end:]]
        whole += [FILLED] * (self._width - len(whole))
        if self._options.ragged:
            whole.insert(self._extra, FILLED)
        if self.layout.tag is not None:
            whole[self.layout.tag] = self._options.missing
        return tuple(whole)

    def _named(self, row: Fields) -> bool:
        """Return whether a line has its token and its tag."""
        places = (self._token, self._tag)
        return all(row[place] for place in places if place is not None)

    def _misfit(self, line: str, row: Fields) -> str:
        """Return the message on a line with too few or too many columns."""
        shown = line if len(line) <= SHOWN else line[:SHOWN] + "..."
        message = f"expected {self._width} columns, found {len(row)}: {shown!r}"
        if self._single:
            message += " (a token and its tag; set tagged: false for a file without tags"
            message += ", and columns are separated by TABs or blanks)" if "," in line else ")"
        return message + comment_hint(line)


def refuse_empty(piece: Piece, faults: Faults) -> None:
    """Note tokens of no characters, which a line that begins with a TAB has."""
    if "" in piece.tokens:
        for line, token in zip(piece.lines, piece.tokens, strict=True):
            if not token:
                faults.add(
                    line, "the token is empty; restore it, if it was a blank or a word such as NA"
                )


def comment_hint(line: str) -> str:
    """Return a hint to add to a message about a line that may be a comment."""
    found = _LIKE_COMMENT.match(line)
    return f"; it looks like a comment; set comment_prefix: {found[0]!r}" if found else ""


def _blanks(rows: Sequence[Row]) -> list[int]:
    """Return the numbers of the empty lines."""
    return [place for place, row in enumerate(rows) if row == BLANK]


def _separator(lines: Sequence[str], rows: Sequence[Row], width: int) -> str:
    """Return the separator of the first line that has the usual number of columns."""
    for line, row in zip(lines, rows, strict=True):
        if len(row) == width:
            return "\t" if "\t" in line.rstrip(" \t") else " "
    return "\t"
