"""What is remembered of all files together, in tables that do not grow without bound."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

SENTENCES = 1_000_000
FORMS = 500_000
MENTIONS = 200_000
PLACES = 3  # lines remembered of each label of a mention

_ANNOTATION, _LINE, _NAME = (1 << 32) - 1, (1 << 40) - 1, (1 << 24) - 1

Form = tuple[str, ...]
Thing = TypeVar("Thing", bound=Hashable)


class Place(NamedTuple):
    """Where something stands."""

    path: str
    line: int


class Use:
    """How often a mention has a label, and where first.

    Attributes:
        count: How often.
        places: The first places.
    """

    __slots__ = ("count", "places")

    def __init__(self) -> None:
        self.count = 0
        self.places: list[Place] = []

    def add(self, path: str, line: int) -> None:
        """Count one more."""
        self.count += 1
        if len(self.places) < PLACES:
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
        self.full = False

    def files(self, thing: Thing) -> int:
        """The files that hold it, one bit each."""
        return self._files.get(thing, 0)

    def add(self, things: Iterable[Thing], file: int) -> list[Thing]:
        """Note what a file holds; those things that are new in it, or have no room."""
        files, new = self._files, list[Thing]()
        for thing in things:
            known = files.get(thing)
            if known is not None and known & file:
                continue
            new.append(thing)
            if known is not None or len(files) < self._room:
                files[thing] = (known or 0) | file
            else:
                self.full = True
        return new


class Seen(NamedTuple):
    """What is known of a sentence that stands somewhere already.

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
    """Where each sentence stands first, and how it is annotated there.

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

    def add(self, form: Form, label: str, place: Place) -> None:
        """Count a mention."""
        uses = self._uses.get(form)
        if uses is None:
            if len(self._uses) >= self._room:
                return
            uses = self._uses[form] = {}
        if label not in uses:
            uses[label] = Use()
        uses[label].add(place.path, place.line)

    def conflicts(self) -> Iterator[tuple[Form, dict[str, Use]]]:
        """The mentions that have several labels, and how often each."""
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
        """Where forms stand, from left to right, the longest first, none within another."""
        if self._by_first.keys().isdisjoint(tokens):
            return
        end = 0
        for place, token in enumerate(tokens):
            if place < end:
                continue
            for form in self._by_first.get(token, ()):
                if tokens[place : place + len(form)] == form:
                    yield place, form
                    end = place + len(form)
                    break
