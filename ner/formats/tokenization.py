"""Find the tokens of raw text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from ner.tokenizer import UNSPACED, tokenize

Tokenizer = Callable[[str], list[tuple[int, int]]]

DEFAULT = "en"

_SPACED_BY_SPACY = ("ja", "th", "zh")  # languages whose spaCy tokenizer finds the words itself


@cache
def tokenizer_named(name: str) -> Tokenizer:
    """A function from a text to the characters of its tokens.

    Args:
        name: ``builtin`` for that of ``ner.tokenizer``; a language spaCy knows, for its blank
            tokenizer (white space is no token); ``plain`` for runs of letters and digits, and
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

    def tokenize(text: str) -> list[tuple[int, int]]:
        offsets = [
            (token.idx, token.idx + len(token))
            for token in tokenizer(text)
            if not token.text.isspace()
        ]
        if language in _SPACED_BY_SPACY or not _unspaced().search(text):
            return offsets
        return [part for one in offsets for part in _cut_unspaced(text, *one)]

    return tokenize


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
