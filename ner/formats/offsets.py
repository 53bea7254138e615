"""Tokens of raw text, and the units in which tools count its characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from ner.tokenizer import UNSPACED, tokenize

Tokenizer = Callable[[str], list[tuple[int, int]]]

DEFAULT = "en"

_SPACED_BY_SPACY = ("ja", "th", "zh")  # languages whose spaCy tokenizer finds the words itself


@cache
def tokenizer_named(name: str) -> Tokenizer:
    """A function from a text to the characters of its tokens.

    Args:
        name: ``builtin`` for that of ``ner.tokenizer``; a language spaCy knows, for its blank
            tokenizer (without white space); ``plain`` for runs of letters and digits, and
            single other characters; ``blanks`` for whatever stands between white space.

    Raises:
        ValueError: The tokenizer is unknown, or spaCy lacks a package it needs.
    """
    if name in TOKENIZERS:
        return TOKENIZERS[name]
    return _spacy_tokenizer(name)


def _plain(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in _plain_pattern().finditer(text)]


def _blanks(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(r"\S+", text)]


TOKENIZERS: dict[str, Tokenizer] = {"builtin": tokenize, "plain": _plain, "blanks": _blanks}


@cache
def _plain_pattern() -> re.Pattern[str]:
    r"""Characters of scripts without blanks, words with their marks, numbers, and the rest.

    ``\w`` knows no combining marks, without which no Hindi word is whole.
    """
    marks = "".join(
        chr(code) for code in range(0x300, 0x1E900) if unicodedata.category(chr(code))[0] == "M"
    )
    word = rf"(?:(?![{UNSPACED}])[\w{marks}])"
    return re.compile(rf"[{UNSPACED}]|\d+(?:[.,:]\d+)+|{word}+|\S")


def _spacy_tokenizer(language: str) -> Tokenizer:
    import spacy  # seconds, and only raw text needs it

    try:
        tokenizer = spacy.blank(language).tokenizer
    except (ImportError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"spaCy has no tokenizer for {language!r} here ({reason}); "
            f"name another language, or {' or '.join(TOKENIZERS)}"
        ) from error

    own = language in _SPACED_BY_SPACY

    def tokens(text: str, base: int) -> list[tuple[int, int]]:
        return [
            (base + token.idx, base + token.idx + len(token))
            for token in tokenizer(text)
            if not token.text.isspace()
        ]

    def cut(text: str) -> list[tuple[int, int]]:
        offsets, start = list[tuple[int, int]](), 0
        for found in () if own else _long().finditer(text):  # on which spaCy takes quadratic time
            offsets += tokens(text[start : found.start()], start)
            offsets += [
                (found.start() + one, found.start() + end) for one, end in tokenize(found[0])
            ]
            start = found.end()
        offsets += tokens(text[start:], start)
        if own or not _unspaced().search(text):
            return offsets
        return [part for one in offsets for part in _cut_unspaced(text, *one)]

    return cut


@cache
def _long() -> re.Pattern[str]:
    """Runs of characters longer than any word, and than most addresses."""
    return re.compile(rf"[^\s{UNSPACED}]{{500,}}")


@cache
def _unspaced() -> re.Pattern[str]:
    return re.compile(f"[{UNSPACED}]")


def _cut_unspaced(text: str, start: int, end: int) -> list[tuple[int, int]]:
    if not _unspaced().search(text, start, end):
        return [(start, end)]
    return [found.span() for found in _plain_pattern().finditer(text, start, end)]


def is_unspaced(one: str) -> bool:
    """Return whether a character is of a script that is written without blanks."""
    return one > "\u0dff" and _unspaced().match(one) is not None


CHARACTERS = "characters"
UNITS = (CHARACTERS, "utf-16", "bytes")
MODIFIERS = ("inclusive", "lf", "collapsed", "bom")
REMEMBERED = 200  # texts that fit as they are, kept to try other ways of counting on
SHORT = 10_000  # characters of a text that is worth keeping
MARK = "\ufeff"


class Bounds(NamedTuple):
    """A span as a file gives it.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        label: The type of entity.
        says: The text it quotes, where it quotes any.
        score: Its probability, where that is known.
    """

    start: int
    end: int
    label: str
    says: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Counting:
    """One way to count.

    Attributes:
        name: What users call it.
        unit: ``characters`` (code points), ``utf-16`` (an emoji is two) or ``bytes`` (of UTF-8).
        inclusive: Whether an end is the last character instead of one past it.
        lf: Whether CRLF counts as one.
        collapsed: Whether a run of white space counts as one.
        bom: Whether a byte order mark counts where the text lacks it, or does not where it has it.
    """

    name: str
    unit: str = CHARACTERS
    inclusive: bool = False
    lf: bool = False
    collapsed: bool = False
    bom: bool = False

    @property
    def plain(self) -> bool:
        """Return whether characters are counted, one past the last one being the end."""
        return self.name == CHARACTERS

    def applied(self, text: str, spans: Iterable[Bounds]) -> list[Bounds]:
        """The same spans counted in characters; -1 is a place that no character begins at."""
        place = self._places(text)
        last = int(self.inclusive)
        return [one._replace(start=place(one.start), end=place(one.end + last)) for one in spans]

    def _places(self, text: str) -> Callable[[int], int]:
        shift = 0 if not self.bom else 1 if text.startswith(MARK) else -1
        if self.unit == CHARACTERS and not (self.lf or self.collapsed):
            return lambda unit: unit + shift
        widths = map(self._width, text, " " + text[:-1])
        places = [place for place, width in enumerate(widths) for _ in range(width)]
        places.append(len(text))
        return lambda unit: places[unit + shift] if 0 <= unit + shift < len(places) else -1

    def _width(self, one: str, before: str) -> int:
        if self.lf and one == "\n" and before == "\r":
            return 0
        if self.collapsed and one.isspace() and before.isspace():
            return 0
        if self.unit == "utf-16":
            return 1 + (one > "\uffff")
        return len(one.encode("utf-8", "surrogatepass")) if self.unit == "bytes" else 1


@cache
def counting_named(name: str) -> Counting:
    """The way to count of that name: a unit, modifiers, or both, such as ``utf-16 inclusive``.

    Raises:
        ValueError: The unit is unknown.
    """
    words = name.split()
    units = [word for word in words if word in UNITS] or [CHARACTERS]
    if not words or len(units) > 1 or set(words) - {*UNITS, *MODIFIERS}:
        raise ValueError(
            f"offsets must be one of {', '.join(UNITS)}, with or without "
            f"{', '.join(MODIFIERS)}, such as 'utf-16 inclusive'; got {name!r}"
        )
    return Counting(name, units[0], **{word: word in words for word in MODIFIERS})


OTHERS = tuple(
    counting_named(name)
    for name in (
        *("utf-16", "bytes", "inclusive", "lf", "collapsed", "bom"),
        *("utf-16 inclusive", "utf-16 lf", "bytes lf", "bytes bom", "utf-16 lf inclusive"),
    )
)


def fits(text: str, one: Bounds) -> bool:
    """Return whether a span matches its quote or, without a quote, covers whole tokens."""
    start, end = one.start, one.end
    if not 0 <= start < end <= len(text):
        return False
    if one.says is not None:
        return agrees(text, one) and _edges(text[start:end]) == _edges(one.says)
    if text[start].isspace() or text[end - 1].isspace():
        return False
    return _parts(text, start) and _parts(text, end)


def agrees(text: str, one: Bounds) -> bool:
    """Return whether a span quotes what stands there, white space aside, or quotes nothing."""
    if one.says is None:
        return True
    inside = text[one.start : one.end] if 0 <= one.start < one.end else ""
    return inside == one.says or inside.split() == one.says.split()


def quoted(text: str, spans: Sequence[Bounds]) -> list[Bounds] | None:
    """The spans counted in the first other way in which all of them say what they quote."""
    if any(one.says is None for one in spans):
        return None
    for counting in OTHERS:
        found = counting.applied(text, spans)
        if all(fits(text, one) for one in found):
            return found
    return None


def fitting(text: str, spans: Sequence[Bounds]) -> str | None:
    """The name of the first other way of counting in which all spans fit, if there is one."""
    for counting in OTHERS:
        if all(fits(text, one) for one in counting.applied(text, spans)):
            return counting.name
    return None


def _edges(text: str) -> tuple[bool, bool]:
    """Return whether a text begins and ends with white space."""
    return text[:1].isspace(), text[-1:].isspace()


def _parts(text: str, place: int) -> bool:
    """Return whether a token may end at a place."""
    if place in (0, len(text)):
        return True
    before, after = text[place - 1], text[place]
    return not (_in_word(before) and _in_word(after))


def _in_word(one: str) -> bool:
    return one.isalnum() and not is_unspaced(one)


class Evidence:
    """Looks at the spans of a file for the way in which their characters are counted.

    Args:
        chosen: What the reader was set to; nothing is asked where it was set.
    """

    def __init__(self, chosen: str | None) -> None:
        self._asked = chosen is None
        self._good: list[tuple[str, Sequence[Bounds]]] = []
        self._others = list(OTHERS)
        self._misfits = self._open = 0

    def add(self, text: str, spans: Sequence[Bounds]) -> None:
        """Look at the spans of a text."""
        if not (self._asked and spans):
            return
        misfits = sum(not fits(text, one) for one in spans)
        self._misfits += misfits
        if misfits:
            self._keep(text, spans)
        elif not text.isascii() and max(text) > "\uffff":
            self._open += _undecided(text, spans)
        if len(self._good) < REMEMBERED and len(text) <= SHORT:
            self._good.append((text, spans))

    def _keep(self, text: str, spans: Sequence[Bounds]) -> None:
        """Keep the ways of counting in which these spans fit."""
        self._others = [
            one
            for one in self._others
            if all(fits(text, span) for span in one.applied(text, spans))
        ]

    def remark(self) -> str | None:
        """Return a remark on the file, if any."""
        if self._misfits:
            for text, spans in self._good if self._others else ():
                self._keep(text, spans)
            if self._others:
                name = self._others[0].name
                return (
                    f"{self._misfits} span{'s' * (self._misfits > 1)} would fit, and so would all "
                    f"others, with another unit; set offsets: {name}"
                )
        elif self._open:
            return (
                f"{self._open} text{'s' * (self._open > 1)} with characters beyond U+FFFF: the "
                "spans fit both as characters and as UTF-16 units, and mean different tokens; they "
                "are read as characters; set offsets: utf-16 or offsets: characters"
            )
        return None


def _undecided(text: str, spans: Sequence[Bounds]) -> bool:
    """Return whether spans without quotes also fit in UTF-16, with another meaning."""
    if any(one.says is not None for one in spans):
        return False
    wide = OTHERS[0].applied(text, spans)
    return wide != list(spans) and all(fits(text, one) for one in wide)
