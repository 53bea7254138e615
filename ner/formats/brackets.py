r"""Inline brackets: one sentence a line, entities marked in the text itself.

``[PER Ada Obi] joined [ORG Kestrel Foods] .`` has the tokens separated by blanks. A document
begins with a line ``-DOCSTART- its-id``; empty lines are ignored. A backslash keeps the
character after it: ``\[``, ``\]``, ``\\``, and ``\n`` and ``\r`` for line ends. ``[? ...]``
marks tokens nobody has annotated.

The format has no place for other columns, scores, or the text the tokens were cut from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from ner.formats.alignment import where
from ner.formats.columns import BOUNDARY
from ner.formats.documents import Boundary, Parsed, in_documents, write_lines
from ner.formats.lines import Faults, LineOptions, numbered
from ner.sentence import Sentence, Span

UNKNOWN = "?"  # the label of tokens whose annotation is missing

OPTIONS = LineOptions

_PIECE = re.compile(r"(?:\\.|[^ \t\\])+|\\")
_PARTS = re.compile(r"(\[?)((?:\\.|[^\\\[\]])*)(\]?)")
_ESCAPED = re.compile(r"\\(.)")
_SPECIAL = re.compile(r"[\\\[\] \t\n\r]")
_LINE_ENDS = {"n": "\n", "r": "\r"}
_SPELLED = {"\n": r"\n", "\r": r"\r"}


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file; all bad lines are reported together at the end.

    For the options see `ner.formats.lines.LineOptions`.

    Raises:
        DataError: Lines cannot be decoded, or their brackets do not pair.
    """
    given = LineOptions(**options)
    faults = Faults(source) if given.faults is None else given.faults
    yield from in_documents(_parsed(numbered(source, given, faults), faults))
    if given.faults is None:
        faults.check()


def _parsed(lines: Iterable[tuple[int, str]], faults: Faults) -> Iterator[Parsed | Boundary]:
    """Yield the sentences and the boundaries between documents; bad lines are noted."""
    for number, text in lines:
        bare = text.strip(" \t")
        if bare == BOUNDARY or bare.startswith((f"{BOUNDARY} ", f"{BOUNDARY}\t")):
            yield Boundary(_plain(bare.removeprefix(BOUNDARY).lstrip(" \t")))
            continue
        try:
            found = parse(text)
        except ValueError as error:
            faults.add(number, str(error))
            continue
        if found.tokens:
            yield Parsed(found.tokens, found.spans, {}, found.unknown, number)


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write sentences, and a boundary line wherever another document begins.

    Raises:
        ValueError: A sentence or a token is empty, or spans overlap.
    """
    write_lines(file, sentences, _spelled, lambda name: _escaped(name, keep=" "))


def _spelled(sentence: Sentence) -> str:
    try:
        return spell(sentence)
    except ValueError as error:
        place = f"{where(sentence)}: " if sentence.line else ""
        raise ValueError(place + str(error)) from error


def parse(text: str) -> Sentence:
    """Read one sentence.

    Raises:
        ValueError: The brackets do not pair, or stand within a token.
    """
    tokens: list[str] = []
    spans: list[Span] = []
    unknown: set[int] = set()
    label, start = "", 0
    for piece in _PIECE.findall(text):
        opens, body, closes = _parts(piece)
        _check(piece, opens, body, closes, label)
        if opens:
            label, start = body, len(tokens)
            continue
        tokens.append(_plain(body))
        if closes and label == UNKNOWN:
            unknown.update(range(start, len(tokens)))
        elif closes:
            spans.append(Span(start, len(tokens), _plain(label)))
        label = "" if closes else label
    if label:
        raise ValueError(f"'[{label}' is never closed; end its last token with ']'")
    if tokens and len(unknown) == len(tokens):
        return Sentence(tuple(tokens))
    return Sentence(tuple(tokens), tuple(spans), unknown=frozenset(unknown))


def spell(sentence: Sentence) -> str:
    """Write one sentence, without its line end.

    Raises:
        ValueError: The sentence or a token is empty, or two spans overlap.
    """
    if not sentence.tokens:
        raise ValueError("a sentence has no tokens, which brackets cannot express")
    pieces = [_token(token, first=not place) for place, token in enumerate(sentence.tokens)]
    end = 0
    for start, stop, label in sorted([*_marked(sentence), *_unknown(sentence)]):
        if start < end:
            raise ValueError(
                f"tokens {start} to {stop} ({label}) overlap another span, which "
                "brackets cannot express"
            )
        pieces[start] = f"[{label} {pieces[start]}"
        pieces[stop - 1] += "]"
        end = stop
    return " ".join(pieces)


def _parts(piece: str) -> tuple[str, str, str]:
    """The opening bracket, what follows, the closing bracket; each may be empty."""
    found = _PARTS.fullmatch(piece)
    if found is None:
        raise ValueError(
            f"{piece!r} has a bracket or backslash within; write \\[ \\] \\\\ for the characters"
        )
    opens, body, closes = found.groups()
    return opens, body, closes


def _check(piece: str, opens: str, body: str, closes: str, label: str) -> None:
    """Refuse what opens or closes at the wrong place."""
    if opens and (closes or not body):
        raise ValueError(f"{piece!r} should be '[' and a label, then a blank and the tokens")
    if opens and label:
        raise ValueError(f"{piece!r} opens an entity inside '[{label}', which is not closed yet")
    if closes and not label:
        raise ValueError(f"{piece!r} closes an entity that is not open; write \\] for a bracket")
    if closes and not body:
        raise ValueError("']' stands alone; it belongs to the end of the entity's last token")


def _marked(sentence: Sentence) -> list[tuple[int, int, str]]:
    return [
        (span.start, span.end, r"\?" if span.label == UNKNOWN else _escaped(span.label))
        for span in sentence.spans or ()
    ]


def _unknown(sentence: Sentence) -> Iterable[tuple[int, int, str]]:
    """The runs of tokens whose annotation is missing."""
    length = len(sentence.tokens)
    places = sorted(sentence.unknown) if sentence.spans is not None else range(length)
    start = end = -1
    for place in places:
        if place != end and end > start:
            yield start, end, UNKNOWN
        start, end = (start if place == end else place), place + 1
    if end > start:
        yield start, end, UNKNOWN


def _token(token: str, *, first: bool) -> str:
    if not token:
        raise ValueError("a token is empty, which brackets cannot express")
    return "\\" + token if first and token == BOUNDARY else _escaped(token)


def _escaped(text: str, keep: str = "") -> str:
    def spell_one(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else _SPELLED.get(found[0], "\\" + found[0])

    return _SPECIAL.sub(spell_one, text)


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: _LINE_ENDS.get(found[1], found[1]), text)
