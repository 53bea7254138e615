"""Split the tokens of a raw text into sentences, in linear time and without spaCy.

A line end always ends a sentence, so that headings, list items and paragraphs stay apart. Within a
line a sentence ends at `.`, `!`, `?` and the like, together with the quotes and brackets that
close there, unless the next word goes on in lower case. The dot of an abbreviation ends a sentence
only before a word that usually opens one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ner.tokenizer import Offsets

_END = re.compile(r"[.!?…]+|[。！？．｡؟۔।॥]+")
_FULL_WIDTH = "。！？．｡"  # written without a blank after them
_CLOSING = frozenset(")]}”’»」』）】\"'")
_TWO_SIDED = frozenset("\"'")  # opening or closing, as the blanks around them say
_LETTERS_AND_DOTS = re.compile(r"(?:[^\W\d_]\.)+")  # J., U.S.
_NOTE = re.compile(r"\[\d{1,3}\]")  # the number of a footnote
_NUMBER_OR_LETTER = re.compile(r"[(\[]?(?:\d{1,3}|[^\W\d_])[)\]]?")
# Abbreviations that stand before a name, a number or the rest of a phrase.
_BEFORE_A_NAME = """
mr. mrs. ms. dr. prof. rev. hon. gen. col. maj. capt. lt. sgt. cpl. adm. gov. sen. rep. pres.
st. mt. ft. vs. v. cf. eg. ie. e.g. i.e. approx. est. fig. figs. eq. vol. vols. pp. ed. eds.
no. nos. bzw. ca. nr. hr. fr. sra. sres. dña. avda. z.b. d.h. u.a. bl.a. f.eks.
"""
_NEVER_LAST = frozenset(_BEFORE_A_NAME.split())
# Words with a capital letter that usually open a sentence after an abbreviation.
_CAPITALISED = """
The A An This That These Those There Here He She It They We You I In On At By For From With
After Before When While If As But And Or So Yet However Although Since Until Because Its His
Her Their Our My Your What Who Where Why How Not No Some Many Most All One Two Both Each Every
Also Then Now Once Meanwhile Instead According Despite During Under Over To Der Die Das Ein Eine
Er Sie Es Wir In Im Am Und Aber Le La Les Il Elle El Los Las Un Una En Het De Een Det Den Han
    Hun
"""
_OPENERS = frozenset(_CAPITALISED.split())


def split_sentences(text: str, tokens: Offsets) -> Iterator[tuple[int, int]]:
    """Yield where the sentences of a text are: their first token, and one past their last.

    Args:
        text: The text.
        tokens: The characters of its tokens, in order.
    """
    first, ending = 0, False
    for place, (start, end) in enumerate(tokens):
        if place > first:
            before = tokens[place - 1][1]
            gap = text[before:start]
            if ending and _closes(text, start, end, gap):
                continue
            if _is_line_end(gap) or (ending and _opens(text, tokens, place, gap)):
                yield first, place
                first = place
        ending = _ends(text, tokens, first, place)
    if first < len(tokens):
        yield first, len(tokens)


def _is_line_end(gap: str) -> bool:
    return "\n" in gap or "\r" in gap or "\u2028" in gap or "\u2029" in gap


def _ends(text: str, tokens: Offsets, first: int, place: int) -> bool:
    """Return whether a sentence may end with a token."""
    start, end = tokens[place]
    last = text[end - 1]
    if last == ".":
        token = text[start:end]
        if end - start > 1 and token.strip("."):
            return not (token.lower() in _NEVER_LAST or (end - start == 2 and token != "I."))
        return not (place == first + 1 and _is_numbering(text, tokens[first]))
    return _END.fullmatch(text, start, end) is not None


def _is_numbering(text: str, token: tuple[int, int]) -> bool:
    """Return whether the first token of a sentence is the number of an item: `1`, `(a)`."""
    return _NUMBER_OR_LETTER.fullmatch(text, *token) is not None


def _closes(text: str, start: int, end: int, gap: str) -> bool:
    """Return whether a token closes what ended before it."""
    if not _is_line_end(gap) and any(_NOTE.match(text, max(at, 0)) for at in (start, start - 1)):
        return True
    if text[start:end] not in _CLOSING and text[start:end] != "''":
        return False
    if not gap:
        return True
    return text[start] not in _TWO_SIDED and not _is_line_end(gap)


def _opens(text: str, tokens: Offsets, place: int, gap: str) -> bool:
    """Return whether a token opens a sentence where the one before may end."""
    end = tokens[place - 1][1]
    ended = text[tokens[place - 1][0] : end]
    word = _word(text, tokens, place)
    if word[:1].islower():
        return False
    if not gap and ended[-1] not in _FULL_WIDTH:
        return word[:1].isupper() and ended in (".", "!", "?")
    if ended[-1] == "." and ended.strip("."):  # an abbreviation
        return word in _OPENERS or (word[:1].isupper() and not _LETTERS_AND_DOTS.match(ended))
    return bool(word)


def _word(text: str, tokens: Offsets, place: int) -> str:
    """Return the first word from a token on, past two signs at most."""
    for start, end in tokens[place : place + 3]:
        if text[start].isalnum():
            return text[start:end]
    return text[slice(*tokens[place])]
