"""Tokens and sentences of a raw text by rules of our own: in linear time, and without spaCy.

Blanks separate. Of what stands between them, punctuation and symbols are split off, contractions
are split as in the Penn Treebank (`do n't`, `Ada 's`), and hyphens, addresses, numbers and
abbreviations are kept whole, as in the corpora of CoNLL-2003. Characters of scripts without blanks
are a token each. The rules suit English; they look at signs rather than words, and so do well
elsewhere.

Every step looks at a character a bounded number of times: no input takes more than linear time.

A line end always ends a sentence, so that headings, list items and paragraphs stay apart. Within a
line a sentence ends at `.`, `!`, `?` and the like, together with the quotes and brackets that
close there, unless the next word continues in lower case. The dot of an abbreviation ends a
sentence only before a word that usually opens one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache

Offsets = list[tuple[int, int]]

# Scripts written without spaces: each character is a token, as in the usual corpora of them; so is
# each of their punctuation marks.
UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao; Tibetan; Myanmar; Khmer
    "\u3001-\u303f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana, Han
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff9f\U00020000-\U0003ffff"
)
REMEMBERED, LONG = 50_000, 40  # the number of cached pieces, and their maximum length
_PIECE_OF_ASCII = re.compile(r"\S+")
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
    """Return the start and end characters of each token of a text, in order."""
    found: Offsets = []
    pieces = _PIECE_OF_ASCII if text.isascii() else _piece()
    for match in pieces.finditer(text):
        start = match.start()
        piece = match.group()
        if piece.isalnum():
            found.append(match.span())
            continue
        cut = _remembered(piece) if len(piece) <= LONG else _tokens(piece)
        found.extend((start + first, start + last) for first, last in cut)
    return found


@cache
def _piece() -> re.Pattern[str]:
    """Return the pattern of pieces of any text, which takes 8 ms to compile."""
    return re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


def _tokens(piece: str) -> Offsets:
    """Return the tokens of a piece of text without spaces."""
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
    """Return the position of the first letter or digit; the length if there are only signs."""
    return next((at for at, sign in enumerate(piece) if sign.isalnum()), len(piece))


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign in _JOINERS or unicodedata.category(sign)[0] == "M"


def _signs(piece: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield signs one by one; runs of some, and modifiers, together."""
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
    """Return the signs before the first token, and the start of that token."""
    if _ALONE.match(piece):
        return [], 0
    kept = first
    if 0 < first < len(piece) and piece[first - 1] in _FIRST:
        alone = first < 2 or piece[first - 2] != piece[first - 1]
        kept = first - 1 if alone else first
    return list(_signs(piece, 0, kept)), kept


def _split_off_right(piece: str, start: int) -> tuple[Offsets, int]:
    """Return the signs after the last token, the last first, and the end of that token."""
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
    """Return whether the sign at the end is part of a run."""
    return end - 2 >= start and piece[end - 2] == piece[end - 1] and piece[end - 1] in _RUN


def _keeps_dot(piece: str, start: int, end: int) -> bool:
    """Return whether the dot at the end belongs to an abbreviation."""
    if end - start > LONGEST_ABBREVIATION:
        return False
    word = piece[start:end]
    return word.lower() in _ABBREVIATIONS or _LETTERS_AND_DOTS.fullmatch(word) is not None


def _inside(piece: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the tokens between the signs before and after."""
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
    """Yield a word, and the end of a contraction separately."""
    found = _CONTRACTION.search(piece, max(start, end - 3), end)
    if found is not None and found.start() > start:
        yield start, found.start()
        start = found.start()
    yield start, end


_END = re.compile(r"[.!?…]+|[。！？．｡؟۔।॥]+")
_FULL_WIDTH = "。！？．｡"  # not followed by a space
_CLOSING = frozenset(")]}”’»」』）】\"'")
_TWO_SIDED = frozenset("\"'")  # opening or closing, depending on the spaces around them
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
    """Yield the first token of each sentence of a text, and one past its last.

    Args:
        text: The text.
        tokens: The start and end characters of its tokens, in order.
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
    """Return whether a token closes the sentence that ended before it."""
    if not _is_line_end(gap) and any(_NOTE.match(text, max(at, 0)) for at in (start, start - 1)):
        return True
    if text[start:end] not in _CLOSING and text[start:end] != "''":
        return False
    if not gap:
        return True
    return text[start] not in _TWO_SIDED and not _is_line_end(gap)


def _opens(text: str, tokens: Offsets, place: int, gap: str) -> bool:
    """Return whether a token opens a sentence after a possible end."""
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
    """Return the first word from a token on, after at most two signs."""
    for start, end in tokens[place : place + 3]:
        if text[start].isalnum():
            return text[start:end]
    return text[slice(*tokens[place])]
