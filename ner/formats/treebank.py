"""The lines of CoNLL-U files, and where in them the entities are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ner.errors import DataError
from ner.formats.documents import Boundary
from ner.formats.faults import Faults
from ner.formats.lines import MAX_LINE, MAX_SENTENCE, read_blocks
from ner.sentence import Origin

NAMES = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
ID, FORM, UPOS, MISC = "ID", "FORM", "UPOS", "MISC"
SHOWN = 100  # characters of a line that a message repeats

_OTHER = re.compile(r"[0-9]+-[0-9]+|[0-9]+\.[0-9]+")  # multiword tokens and empty nodes


@dataclass(frozen=True, slots=True)
class TreebankOptions:
    """Options for reading a CoNLL-U file.

    Attributes:
        entities: The column that has the entities, or the key of MISC; without it NER, NE,
            Entity and Entities are looked for, in columns first.
        columns: The names of the columns, where the file does not say and they are not the ten.
        scheme: The scheme of the tags; without it, it is detected.
        named: Whether to take only entities that hold a proper noun and, where the file has
            such a thing, an identity: GUM marks every mention of everything.
        encoding: Of the file.
        max_line: The bytes of the longest line that is read.
        max_sentence: The lines of the longest sentence that is read.
    """

    entities: str | None = None
    columns: Sequence[str] | None = None
    scheme: str | None = None
    named: bool = False
    encoding: str = "utf-8"
    max_line: int = MAX_LINE
    max_sentence: int = MAX_SENTENCE


@dataclass(frozen=True, slots=True)
class TreebankOrigin(Origin):
    """The place of a sentence in its treebank, and what stands between its words.

    Attributes:
        names: All columns of the file, in their order.
        comments: The lines before the first word.
        asides: Lines of multiword tokens and empty nodes, and before which word they stand.
        place: The column or key of MISC that the entities were read from.
    """

    names: tuple[str, ...] = NAMES
    comments: tuple[str, ...] = ()
    asides: tuple[tuple[int, str], ...] = ()
    place: str | None = None


class Group(NamedTuple):
    """The lines of a sentence.

    Attributes:
        comments: The lines before the first word.
        lines: The line each word stands on.
        rows: The fields of each word.
        asides: Lines that are not words, and the word they precede.
    """

    comments: list[str]
    lines: list[int]
    rows: list[list[str]]
    asides: list[tuple[int, str]]


class Groups:
    """The groups of a file.

    Args:
        title: What the file is called in messages.
        options: How it is read.

    Attributes:
        names: The columns, in their order.
        attributes: What the file says is in the parentheses of an entity, if it says so.
    """

    def __init__(self, title: str, options: TreebankOptions) -> None:
        self.names = tuple(options.columns or NAMES)
        self.attributes: tuple[str, ...] = ()
        self._title = title
        self._options = options
        self._check_names()

    def read(self, path: str | Path, faults: Faults) -> Iterator[Group | Boundary]:
        """The sentences of a file, and the boundaries between its documents."""
        group, number = Group([], [], [], []), 0
        options = self._options
        blocks = read_blocks(
            path, encoding=options.encoding, faults=faults, max_line=options.max_line
        )
        for block in blocks:
            held = len(group.comments) + len(group.rows) + len(group.asides)
            if held > options.max_sentence:
                told = f"no empty line in {options.max_sentence:,} lines"
                faults.refuse(number, f"{told}; if that is right, set max_sentence")
            for line in block:
                number += 1
                if not line.strip(" \t"):
                    if group.rows:
                        yield group
                        group = Group([], [], [], [])
                elif self._is_comment(line, group):
                    group.comments.append(line)
                    yield from self._said(line)
                else:
                    self._add(line, number, group, faults)
        if group.rows:
            yield group

    def _is_comment(self, line: str, group: Group) -> bool:
        """Return whether a line is a comment; without IDs, a word may begin with ``#``, too."""
        if not line.startswith("#"):
            return False
        return line.count("\t") + 1 != len(self.names) or (self.names[0] == ID and not group.rows)

    def _said(self, comment: str) -> Iterator[Boundary]:
        """Take note of what a comment says of the file."""
        key, value = said(comment)
        if key == "global.columns" and value is not None:
            self.names = tuple(value.split())
            self._check_names()
        elif key == "global.Entity" and value:
            self.attributes = tuple(value.split("-"))
        elif key == ("newdoc" if value is None else "newdoc id"):
            yield Boundary(value or "")

    def _add(self, line: str, number: int, group: Group, faults: Faults) -> None:
        """Add the line of a word to its group."""
        fields = line.split("\t")
        if len(fields) != len(self.names):
            shown = line if len(line) <= SHOWN else line[:SHOWN] + "..."
            faults.add(
                number, f"expected {len(self.names)} columns, found {len(fields)}: {shown!r}"
            )
            return
        name = fields[self.names.index(ID)] if ID in self.names else "1"
        if _OTHER.fullmatch(name):
            group.asides.append((len(group.rows), line))
        elif not (name.isascii() and name.isdigit()):
            faults.add(number, f"{name!r} is no ID of a word; an ID is a number")
        elif not fields[self.names.index(FORM)]:
            faults.add(number, "the word is empty")
        else:
            group.lines.append(number)
            group.rows.append(fields)

    def _check_names(self) -> None:
        if FORM not in self.names or len(set(self.names)) < len(self.names):
            raise DataError.of(
                self._title,
                "the columns need different names, FORM among them; they are "
                f"{' '.join(self.names)}",
            )


def said(comment: str) -> tuple[str, str | None]:
    """The key and the value of a comment, ``# key = value``; ``None`` where it has no value."""
    key, equals, value = comment.removeprefix("#").partition("=")
    return " ".join(key.split()), value.strip(" \t") if equals else None


def values_at(group: Group, place: str, names: Sequence[str]) -> list[str | None]:
    """Return the value of a column, or of a key of MISC, for each word of a group."""
    if place in names:
        column = names.index(place)
        return [row[column] for row in group.rows]
    if MISC not in names:
        return [None] * len(group.rows)
    column = names.index(MISC)
    head = f"{place}="
    return [_after(row[column], head) if head in row[column] else None for row in group.rows]


def in_misc(misc: str, key: str) -> str | None:
    """The value of a key in MISC, ``A=1|B=2``."""
    return _after(misc, f"{key}=")


def _after(misc: str, head: str) -> str | None:
    """Return what stands after a key and its equals sign; ``None`` without them."""
    start = 0 if misc.startswith(head) else misc.find(f"|{head}") + 1
    if start == 0 and not misc.startswith(head):
        return None
    return misc[start + len(head) :].partition("|")[0]


def with_misc(misc: str, key: str, value: str | None) -> str:
    """MISC with that value for a key, or without the key."""
    parts = [part for part in misc.split("|") if part != "_" and not part.startswith(f"{key}=")]
    if value is not None:
        parts.append(f"{key}={value}")
    return "|".join(parts) or "_"
