"""Spans written as parentheses that open at their first token and close at their last.

``(PERSON*`` and ``*)`` of CoNLL-2012, ``(1-person-new(2-place)`` and ``1)`` of CoNLL-U: one
notation, in which any number of spans may open and close at a token.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ner.errors import DataWarning
from ner.schemes import outermost
from ner.sentence import Span

_EVENT = re.compile(r"\(([^()]*)|([^()]*)\)")
_SHOWN = 80  # characters of a value that a message repeats
_NOTHING = ("_", "*", "-", "", None)  # how a token without parentheses is written


@dataclass(slots=True)
class Parentheses:
    """The parsed parentheses of a sentence.

    Attributes:
        spans: The spans, nested ones too, with what stands after the opening parenthesis as
            their label.
        open: The places of spans that do not close in the sentence.
        strays: The places of closing parentheses that nothing has opened.
    """

    spans: list[Span] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    strays: list[int] = field(default_factory=list)


def parse(values: Sequence[str | None], id_of: Callable[[str], str] = str) -> Parentheses:
    """Read the spans of a sentence.

    Args:
        values: What each token has.
        id_of: What a span's closing parenthesis calls it, given what its opening one said; a
            closing parenthesis that names nothing closes the span opened last.

    Raises:
        ValueError: A value is no such notation; the message does not say where.
    """
    found, opened = Parentheses(), _Opened(id_of)
    for place, value in enumerate(values):
        if value is None or value in _NOTHING:
            continue
        for name, closes in _events(value):
            if not closes:
                opened.add(name, place)
            elif (opener := opened.take(name)) is None:
                found.strays.append(place)
            else:
                label, start = opener
                found.spans.append(Span(start, place + 1, label))
    found.open = opened.places()
    return found


class _Opened:
    """The spans that are open, each found at once by what closes it.

    Args:
        id_of: What a span's closing parenthesis calls it.
    """

    def __init__(self, id_of: Callable[[str], str]) -> None:
        self._id_of = id_of
        self._all: dict[int, tuple[str, int]] = {}
        self._by_id: dict[str, list[int]] = {}  # some of which may be closed already
        self._count = 0

    def add(self, name: str, place: int) -> None:
        self._all[self._count] = name, place
        self._by_id.setdefault(self._id_of(name), []).append(self._count)
        self._count += 1

    def take(self, name: str) -> tuple[str, int] | None:
        """The span of that id, or for an empty one the span, that was opened last."""
        if not name:
            return self._all.popitem()[1] if self._all else None
        numbers = self._by_id.get(name, [])
        while numbers:
            if (number := numbers.pop()) in self._all:
                return self._all.pop(number)
        return None

    def places(self) -> list[int]:
        return [place for _, place in self._all.values()]


def spell(spans: Iterable[Span], length: int) -> list[str]:
    """Write spans as CoNLL-2012 does: ``(PERSON*``, ``*``, ``*)``, ``(PERSON)``."""
    values = ["*"] * length
    for span in sorted(spans, reverse=True):
        if any(character in "()* \t\r\n" for character in span.label) or not span.label:
            raise ValueError(f"the label {span.label!r} cannot stand in parentheses")
        values[span.start] = f"({span.label}" + values[span.start]
        values[span.end - 1] += ")"
    return [value.replace("*)", ")") if value[0] == "(" else value for value in values]


def _events(value: str) -> list[tuple[str, bool]]:
    """Return the names opened and closed at a token (a close may be nameless)."""
    events, end = list[tuple[str, bool]](), 0
    while match := _EVENT.match(value, end):
        end = match.end()
        opens, closes = match.groups()
        events.append((opens.rstrip("*"), False) if closes is None else (closes.strip("*"), True))
    if end != len(value):
        raise ValueError(
            f"{value[:_SHOWN]!r} is not a row of parentheses such as '(PERSON*' or '*)'"
        )
    return events


class Losses:
    """Counts the spans a flat sentence cannot hold.

    Args:
        path: What the file is called.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._nested = 0
        self._crossing = 0
        self._first = 0

    def flat(self, spans: Sequence[Span], line: int) -> tuple[Span, ...]:
        """The outermost of the spans of a sentence; the others are counted."""
        kept = outermost(spans)
        self._nested += len(spans) - len(kept)
        if len(kept) < len(spans):
            self._first = self._first or line
        return kept

    def crossing(self, number: int, line: int) -> None:
        """Count spans that go beyond their sentence."""
        self._crossing += number
        if number:
            self._first = self._first or line

    def warn(self) -> None:
        """Say in one warning what was left out."""
        if not self._first:
            return
        parts = [
            f"{number} spans {how}"
            for number, how in (
                (self._nested, "inside or across another, of which the outermost are kept"),
                (self._crossing, "that go beyond their sentence"),
            )
            if number
        ]
        message = f"left out {', and '.join(parts)} (first in the sentence of line {self._first})"
        warning = DataWarning(message, path=self._path, count=self._nested + self._crossing)
        warnings.warn(warning, stacklevel=2)
