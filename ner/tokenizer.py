"""Tokens of a raw text by rules of our own: linear in its length, and without spaCy.

Blanks separate. Of what stands between them, punctuation and symbols are split off, contractions
are split as in the Penn Treebank (`do n't`, `Ada 's`), and hyphens, addresses, numbers and
abbreviations are kept whole, as in the corpora of CoNLL-2003. Characters of scripts without blanks
are a token each. The rules suit English; they look at signs rather than words, and so do well
elsewhere.

Every step looks at a character a bounded number of times: no input takes more than linear time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

Offsets = list[tuple[int, int]]

# Scripts written without blanks: each character is a token, as in the usual corpora of them; so
# is each of their punctuation marks.
UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao; Tibetan; Myanmar; Khmer
    "\u3001-\u303f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana, Han
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff9f\U00020000-\U0003ffff"
)
REMEMBERED, LONG = 50_000, 40  # pieces whose tokens are remembered, and their most characters
_PIECE = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
_ADDRESS = re.compile(r"(?i)(?:https?|ftp)://\S+|www\.\S+|[^\s@<>()\[\],;:\"]+@[\w-]+(?:\.[\w-]+)+")
_LETTERS_AND_DOTS = re.compile(r"(?:[^\W\d_]\.)+")  # U.S., e.g.
_CONTRACTION = re.compile(r"(?i)(?:n['’]t|['’](?:s|re|ve|ll|d|m))\Z")
_ALONE = re.compile(r"(?i)['’](?:s|re|ve|ll|d|m|em|tis|twas)\Z")
_RUN = "-.=_*~#'`"  # signs of which several in a row are one token
_FIRST = "@#-+.~/\\_&"  # signs a token may begin with, if a letter or number follows
_LAST = "-+/_&#@*°"  # and may end with
_EMOJI = "\u2600-\u27bf\U0001f000-\U0001f3fa\U0001f400-\U0001faff"
# Within a token: signs that are tokens of their own, wherever they stand or between others.
_INNER = re.compile(
    r"\.{2,}|-{2,}|[…—()\[\]{}<>“”„«»;!?|=\"]"
    r"|(?<!\d)[,:]|[,:](?!\d)|(?<=[a-z][a-z])\.(?=[A-Z])"
    rf"|[{_EMOJI}](?:[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]|\u200d[{_EMOJI}])*"
)
_HEBREW = re.compile('[\u0590-\u05ff]"[\u0590-\u05ff]')
_JOINERS = "\u200c\u200d"
_ABBREVIATED = """
mr. mrs. ms. dr. prof. rev. hon. gen. col. maj. capt. lt. sgt. cpl. adm. gov. sen. rep. pres. st.
mt. ft. jr. sr. inc. co. corp. ltd. bros. plc. dept. univ. assn. ave. blvd. rd. no. nos. vs. v. etc.
al. cf. eg. ie. approx. est. fig. figs. eq. vol. vols. pp. ed. eds. jan. feb. mar. apr. jun. jul.
aug. sep. sept. oct. nov. dec. mon. tue. tues. wed. thu. thurs. fri. sat. sun. ph.d. m.d. b.a. m.a.
a.m. p.m. bzw. ca. usw. nr. str. hr. fr. sra. sres. dña. avda.
"""
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
LONGEST_ABBREVIATION = 12


def tokenize(text: str) -> Offsets:
    """Return where the tokens of a text are: the characters from start to end of each, in order."""
    found: Offsets = []
    for match in _PIECE.finditer(text):
        start = match.start()
        piece = match.group()
        if piece.isalnum():
            found.append(match.span())
            continue
        cut = _remembered(piece) if len(piece) <= LONG else _tokens(piece)
        found.extend((start + first, start + last) for first, last in cut)
    return found


def _tokens(piece: str) -> Offsets:
    """Return the tokens of what stands between blanks."""
    start = _first_inside(piece)
    before, start = _split_off_left(piece, start)
    after, end = _split_off_right(piece, start)
    if end - start > 2 and piece[start] == piece[end - 1] == "-":
        # Dashes around a word; -DOCSTART- as one token would be a boundary in a CoNLL file.
        before.append((start, start + 1))
        after.append((end - 1, end))
        start, end = start + 1, end - 1
    return [*before, *_inside(piece, start, end), *reversed(after)]


_remembered = lru_cache(REMEMBERED)(_tokens)


def _first_inside(piece: str) -> int:
    """Return where the first letter or number is; the length if there are only signs."""
    return next((at for at, sign in enumerate(piece) if sign.isalnum()), len(piece))


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign in _JOINERS or unicodedata.category(sign)[0] == "M"


def _signs(piece: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give signs one by one; several of some in a row, and what modifies one, together."""
    while start < end:
        after = start + 1
        alike = piece[start] in _RUN
        while after < end and ((alike and piece[after] == piece[start]) or _modifies(piece, after)):
            after += 1
        yield start, after
        start = after


def _modifies(piece: str, at: int) -> bool:
    """Return whether a sign belongs to the emoji before it."""
    sign = piece[at]
    joined = sign == "\u200d" or piece[at - 1] == "\u200d"
    return joined or "\ufe00" <= sign <= "\ufe0f" or "\U0001f3fb" <= sign <= "\U0001f3ff"


def _split_off_left(piece: str, first: int) -> tuple[Offsets, int]:
    """Return the signs before the first token, and where that begins."""
    if _ALONE.match(piece):
        return [], 0
    kept = first
    if 0 < first < len(piece) and piece[first - 1] in _FIRST:
        alone = first < 2 or piece[first - 2] != piece[first - 1]
        kept = first - 1 if alone else first
    return list(_signs(piece, 0, kept)), kept


def _split_off_right(piece: str, start: int) -> tuple[Offsets, int]:
    """Return the signs after the last token, the last first, and where that ends."""
    found: Offsets = []
    end = len(piece)
    while end > start:
        sign = piece[end - 1]
        if _is_word(sign) or (sign in _LAST and not _in_a_run(piece, start, end)):
            break
        if sign == "." and _keeps_dot(piece, start, end):
            break
        first = end - 1
        while first > start and sign in _RUN and piece[first - 1] == sign:
            first -= 1
        found.append((first, end))
        end = first
    return found, end


def _in_a_run(piece: str, start: int, end: int) -> bool:
    """Return whether the sign at the end is one of several in a row."""
    return end - 2 >= start and piece[end - 2] == piece[end - 1] and piece[end - 1] in _RUN


def _keeps_dot(piece: str, start: int, end: int) -> bool:
    """Return whether the dot at the end is that of an abbreviation."""
    if end - start > LONGEST_ABBREVIATION:
        return False
    word = piece[start:end]
    return word.lower() in _ABBREVIATIONS or _LETTERS_AND_DOTS.fullmatch(word) is not None


def _inside(piece: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the tokens between the signs before and after."""
    if start >= end:
        return
    if _ADDRESS.fullmatch(piece, start, end):
        yield start, end
        return
    for sign in _INNER.finditer(piece, start, end):
        first, last = sign.span()
        if piece[first] == '"' and first and _HEBREW.match(piece, first - 1):
            continue  # gershayim in an acronym
        if first > start:
            yield from _contracted(piece, start, first)
        yield first, last
        start = last
    if start < end:
        yield from _contracted(piece, start, end)


def _contracted(piece: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give a word, and the end of a contraction by itself."""
    found = _CONTRACTION.search(piece, max(start, end - 3), end)
    if found is not None and found.start() > start:
        yield start, found.start()
        start = found.start()
    yield start, end
