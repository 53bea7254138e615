"""CSV and TSV with a header: a row a token, as spreadsheets, pandas and Kaggle have them.

The header says which column holds what: the sentence (``Sentence #``, often filled only where
one begins), the token (``Word``) and its tag (``Tag``). A row without a single value ends a
sentence too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ner.formats.detection import (
    MISSING,
    Repairs,
    TagCounts,
    complaint,
    is_any_tag,
    spans_of,
    tags_of,
)
from ner.formats.lines import Faults, SentenceOptions, read_texts, rereadable
from ner.options import lookup, with_preset
from ner.schemes import Scheme, file_scheme_named
from ner.sentence import Sentence

DELIMITERS = (",", ";", "\t", "|")
REMEMBERED = 100_000  # sentences whose names are remembered
NAMES = {
    "sentence": (
        *("sentence #", "sentence", "sentence_id", "sentence id", "sentence_idx", "sent_id"),
        *("sentenceid", "sent_idx", "sentence number", "sentence_number", "sentence_no", "sent"),
    ),
    "token": ("token", "word", "tokens", "words", "form", "text"),
    "tag": (
        *("tag", "ner_tag", "ner", "tags", "ner_tags", "label", "labels", "ner tag", "iob", "bio"),
        *("ne", "entity", "iob_tag", "bio_tag", "named entity", "ne-tag"),
    ),
}


PRESETS: dict[str, dict[str, Any]] = {"kaggle": {"encoding": "cp1252"}}  # ner_dataset.csv


class Row(NamedTuple):
    """A row below the header: its line, whether it begins a sentence, and its fields."""

    line: int
    begins: bool
    fields: list[str]


@dataclass
class SentenceRows:
    """The rows of a sentence: their lines and their fields."""

    lines: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class CsvOptions(SentenceOptions):
    """Options of the CSV reader.

    Attributes:
        delimiter: Separates the columns; detected from the header by default.
        sentence: Name of the column that says where a sentence begins.
        token: Name of the column of tokens.
        tag: Name of the column of tags.
        scheme: Tagging scheme; detected by default.
        preset: A well-known dataset, whose options are set unless they are given.

    Raises:
        ValueError: The scheme is unknown, or the delimiter is more than a character.
    """

    delimiter: str | None = None
    sentence: str | None = None
    token: str | None = None
    tag: str | None = None
    scheme: str | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.scheme is not None:
            file_scheme_named(self.scheme)
        if self.delimiter is not None:
            _check_delimiter(self.delimiter)


OPTIONS = CsvOptions


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file.

    For the options see `CsvOptions`.

    Raises:
        DataError: The file has no such columns, or rows are malformed.
    """
    given = CsvOptions(**with_preset(PRESETS, options))
    with rereadable(source) as path:
        faults, counts, met = Faults(source), TagCounts(MISSING), {MISSING: (0, "")}
        table = _Table(path, given, faults)
        for piece in table.pieces():
            tags = table.tags(piece)
            counts.add(tags)
            for line, one, token in zip(piece.lines, tags, table.tokens(piece), strict=True):
                met.setdefault(one, (line, token))
        found = counts.detect(None if given.scheme is None else file_scheme_named(given.scheme))
        for one, (line, token) in met.items():
            wrong = complaint(one, found.scheme) if line else None
            if told := _of_text(token, one, wrong is not None):
                faults.refuse(line, told)
            elif wrong:
                faults.add(line, wrong)
        faults.check()
        repairs = Repairs(faults.path, found, counts.illegal_pairs(found.scheme))
        for piece in _Table(path, given, faults).pieces():
            repairs.note(piece.lines, table.tags(piece))
            yield table.sentence(piece, found.scheme)
        repairs.warn()


def _of_text(token: str, tag: str, bad: bool) -> str | None:
    """Return what is wrong with a row that holds a whole text in place of a token.

    Args:
        token: What stands where a token should.
        tag: What stands where its tag should.
        bad: Whether that is not a tag.
    """
    if tag[:1] in "[{" and tag[-1:] in "]}" and len(tag) > 1:
        return (
            "a row should hold a token and its tag, but this holds a list: "
            f"{tag!r:.80}; write a text and its spans, or its tokens and tags, as JSON"
        )
    tags = tag.split()
    if len(tags) > 1 and all(map(is_any_tag, tags)):
        return (
            f"a row should hold a token and its tag, but this holds {len(tags)} tags: "
            f"{tag!r:.80}; write a row for each token"
        )
    if bad and len(words := token.split()) > 1:
        return (
            f"a row should hold a token and its tag, but this holds {len(words)} words: "
            f"{token!r:.80}; write a text and its spans as JSON"
        )
    return None


def _check_delimiter(given: str) -> None:
    """Refuse what cannot separate columns.

    Raises:
        ValueError: It is not one character, or it is one that means something else.
    """
    if len(given) != 1 or given in '"\r\n\0':
        raise ValueError(f"delimiter must be one character, such as ',', got {given!r}")


def write(
    file: TextIO, sentences: Iterable[Sentence], *, delimiter: str = ",", scheme: str = "BIO"
) -> None:
    """Write a row a token, with the columns ``sentence``, ``token``, the others, and ``tag``.

    Args:
        file: Open file to write to.
        sentences: Sentences to write.
        delimiter: What separates the columns.
        scheme: Of the tags; ``_`` is the tag of a token nobody has annotated.

    Raises:
        ValueError: A sentence has other columns than the first one, or the scheme is unknown.
    """
    chosen = file_scheme_named(scheme)
    _check_delimiter(delimiter)
    table = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    names: tuple[str, ...] | None = None
    for number, one in enumerate(sentences, 1):
        if names is None:
            names = tuple(one.columns)
            table.writerow(["sentence", "token", *names, "tag"])
        if tuple(one.columns) != names:
            raise ValueError(
                f"sentence {number}: its columns differ from those of earlier sentences"
            )
        columns = [one.tokens, *(one.columns[name] for name in names), tags_of(one, chosen)]
        table.writerows([number, *row] for row in zip(*columns, strict=True))


class _Table:
    """The sentences of a table.

    Args:
        path: Path of the file.
        options: Options of the reader.
        faults: Collects malformed rows.
    """

    def __init__(self, path: str | Path, options: CsvOptions, faults: Faults) -> None:
        self._path, self._options, self._faults = path, options, faults
        self._places: dict[str, int | None] = {}
        self._header: list[str] = []
        self._seen: set[str] = set()
        self._name = ""

    def pieces(self) -> Iterator[SentenceRows]:
        """Yield the rows of each sentence."""
        piece, most = SentenceRows(), self._options.max_sentence
        for row in self._rows():
            if row.begins and piece.rows:
                yield piece
                piece = SentenceRows()
            if row.fields:
                piece.lines.append(row.line)
                piece.rows.append(row.fields)
            if len(piece.rows) > most:
                told = f"no sentence ends within {most:,} rows; raise max_sentence if that is right"
                self._faults.refuse(row.line, told)
        if piece.rows:
            yield piece

    def tags(self, piece: SentenceRows) -> list[str]:
        """The tags of a sentence; an empty one is missing."""
        place = self._places["tag"]
        return [row[place or 0].strip() or MISSING for row in piece.rows]

    def tokens(self, piece: SentenceRows) -> list[str]:
        """The tokens of a sentence."""
        return [row[self._places["token"] or 0] for row in piece.rows]

    def sentence(self, piece: SentenceRows, scheme: Scheme) -> Sentence:
        """The sentence of some rows."""
        columns = tuple(zip(*piece.rows, strict=True))
        places = set(self._places.values())
        others = {
            name: columns[place]
            for place, name in enumerate(self._header)
            if place not in places and name
        }
        spans, unknown = spans_of(self.tags(piece), scheme, MISSING)
        return Sentence(tuple(self.tokens(piece)), spans, others, unknown, line=piece.lines[0])

    def _rows(self) -> Iterator[Row]:
        """The rows after the header; one without fields only ends a sentence."""
        lines = self._lines()
        first = next(lines, "")
        delimiter = self._options.delimiter or max(DELIMITERS, key=first.count)
        self._settle(next(csv.reader([first], delimiter=delimiter), []))
        rows = csv.reader(lines, delimiter=delimiter)
        line = 2
        while True:
            try:
                fields = next(rows, None)
            except csv.Error as error:
                self._faults.refuse(rows.line_num + 1, f"malformed row: {error}")
            if fields is None:
                return
            if not any(fields):
                yield Row(line, begins=True, fields=[])
            elif self._good(line, fields):
                yield Row(line, begins=self._begins(line, fields), fields=fields)
            line = rows.line_num + 2

    def _good(self, line: int, fields: list[str]) -> bool:
        """Return whether a row is a token's; if not, that is noted."""
        if any("\n" in one for one in fields):
            told = f"a field goes on over a line end; is a closing quote missing? {fields!r:.100}"
        elif len(fields) != len(self._header):
            told = f"expected {len(self._header)} columns, found {len(fields)}: {fields!r:.100}"
        elif not fields[self._places["token"] or 0]:
            told = f"the token is empty; was a word such as 'NA' or 'null' lost? {fields!r:.100}"
        else:
            return True
        self._faults.add(line, told)
        return False

    def _begins(self, line: int, fields: list[str]) -> bool:
        """Return whether a sentence begins with a row."""
        place = self._places["sentence"]
        name = "" if place is None else fields[place].strip()
        if name in ("", self._name):
            return False
        if name in self._seen:
            self._faults.add(
                line, f"the sentence {name!r} continues after another; sort the rows by sentence"
            )
        self._name = name
        if len(self._seen) < REMEMBERED:
            self._seen.add(name)
        return True

    def _settle(self, header: list[str]) -> None:
        """Find out from the header which column holds what."""
        self._header = [name.strip() for name in header]
        for what in NAMES:
            self._places[what] = self._place(what, getattr(self._options, what))
        for what in ("token", "tag"):
            if self._places[what] is None:
                self._faults.refuse(1, self._unsettled(what))

    def _unsettled(self, what: str) -> str:
        """Return what is wrong with the header, in which a column was not found."""
        header = self._header
        if not any(header):
            return "expected a header that names the columns, found an empty line or file"
        if header[0].startswith("sep="):
            return f"the first line should name the columns, but is {header[0]!r}; remove it"
        if tags := [one for one in header if one[1:2] == "-" and is_any_tag(one)]:
            return (
                f"the first line should name the columns, but holds the tag {tags[0]!r}; add a "
                "line above it, such as sentence,token,tag"
            )
        named = ", ".join(map(repr, header))[:200]
        return f"cannot find the {what} column in the header; set {what} to one of {named}"

    def _place(self, what: str, given: str | None) -> int | None:
        """Return the index of a column."""
        if given is not None:
            lookup(dict.fromkeys(self._header), given, of="column")
            return self._header.index(given)
        names = [name.casefold() for name in self._header]
        return next((names.index(name) for name in NAMES[what] if name in names), None)

    def _lines(self) -> Iterator[str]:
        for text in read_texts(self._path, self._options, self._faults):
            for line in text.split("\n")[: -1 if text.endswith("\n") else None]:
                yield line + "\n"


def is_header(line: str) -> bool:
    """Return whether a line names columns as a table with sentences, tokens and tags has them."""
    return any(
        _is_known(line.rstrip("\r\n").split(delimiter), delimiter) for delimiter in DELIMITERS
    )


def _is_known(names: Sequence[str], delimiter: str) -> bool:
    if len(names) < 2:
        return False
    found = {name.strip(' "').casefold() for name in names}
    wanted = ["token", "tag"] + ["sentence"] * (delimiter == "\t")
    return all(found & set(NAMES[what]) for what in wanted)
