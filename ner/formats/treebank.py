"""The lines of CoNLL-U files, the place of the entities in them, and their notation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ner.errors import BAD_TAG, DataError
from ner.formats.conll2012 import parse
from ner.formats.detection import Detection, TagCounts, complaint
from ner.formats.documents import Boundary
from ner.formats.lines import Faults, SentenceOptions, read_blocks
from ner.schemes import OUTSIDE, file_scheme_named
from ner.sentence import Origin

NAMES = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
ID, FORM, UPOS, MISC = "ID", "FORM", "UPOS", "MISC"
SHOWN = 100  # characters of a line that a message repeats

_OTHER = re.compile(r"[0-9]+-[0-9]+|[0-9]+\.[0-9]+")  # multiword tokens and empty nodes


@dataclass(frozen=True, kw_only=True)
class TreebankOptions(SentenceOptions):
    """Options for reading a CoNLL-U file.

    Attributes:
        entities: The column that has the entities, or the key of MISC; without it NER, NE,
            Entity and Entities are looked for, in columns first.
        columns: The names of the columns, where the file does not say and they are not the ten.
        scheme: The scheme of the tags; without it, it is detected.
        named: Whether to take only entities that hold a proper noun and, where the file has
            such a thing, an identity: GUM marks every mention of everything.
    """

    entities: str | None = None
    columns: Sequence[str] | None = None
    scheme: str | None = None
    named: bool = False


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
        for block in read_blocks(path, options, faults):
            held = len(group.comments) + len(group.rows) + len(group.asides)
            if held > options.max_sentence:
                told = f"no empty line within {options.max_sentence:,} lines"
                faults.refuse(number, f"{told}; raise max_sentence if that is right")
            for line in block:
                number += 1
                if not line.strip(" \t"):
                    if group.rows:
                        yield group
                        group = Group([], [], [], [])
                elif line[0] == "#" and self._is_comment(line, group):
                    group.comments.append(line)
                    yield from self._said(line)
                else:
                    self._add(line, number, group, faults)
        if group.rows:
            yield group

    def _is_comment(self, line: str, group: Group) -> bool:
        """Return whether a line is a comment; without IDs, a word may begin with ``#``, too."""
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
            told = f"expected {len(self.names)} columns, found {len(fields)}: {shown!r}"
            blanks = "; columns are separated by TABs, not blanks" * ("\t" not in line)
            faults.add(number, told + blanks)
            return
        name = "1" if self._id is None else fields[self._id]
        if not (name.isascii() and name.isdigit()):
            if _OTHER.fullmatch(name):
                group.asides.append((len(group.rows), line))
            else:
                faults.add(number, f"{name!r} is not a word ID; expected a number")
        elif not fields[self._form]:
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
        self._id = self.names.index(ID) if ID in self.names else None
        self._form = self.names.index(FORM)


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


LIKELY = ("NER", "NE", "ENTITY", "ENTITIES")  # columns or keys of MISC, the likeliest first
EMPTY = "_"
_UNUSED = frozenset((None, EMPTY))
OUTSIDE_TOO = ("*", None)  # how a token outside any entity is written, besides O

_KEY = re.compile(r"(?:^|\|)(" + "|".join(LIKELY) + r")=", re.IGNORECASE)
_NUMBERED = re.compile(r"[A-Za-z]+_\d+(?:-[A-Za-z]+_\d+)*")  # P_1-pf_2
_OTHER_KEY = re.compile(r"(?:^|\|)([^=|]+)=[BS]-[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Marks:
    """The notation of the entities of a file.

    Attributes:
        place: The column or key of MISC they are in; ``None`` in a file without any.
        detection: The scheme of the tags; ``None`` where they are parentheses.
        illegal: The pairs of tags that are an illegal sequence.
        explicit: Whether words outside any entity have a tag that says so, or those that
            nobody has annotated do.
        attributes: What the file says is in the parentheses, if it says so.
    """

    place: str | None
    detection: Detection | None = None
    illegal: frozenset[tuple[str, str]] = frozenset()
    explicit: bool = False
    attributes: tuple[str, ...] = ()

    @property
    def missing(self) -> str | None:
        """The tag of a token nobody has annotated; where no O is written, ``_`` is O."""
        return EMPTY if self.explicit else None

    def label_of(self, opening: str) -> str:
        """The label of an entity, given what its opening parenthesis says."""
        parts = self._parts(opening)
        if "etype" in self.attributes and len(parts) > self.attributes.index("etype"):
            return parts[self.attributes.index("etype")] or EMPTY
        if not self.attributes and len(parts) > 1 and parts[0].isdigit():
            return parts[1] or EMPTY
        return parts[0] or EMPTY

    def id_of(self, opening: str) -> str:
        """Return the ID in the closing parenthesis of an entity."""
        parts = self._parts(opening)
        if "GRP" in self.attributes and len(parts) > self.attributes.index("GRP"):
            return parts[self.attributes.index("GRP")]
        return parts[0] if parts[0].isdigit() else opening

    def has_identity(self, opening: str) -> bool:
        """Return whether an entity has an ID; always true if no entity of the file has one.

        GUM links entities to Wikipedia pages so.
        """
        if "identity" not in self.attributes:
            return True
        parts = self._parts(opening)
        return len(parts) > self.attributes.index("identity")

    def _parts(self, opening: str) -> list[str]:
        return opening.split("-", len(self.attributes) - 1 if self.attributes else -1)


class EntitySurvey:
    """Looks through a file for the place and the notation of its entities.

    Args:
        groups: The groups of the file.
        options: How it is read.
    """

    def __init__(self, groups: Groups, options: TreebankOptions) -> None:
        self._groups = groups
        self._options = options
        self._tallies: dict[str, _Tally] = {}
        self._others: dict[str, int] = {}  # other keys of MISC with tags, and where first

    def add(self, group: Group) -> None:
        """Look at a sentence."""
        for place in self._candidates(group):
            values = values_at(group, place, self._groups.names)
            tally = self._tallies.setdefault(place, _Tally(place in self._groups.names))
            tally.add(values, group.lines)

    def marks(self, faults: Faults) -> Marks:
        """Return the notation found, noting errors."""
        used = [place for place, tally in self._tallies.items() if tally.used]
        if not used:
            self._refuse_others(faults)
            return Marks(self._options.entities, attributes=self._groups.attributes)
        place = min(used, key=self._rank)
        tally = self._tallies[place]
        for line, message in tally.broken if tally.parentheses else ():
            faults.add(line, message)
        if tally.parentheses:
            return Marks(place, attributes=self._groups.attributes)
        return self._tagged(place, tally, faults)

    def _refuse_others(self, faults: Faults) -> None:
        """Refuse a file whose tags stand under keys that are not known."""
        if self._others and self._options.entities is None:
            keys = ", ".join(map(repr, self._others))
            told = f"no entities under {', '.join(LIKELY)}, but MISC has tags under {keys}"
            key, line = next(iter(self._others.items()))
            faults.add(line, f"{told}; set entities, for example entities: {key}")

    def _tagged(self, place: str, tally: _Tally, faults: Faults) -> Marks:
        counts = tally.counts()
        given = self._options.scheme
        found = counts.detect(file_scheme_named(given) if given else None)
        for tag, line in tally.met.items():
            wrong = None if tag == EMPTY else complaint(tag, found.scheme)
            if wrong and _NUMBERED.fullmatch(tag):
                told = f"{tag!r} is an entity with its number, as NameTag writes it"
                faults.add(line, f"{told}; write tags instead, such as NER=B-PER", BAD_TAG)
            elif wrong:
                faults.add(line, wrong, BAD_TAG)
        return Marks(place, found, counts.illegal_pairs(found.scheme), tally.explicit)

    def _candidates(self, group: Group) -> Iterator[str]:
        names = self._groups.names
        if self._options.entities is not None:
            yield self._options.entities
            return
        yield from (name for name in names if _tail(name) in LIKELY)
        if MISC in names:
            column = names.index(MISC)
            keys = set(_KEY.findall("|".join([row[column] for row in group.rows])))
            if not self._tallies and not keys:
                self._look_elsewhere(group, column)
            yield from (keys | self._tallies.keys()) - set(names)

    def _look_elsewhere(self, group: Group, column: int) -> None:
        """Note other keys of MISC that hold tags."""
        for line, row in zip(group.lines, group.rows, strict=True):
            if "-" in row[column]:
                for found in _OTHER_KEY.finditer(row[column]):
                    self._others.setdefault(found[1], line)

    def _rank(self, place: str) -> tuple[bool, int]:
        tail = _tail(place)
        return place not in self._groups.names, LIKELY.index(tail) if tail in LIKELY else -1


class _Tally:
    """The counts for one place.

    Args:
        column: Whether it is a column, in which ``_`` is how nothing is written.
    """

    def __init__(self, column: bool) -> None:
        self._outside = {OUTSIDE, "*"} if column else {OUTSIDE, "*", EMPTY}
        self.used = self.explicit = self.parentheses = False
        self.met: dict[str, int] = {}
        self.broken: list[tuple[int, str]] = []
        self._counts = TagCounts(EMPTY)

    def add(self, values: Sequence[str | None], lines: Sequence[int]) -> None:
        """Count the values of a sentence."""
        self.explicit = self.explicit or not self._outside.isdisjoint(values)
        self.used = self.used or not _UNUSED.issuperset(values)
        tags = [OUTSIDE if value in OUTSIDE_TOO else value or EMPTY for value in values]
        self._counts.add(tags)
        if self.met.keys() >= set(tags):
            return
        for tag, line in zip(tags, lines, strict=True):
            if tag in self.met:
                continue
            self.met[tag] = line
            if (tag[0] == "(" or tag[-1] == ")") and complaint(tag) is not None:
                self.parentheses = True
            try:
                parse([tag if tag != OUTSIDE else None])
            except ValueError as error:
                self.broken.append((line, str(error)))

    def counts(self) -> TagCounts:
        """Which tag follows which; where no O is written, ``_`` is one."""
        if self.explicit:
            return self._counts
        counts = TagCounts()
        for (before, after), number in self._counts.pairs.items():
            pair = tuple(OUTSIDE if tag == EMPTY else tag for tag in (before, after))
            counts.pairs[pair[0], pair[1]] += number
        counts.sentences = self._counts.sentences
        return counts


def _tail(name: str) -> str:
    """A name without its prefix and its case: ``UNER:NER`` is NER."""
    return name.rpartition(":")[2].upper()
