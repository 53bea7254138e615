"""Lines of columns: how a line is cut into fields, and how fields become a line again.

The lines between two empty ones are a paragraph: in files of columns, nearly always a sentence
whose lines all have the same number of fields, one TAB or one blank between any two. Such a
paragraph is cut at once, many times faster than line by line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ner.errors import DataError
from ner.loading import kernels
from ner.sentence import Origin

BOUNDARY = "-DOCSTART-"
EXTRA = "extra"  # the column of what ragged lines hold beyond the others
FILLED = "_"  # an empty field, where the file needs something there
CACHED = 100_000  # lines whose fields are remembered
LONG = 1_000  # characters of a line not worth remembering

Fields = tuple[str, ...]
Whole = tuple[Fields, ...] | str  # columns, or the lines they can be cut from
BLANK: Fields = ()


class Aside:
    """A line that is not a token: a comment, or the boundary before a document.

    It has the length 0, which no line of fields has, so that counting columns finds it.

    Attributes:
        boundary: The fields of a boundary line after the first; ``None`` of a comment.
    """

    __slots__ = ("boundary",)

    def __init__(self, boundary: Fields | None) -> None:
        self.boundary = boundary

    def __len__(self) -> int:
        return 0


Row = Fields | Aside


@dataclass(frozen=True, slots=True)
class ColumnLayout(Origin):
    """Which column of a file holds what.

    Attributes:
        names: The columns in their order, the token's and the tag's among them.
        token: Where the token stands, counted from 0.
        tag: Where the tag stands; ``None`` in a file without tags.
        separator: What stands between two columns, a TAB or a blank.
        header: Whether the first line names the columns.
        others: The columns that hold neither token nor tag, and where they stand.
    """

    names: tuple[str, ...]
    token: int
    tag: int | None
    separator: str
    header: bool = False
    others: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        others = {
            name: place
            for place, name in enumerate(self.names)
            if place not in (self.token, self.tag)
        }
        object.__setattr__(self, "others", others)


class Columns(Mapping[str, Fields]):
    """The other columns of a sentence by name, cut from the file's text when they are asked for.

    Args:
        whole: All columns of the sentence, the token's and the tag's among them, or the text they
            can be cut from: most users never ask for them.
        others: Which of them are the other columns.
    """

    __slots__ = ("_others", "_whole")

    def __init__(self, whole: Whole, others: Mapping[str, int]) -> None:
        self._whole = whole
        self._others = others

    def __getitem__(self, name: str) -> Fields:
        place = self._others[name]
        self._whole = columns = columns_of(self._whole)
        return columns[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[Columns], tuple[object, ...]]:
        return Columns, (self._whole, self._others)


NO_COLUMNS = Columns((), {})  # of all sentences of a file of tokens and tags only


def columns_of(whole: Whole) -> tuple[Fields, ...]:
    """The columns of a sentence, cut from its lines where they are not yet."""
    if not isinstance(whole, str):
        return whole
    separator = "\t" if "\t" in whole else " "
    return tuple(zip(*(line.split(separator) for line in whole.split("\n")), strict=True))


def split(line: str) -> Fields:
    """Cut a line into its fields.

    TABs separate them if there is one and the last field has no blank; otherwise runs of blanks
    and TABs do. No other white space separates, and blanks at the end do not count.
    """
    line = line.rstrip(" \t")
    if "\t" in line:
        fields = line.split("\t")
        if " " not in fields[-1]:
            return tuple(fields)
        line = line.replace("\t", " ")
    fields = line.split(" ")
    return tuple(field for field in fields if field) if "" in fields else tuple(fields)


class Rows(dict[str, Row]):
    """The fields of each line, remembered, since most lines of a corpus stand in it often.

    Args:
        comment_prefix: How lines begin that are skipped.
        document_prefix: How lines begin, besides ``-DOCSTART-``, that open a document.

    Attributes:
        hollow: Whether some line had an empty field.
    """

    def __init__(
        self, comment_prefix: str | None = None, document_prefix: str | None = None
    ) -> None:
        super().__init__()
        self._comment = comment_prefix or None
        self._document = document_prefix or None
        self.hollow = False

    def __missing__(self, line: str) -> Row:
        row = self._row(line)
        if len(self) >= CACHED:
            self.clear()
        if len(line) <= LONG:
            self[line] = row
        return row

    def _row(self, line: str) -> Row:
        if self._document is not None and line.startswith(self._document):
            return Aside((line.removeprefix(self._document).strip(" \t"),))
        if self._comment is not None and line.startswith(self._comment):
            return Aside(None)
        fields = split(line)
        if fields and fields[0] == BOUNDARY:
            return Aside(fields[1:])
        self.hollow = self.hollow or "" in fields
        return fields


class Numbering:
    """Detects files whose tokens only count: 1, 2, 3 in every sentence.

    That is the first column of many files whose tokens stand in the second.

    Attributes:
        going: Whether nothing has spoken against it yet.
    """

    def __init__(self) -> None:
        self.going = True
        self._sentences = self._tokens = 0

    def add(self, tokens: Sequence[str]) -> None:
        """Look at a sentence."""
        if self.going:
            self._sentences += 1
            self._tokens += len(tokens)
            first = int(tokens[0] != "0")
            self.going = all(token == str(n) for n, token in enumerate(tokens, first))

    def remark(self, advice: str = "set it, for example token_column: 1") -> str | None:
        """Return a remark on such a file; ``None`` for any other, and for one too small to judge.

        Args:
            advice: What to do where the words stand in another column.
        """
        if not self.going or self._sentences < 2 or self._tokens < 5:
            return None
        return (
            "the tokens are the numbers 1, 2, 3, ... in every sentence; if the words stand in "
            f"another column, {advice}"
        )


def usual_width(rows: Iterable[Row]) -> int | None:
    """Return the most common number of columns; lines that look like comments do not count.

    Of widths as frequent the first one counts. ``None`` if no line has fields.
    """
    widths: Counter[int] = Counter()
    hashes: Counter[int] = Counter()
    for row in rows:
        if not isinstance(row, Aside) and row:
            (hashes if row[0].startswith("#") else widths)[len(row)] += 1
    votes = widths or hashes
    return votes.most_common(1)[0][0] if votes else None


class Lines(dict[Fields, str]):
    """The line of some fields, such that cutting it gives the same fields again.

    Args:
        separator: What is written between fields; a line that holds it takes the other.
    """

    def __init__(self, separator: str) -> None:
        super().__init__()
        self._separators = (separator, "\t", " ")

    def __missing__(self, fields: Fields) -> str:
        line = self._line(fields)
        if len(self) >= CACHED:
            self.clear()
        if len(line) <= LONG:
            self[fields] = line
        return line

    def _line(self, fields: Fields) -> str:
        if fields[0] == BOUNDARY:
            raise DataError(
                f"a first column that is {BOUNDARY} would be read as a document boundary"
            )
        count = len(fields)
        while count and not fields[count - 1]:
            count -= 1  # the last fields may be empty, which TABs show
        cut = fields[:count]
        for separator in self._separators if count == len(fields) else "\t":
            line = separator.join(fields)
            if split(line) == cut and "\n" not in line and "\r" not in line:
                return line
        raise DataError(
            f"{fields!r} cannot be a line of columns: a field is empty or contains a line end or "
            "a TAB, or the last one contains a blank"
        )


def named(count: int, given: Sequence[str] | None, token: int, tag: int | None) -> tuple[str, ...]:
    """The names of the columns: those given, or ``token``, ``tag``, and ``column2`` by place."""
    if given is not None:
        return tuple(given)
    special = {token: "token", tag: "tag"}
    return tuple(special.get(place, f"column{place + 1}") for place in range(count))


REMEMBERED = 1 << 25  # characters of text whose fields are remembered

_HOLLOW = re.compile(r"^[ \t]+$", re.MULTILINE)
_BOUNDARY = re.compile(rf"{BOUNDARY}(?:[ \t].*)?")


def paragraphs(
    texts: Iterable[str],
    *,
    hollow: bool = True,
    check: Callable[[int, int], None] = lambda lines, characters: None,
) -> Iterator[list[str]]:
    """The paragraphs of a file, as many as each text completes.

    A paragraph has no line end at its end, and one empty line follows it. Where there are more,
    the others are the beginning of the next paragraph, or one that is empty.

    Args:
        texts: What the file holds, each text whole lines.
        hollow: Whether lines of nothing but blanks and TABs are empty.
        check: Is given the lines and characters of a paragraph whose end has not come yet.
    """
    begun: list[str] = []  # of a paragraph whose end is still to come
    lines = characters = 0
    for text in texts:
        if hollow and ("\n " in text or "\n\t" in text or text.startswith((" ", "\t"))):
            text = _HOLLOW.sub("", text)
        if "\n\n" not in text and not (begun and text.startswith("\n")):
            begun.append(text)
            lines, characters = lines + text.count("\n"), characters + len(text)
            check(lines, characters)
            continue
        lines = characters = 0
        whole = "".join((*begun, text)).split("\n\n")
        begun = [whole.pop()]
        yield whole
    rest = "".join(begun).removesuffix("\n")
    if rest:
        yield [rest]


def telling(lines: list[str]) -> list[str]:
    """The lines that say how many columns there are: few, where all say the same."""
    text = "\n".join(("", *lines, ""))
    separator = "\t" if "\t" in text else " "
    plain = (separator == " " or " " not in text) and not any(
        twice in text for twice in (separator * 2, f"\n{separator}", f"{separator}\n")
    )
    if plain and len({line.count(separator) for line in lines if line}) == 1:
        for place, line in enumerate(lines, 1):
            if line and not line.startswith(BOUNDARY):
                return lines[:place]
    return lines


class Cut(NamedTuple):
    """The fields of the lines of paragraphs.

    Between two paragraphs stands an empty token with the tag ``O``, and in place of the boundary
    of a document one with the tag ``O`` as well.

    Attributes:
        tokens: Of all lines; empty where they are not wanted.
        tags: Of all lines; empty where no column holds them.
        sentences: How many paragraphs there are, in which a boundary counts twice: for the end of a
            sentence and for its own ``O``.
    """

    tokens: Fields
    tags: Fields
    sentences: int


class Cutter:
    """Cuts plain paragraphs.

    Args:
        width: How many columns there are.
        token: Which of them holds the tokens.
        tag: Which of them holds the tags; ``None`` where none does.
        special: Strings that a plain paragraph must not contain.
    """

    def __init__(self, width: int, token: int, tag: int | None, special: Iterable[str]) -> None:
        self._width = width
        self._token = token
        self._tag = tag
        self._special = tuple(special)
        self._known: dict[str, str] = {}
        self._characters = 0
        self._fields = kernels and kernels.new_fields()

    def cut(self, paragraphs: Sequence[str], *, tokens: bool = True) -> Cut | None:
        """The fields of paragraphs, all cut at once; ``None`` unless all are plain or a boundary.

        Args:
            paragraphs: What `paragraphs` gives.
            tokens: Whether tokens are wanted, or only tags.
        """
        width, step, blank = self._width, self._width + 1, len(paragraphs) - 1
        text, count = "\n\n".join(paragraphs), len(paragraphs)
        if BOUNDARY in text:
            marks = [_BOUNDARY.fullmatch(one) is not None for one in paragraphs]
            count += sum(marks)
            filler = ("\t" if "\t" in text else " ").join("O" * width)
            pairs = zip(paragraphs, marks, strict=True)
            text = "\n\n".join(filler if mark else one for one, mark in pairs)
        if any(special in text for special in self._special):
            return None
        if kernels is not None:
            wanted = (self._token if tokens else -1, -1 if self._tag is None else self._tag)
            native = kernels.cut_lines(self._fields, text, width, *wanted)
            return None if native is None else Cut(native[0], native[1], count)
        separator = "\t" if "\t" in text else " "
        if separator == "\t" and " " in text:
            return None
        empty = separator.join("O" if place == self._tag else "" for place in range(width))
        lines = text.replace("\n\n", f"\n{empty}\n")
        cells = lines.replace("\n", f"{separator}\n{separator}").split(separator)
        # every line has as many fields as it should if the line ends stand where they should
        ends = cells[width::step]
        if len(cells) != (len(ends) + 1) * step - 1 or ends.count("\n") != len(ends):
            return None
        # others are empty where two blanks stand in a row, or one at an end of a line
        if cells.count("") != blank * (width - (self._tag is not None)):
            return None
        if len(ends) != lines.count("\n"):
            return None
        found = cells[self._token :: step] if tokens else []
        tags = [] if self._tag is None else cells[self._tag :: step]
        return Cut(self._shared(found), self._shared(tags), count)

    def _shared(self, fields: Sequence[str]) -> Fields:
        """The same fields, those that have been met before as the strings they were then."""
        share = self._room(sum(map(len, fields))).setdefault
        return tuple(map(share, fields, fields))

    def _room(self, characters: int) -> dict[str, str]:
        """The fields that are remembered, of which the number is limited."""
        self._characters += characters
        if len(self._known) > CACHED or self._characters > REMEMBERED:
            self._known.clear()
            self._characters = characters
        return self._known
