"""Find the column of the entities in a CoNLL-U file, and their notation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ner.errors import BAD_TAG
from ner.formats.detection import Detection, TagCounts, complaint
from ner.formats.faults import Faults
from ner.formats.parentheses import parse
from ner.formats.treebank import MISC, Group, Groups, TreebankOptions, values_at
from ner.schemes import OUTSIDE, file_scheme_named

LIKELY = ("NER", "NE", "ENTITY", "ENTITIES")  # columns or keys of MISC, the likeliest first
EMPTY = "_"
OUTSIDE_TOO = ("*", None)  # how a token outside any entity is written, besides O

_KEY = re.compile(r"(?:^|\|)(" + "|".join(LIKELY) + r")=", re.IGNORECASE)
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
            told = f"no entity is marked under {', '.join(LIKELY)}, but MISC has tags under {keys}"
            key, line = next(iter(self._others.items()))
            faults.add(line, f"{told}; set entities, for example entities: {key}")

    def _tagged(self, place: str, tally: _Tally, faults: Faults) -> Marks:
        counts = tally.counts()
        given = self._options.scheme
        found = counts.detect(file_scheme_named(given) if given else None)
        for tag, line in tally.met.items():
            wrong = None if tag == EMPTY else complaint(tag, found.scheme)
            if wrong:
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
            keys = {match[1] for row in group.rows for match in _KEY.finditer(row[column])}
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
        self._said = {OUTSIDE, "*"} if column else {OUTSIDE, "*", EMPTY}
        self.used = self.explicit = self.parentheses = False
        self.met: dict[str, int] = {}
        self.broken: list[tuple[int, str]] = []
        self._counts = TagCounts(EMPTY)

    def add(self, values: Sequence[str | None], lines: Sequence[int]) -> None:
        """Count the values of a sentence."""
        self.explicit = self.explicit or not self._said.isdisjoint(values)
        tags = [OUTSIDE if value in OUTSIDE_TOO else value or EMPTY for value in values]
        self._counts.add(tags)
        for tag, value, line in zip(tags, values, lines, strict=True):
            self.used = self.used or value not in (None, EMPTY)
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
