"""Findings and their kinds, and bounded tables of what was seen in all files together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Generic, NamedTuple, TypeVar

from ner.errors import Fault

ERROR, WARNING, NOTE = "error", "warning", "note"
KEPT = 1_000  # different findings of a kind that are kept; the others are counted
FIRST = 3  # lines remembered of equal findings


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: ``error`` for what is wrong in any case, ``warning`` for what usually is,
            ``note`` for what is worth knowing.
        title: What the findings of this kind are.
    """

    severity: str
    title: str


KINDS: dict[str, Kind] = {
    "unreadable": Kind(ERROR, "files that cannot be read"),
    "bad-line": Kind(ERROR, "malformed lines"),
    "bad-tag": Kind(ERROR, "invalid tags"),
    "illegal-tag": Kind(ERROR, "illegal tag sequences"),
    "label-case": Kind(ERROR, "labels that differ only by case"),
    "label-alike": Kind(ERROR, "labels that differ only by a look-alike or invisible character"),
    "blank-edge": Kind(ERROR, "entities that begin or end with white space"),
    "misaligned": Kind(ERROR, "spans that do not fall on token boundaries"),
    "overlapping": Kind(WARNING, "spans that overlap a longer one and are left out"),
    "reader": Kind(WARNING, "reader warnings"),
    "no-entity": Kind(WARNING, "files without entities"),
    "unannotated": Kind(WARNING, "files with unannotated sentences"),
    "odd-character": Kind(WARNING, "tokens with unexpected characters"),
    "blank-token": Kind(WARNING, "tokens that are only white space"),
    "mojibake": Kind(WARNING, "tokens decoded with the wrong encoding"),
    "mixed-script": Kind(WARNING, "tokens with look-alike letters of several scripts"),
    "punctuation-edge": Kind(WARNING, "entities that begin or end with punctuation"),
    "label-conflict": Kind(WARNING, "mentions with several labels"),
    "rare-label": Kind(WARNING, "rare labels"),
    "suspicious-o": Kind(WARNING, "words outside entities that are nearly always an entity"),
    "annotation-conflict": Kind(WARNING, "sentences annotated in different ways"),
    "duplicate": Kind(WARNING, "sentences repeated in their file"),
    "leak": Kind(WARNING, "sentences that also occur in an earlier file"),
    "long-sentence": Kind(WARNING, "very long sentences"),
    "long-token": Kind(WARNING, "very long tokens"),
    "unnormalised": Kind(NOTE, "tokens not in Unicode's normal form C"),
}


@dataclass(slots=True)
class Finding:
    """Something found at a place of a file, or at several.

    Attributes:
        kind: A key of ``KINDS``.
        path: The file.
        line: The first line, counted from 1; 0 where the finding is about the whole file.
        message: What was found.
        count: How often the same was found in that file.
        lines: The first three lines.
    """

    kind: str
    path: str
    line: int
    message: str
    count: int = 1
    lines: tuple[int, ...] = ()

    def __str__(self) -> str:
        text = str(Fault(self.path, self.line, self.kind, self.message))
        if self.count == 1:
            return text
        more = ", ..." if self.count > len(self.lines) else ""
        where = f": lines {', '.join(map(str, self.lines))}{more}" if self.line else ""
        return f"{text} ({self.count:,} times{where})"


class Findings:
    """All findings: counted, and the first thousand different ones of each kind kept.

    Args:
        ignore: Kinds that are neither counted nor kept.

    Attributes:
        counts: How many there are of each kind.

    Raises:
        ValueError: The kind is unknown.
    """

    def __init__(self, ignore: Iterable[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: dict[str, dict[tuple[str, str], Finding]] = {kind: {} for kind in KINDS}
        self._ignored = frozenset(ignore)
        for kind in sorted(self._ignored - KINDS.keys()):
            near = get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(KINDS)}"
            raise ValueError(f"ignore: unknown kind of finding {kind!r}; {hint}")

    def add(self, kind: str, path: str, line: int, message: str, count: int = 1) -> None:
        """Note a finding; what is the same in the same file is one finding."""
        if kind in self._ignored:
            return
        self.counts[kind] += count
        kept = self._kept[kind]
        same = kept.get((path, message))
        if same is not None:
            same.count += count
            if len(same.lines) < FIRST and line not in same.lines:
                same.lines += (line,)
        elif len(kept) < KEPT:
            kept[path, message] = Finding(kind, path, line, message, count, (line,))

    def __iter__(self) -> Iterator[Finding]:
        """The findings that were kept, errors before warnings before notes."""
        for kind in self.kinds():
            yield from self.of(kind)

    def kinds(self) -> list[str]:
        """The kinds there are findings of, in the order of ``KINDS``."""
        return [kind for kind in KINDS if self.counts[kind]]

    def of(self, kind: str) -> list[Finding]:
        """The findings of a kind that were kept, those of a file together."""
        found = list(self._kept[kind].values())
        files = dict.fromkeys(one.path for one in found)
        order = {path: place for place, path in enumerate(files)}
        return sorted(found, key=lambda one: order[one.path])

    def number(self, severity: str) -> int:
        """Return the number of findings of a severity."""
        return sum(n for kind, n in self.counts.items() if KINDS[kind].severity == severity)

    def to_dict(self) -> list[dict[str, Any]]:
        """The findings that were kept, for JSON and CSV."""
        return [{"severity": KINDS[one.kind].severity, **asdict(one)} for one in self]


SENTENCES = 1_000_000
FORMS = 500_000
MENTIONS = 200_000
PLACES = 3  # lines remembered of each label of a mention

_ANNOTATION, _LINE, _NAME = (1 << 32) - 1, (1 << 40) - 1, (1 << 24) - 1

Form = tuple[str, ...]
Thing = TypeVar("Thing", bound=Hashable)


class Place(NamedTuple):
    """A place in a file."""

    path: str
    line: int


class Use:
    """The number of times a mention has a label, and its first place.

    Attributes:
        count: How often.
        places: The first places.
    """

    __slots__ = ("count", "places")

    def __init__(self) -> None:
        self.count = 0
        self.places: list[Place] = []

    @property
    def full(self) -> bool:
        """Return whether no further place is remembered."""
        return len(self.places) == PLACES

    def add(self, path: str, line: int) -> None:
        """Count one more."""
        self.count += 1
        if not self.full:
            self.places.append(Place(path, line))


class Known(Generic[Thing]):
    """Which files hold something, for as many different things as there is room for.

    Args:
        room: How many.

    Attributes:
        full: Whether there were more.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._files: dict[Thing, int] = {}
        self._file = 0  # the last file that something was noted of,
        self._here: set[Thing] = set()  # and what it holds
        self.full = False

    def files(self, thing: Thing) -> int:
        """The files that hold it, one bit each."""
        return self._files.get(thing, 0)

    def add(self, things: Collection[Thing], file: int) -> list[Thing]:
        """Note what a file holds; those things that are new in it, or have no room."""
        files = self._files
        if file != self._file:
            self._file = file
            self._here = {thing for thing, known in files.items() if known & file}
        here = self._here
        if here.issuperset(things):  # nearly always, and much faster than one by one
            return []
        new = list(dict.fromkeys(thing for thing in things if thing not in here))
        for thing in new:
            known = files.get(thing, 0)
            if known or len(files) < self._room:
                files[thing] = known | file
                here.add(thing)
            else:
                self.full = True
        return new


class Seen(NamedTuple):
    """A sentence that was seen before.

    Attributes:
        name: What the file is called that it stands in first, by its number.
        line: The line there.
        files: The files that hold it, one bit each.
        same: Whether it is annotated there as it is here.
    """

    name: int
    line: int
    files: int
    same: bool


class Sentences:
    """The first place of each sentence, and its annotation there.

    A sentence is known by a hash of 64 bits, an annotation by one of 32, and all that is known
    of a sentence is one number: a million of them take some 120 MB.
    """

    def __init__(self, room: int = SENTENCES) -> None:
        self._room = room
        self._known: dict[int, int] = {}
        self.full = False

    def add(self, tokens: Form, annotation: int, file: int, name: int, line: int) -> Seen | None:
        """Note a sentence; what was known of it, if it is not new."""
        key, mark, bit = hash(tokens), annotation & _ANNOTATION, 1 << file
        known = self._known.get(key)
        if known is None:
            if len(self._known) < self._room:
                self._known[key] = ((bit << 24 | name) << 40 | line) << 32 | mark
            else:
                self.full = True
            return None
        self._known[key] = known | bit << 96
        first = known >> 72 & _NAME
        return Seen(first, known >> 32 & _LINE, known >> 96, known & _ANNOTATION == mark)


class Mentions:
    """The labels of each mention, and where.

    Attributes:
        known: Which files hold each mention.
    """

    def __init__(self, room: int = MENTIONS) -> None:
        self._room = room
        self._uses: dict[Form, dict[str, Use]] = {}
        self.known: Known[Form] = Known(room)

    def add(self, form: Form, label: str, place: Place) -> Use | None:
        """Count a mention; what is known of it with that label, if there is room for it."""
        uses = self._uses.get(form)
        if uses is None:
            if len(self._uses) >= self._room:
                return None
            uses = self._uses[form] = {}
        use = uses.get(label)
        if use is None:
            use = uses[label] = Use()
        use.add(place.path, place.line)
        return use

    def count(self, form: Form, label: str, times: int) -> None:
        """Count a mention that is known, several times."""
        self._uses[form][label].count += times

    def conflicts(self) -> Iterator[tuple[Form, dict[str, Use]]]:
        """The mentions with several labels, and how often each."""
        return ((form, uses) for form, uses in self._uses.items() if len(uses) > 1)

    def counted(self, least: int) -> Iterator[tuple[Form, int]]:
        """The mentions there are at least so often, and how often."""
        for form, uses in self._uses.items():
            count = sum(use.count for use in uses.values())
            if count >= least:
                yield form, count


class Seekers:
    """Finds forms among tokens.

    Args:
        forms: What to look for.
    """

    def __init__(self, forms: Iterable[Form]) -> None:
        self._by_first: dict[str, list[Form]] = {}
        for form in sorted(forms, key=len, reverse=True):
            self._by_first.setdefault(form[0], []).append(form)

    def among(self, tokens: Form) -> Iterator[tuple[int, Form]]:
        """Yield the forms found, from left to right, the longest first, without nesting."""
        by_first = self._by_first
        if by_first.keys().isdisjoint(tokens):
            return
        end = 0
        for place in [place for place, token in enumerate(tokens) if token in by_first]:
            if place < end:
                continue
            for form in by_first[tokens[place]]:
                if tokens[place : place + len(form)] == form:
                    yield place, form
                    end = place + len(form)
                    break
