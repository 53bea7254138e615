"""Suspicious characters in tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

LONG_TOKEN = 50  # characters; the longest words of natural text have about 40
LONG_ADDRESS = 200  # of a token that is an address on the web

_NAMED = {
    "\ufeff": "a byte order mark",
    "\u200b": "a zero-width space",
    "\u200c": "a zero-width non-joiner",
    "\u200d": "a zero-width joiner",
    "\u2060": "a word joiner",
    "\u00ad": "a soft hyphen",
    "\u034f": "a combining grapheme joiner",
    "\u180e": "a Mongolian vowel separator",
    "\ufffd": "a replacement character, left by a wrong decoding",
    "\u00a0": "a no-break space",
    "\u2028": "a line separator",
    "\u2029": "a paragraph separator",
    "\u200e": "a left-to-right mark",
    "\u200f": "a right-to-left mark",
}
_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible format character",
    "Cn": "an unassigned character",
    "Co": "a private-use character",
    "Cs": "half of a surrogate pair",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
    "Zs": "a blank",
}
_JOINERS = "\u200c\u200d"
# Scripts in which a joiner between letters is ordinary spelling, by the names of their letters.
_JOINING = (
    *("ARABIC", "BENGALI", "DEVANAGARI", "GUJARATI", "GURMUKHI", "KANNADA", "KHMER", "MALAYALAM"),
    *("MONGOLIAN", "MYANMAR", "ORIYA", "SINHALA", "SYRIAC", "TAMIL", "TELUGU", "TIBETAN"),
)
_PLAIN = re.compile(rf"[!-%'-~]{{1,{LONG_TOKEN}}}")  # nothing is odd about ASCII without an escape
_ESCAPE = re.compile(r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,5});", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_ALIKE = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}  # scripts with look-alikes
# The Greek letters that look Latin; the others stand in names such as TNFα on purpose.
_GREEK_ALIKE = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοϲϳν")
_JAPANESE = frozenset(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"))
_LATIN = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеіјорсухѕԁԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοϲϳν" + "‐‑‒–—−",
    "ABESIJKMHOPCTYXaeijopcyxsdqw" + "ABEZHIKMNOPTYXocjv" + "------",
)  # look-alikes of Latin letters and of the hyphen
_ADDRESS = re.compile(r"://|^www\.|^/|@", re.IGNORECASE)


def oddities(token: str) -> Iterator[tuple[str, str]]:
    """Yield each oddity of a token as the kind of finding and a message."""
    if _PLAIN.fullmatch(token):
        return
    if token.isspace():
        yield "blank-token", f"{token!r} is only white space"
        return
    limit = LONG_ADDRESS if _ADDRESS.search(token) else LONG_TOKEN
    if len(token) > limit:
        yield "long-token", f"the token {token[:LONG_TOKEN]!r}... has {len(token)} characters"
    if token.isascii():
        if not token.isprintable() or " " in token:
            yield from _characters(token)
        if "&" in token and _ESCAPE.search(token):
            yield "odd-character", f"{token!r} contains an HTML entity"
    else:
        yield from _beyond_ascii(token)


def _beyond_ascii(token: str) -> Iterator[tuple[str, str]]:
    yield from _characters(token)
    repaired = mended(token)
    if repaired is not None:
        yield "mojibake", f"{token!r} may be {repaired!r}, decoded with the wrong encoding"
    scripts = mixed(token)
    if scripts:
        yield "mixed-script", f"{token!r} mixes {' and '.join(scripts)} letters: {spelled(token)}"
    if not unicodedata.is_normalized("NFC", token):
        yield "unnormalised", f"{token!r} is not in normal form C: {spelled(token)}"


def mended(token: str) -> str | None:
    """Return the token before its UTF-8 was read as Windows-1252, if that is what happened."""
    try:
        repaired = b"".join(map(_byte, token)).decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None
    if repaired == token or not repaired.isprintable():
        return None
    return repaired if _plausible(repaired) else None


def _plausible(text: str) -> bool:
    """Return whether all letters and marks are of one script, and Latin ones are common.

    ``ß«`` is the UTF-8 of a mark of N'Ko: what looks like a wrong encoding may be a word before
    a quotation mark.
    """
    letters = [one for one in text if unicodedata.category(one)[0] in "LM"]
    scripts = {_script(one) for one in letters} - {"COMBINING", "MODIFIER"}
    if len(scripts - _JAPANESE) > 1 or unicodedata.category(text[0])[0] == "M":
        return False
    return not any("\u0250" <= one <= "\u02ff" for one in letters)  # phonetic letters


def skeleton(label: str) -> str:
    """A label without case, invisible characters, and what tells look-alike letters apart."""
    plain = unicodedata.normalize("NFKC", label)
    seen = "".join(one for one in plain if unicodedata.category(one) != "Cf")
    return " ".join(seen.translate(_LATIN).split()).casefold()


def mixed(token: str) -> list[str]:
    """The scripts of a run of letters in a token, if look-alikes of several stand together."""
    for run in _LETTERS.findall(token):
        scripts = sorted({_script(letter) for letter in run if _may_deceive(letter)})
        if len(scripts) > 1:
            return [script.title() for script in scripts]
    return []


def spelled(token: str) -> str:
    """The characters of a token beyond ASCII by their numbers."""
    odd = [one for one in dict.fromkeys(token) if not one.isascii()]
    shown = [f"{one} " if one.isprintable() else "" for one in odd]
    return " ".join(f"{sign}U+{ord(one):04X}" for sign, one in zip(shown, odd, strict=True))


def _characters(token: str) -> Iterator[tuple[str, str]]:
    """Yield the invisible and invalid characters of a token, each once."""
    told = set()
    for place, character in enumerate(token):
        if character in told or not _odd(character):
            continue
        if character in _JOINERS and _joins(token[place - 1 : place], token[place + 1 : place + 2]):
            continue
        told.add(character)
        what = _NAMED.get(character) or _CATEGORIES[unicodedata.category(character)]
        where = "is" if len(token) == 1 else "contains"
        yield "odd-character", f"{token!r} {where} {what}, U+{ord(character):04X}"


@cache
def _odd(character: str) -> bool:
    return character in _NAMED or unicodedata.category(character) in _CATEGORIES


def _joins(before: str, after: str) -> bool:
    """Return whether a joiner stands where it is ordinary: in some scripts, and within an emoji."""
    if not before or not after:
        return False
    left = unicodedata.name(before[-1], "")
    return left.startswith((*_JOINING, "VARIATION", "EMOJI")) or (
        unicodedata.category(before[-1]) in ("So", "Sk", "Mn")
    )


def _byte(character: str) -> bytes:
    """The byte that reads as a character in Windows-1252, or in Latin-1 where that has none."""
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")


@cache
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split()[0]


@cache
def _may_deceive(letter: str) -> bool:
    script = _script(letter)
    return script in _ALIKE and (script != "GREEK" or letter in _GREEK_ALIKE)
