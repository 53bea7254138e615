"""Annotation by characters, brought to tokens; misfits are reported, never lost silently."""

from __future__ import annotations

import re
import warnings
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ner.errors import DataWarning, Fault
from ner.formats.lines import SHOWN, Faults, LineOptions
from ner.formats.offsets import CHARACTERS, DEFAULT, Tokenizer, counting_named, tokenizer_named
from ner.sentence import Sentence, Span

Offsets = Sequence[tuple[int, int]]  # the first character of each token, and one past its last
Places = tuple[tuple[int, int], ...]

MAX_DOCUMENT = 1 << 23  # bytes of one text with its annotation, held as a whole
HOW = ("strict", "expand", "contract")

BOUNDARY = "not on token boundaries"
BLANKS = "begin or end with white space"
OVERLAP = "overlap a longer span"
PIECES = "in several pieces"


@dataclass(frozen=True, slots=True)
class Characters:
    """A labelled stretch of characters, ``text[start:end]``.

    Attributes:
        start: The first character, counted from 0.
        end: One past the last character.
        label: The type of entity.
        score: The probability of the span, where it is known.
        pieces: How many pieces it is in; more than one where the annotation leaves gaps.
        line: The line of the file that says so, where spans have lines of their own.
    """

    start: int
    end: int
    label: str
    score: float | None = None
    pieces: int = 1
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A span of characters that does not fall on token boundaries, and its repair.

    Attributes:
        reason: Why it does not fit.
        start: Its first character, in the text of its line.
        end: One past its last character.
        label: The type of entity.
        text: What it says.
        tokens: The tokens it touches, or the nearest one.
        kept: What the tokens of the span it became say; empty where it was left out.
        line: The line of the file.
    """

    reason: str
    start: int
    end: int
    label: str
    text: str
    tokens: tuple[str, ...]
    kept: str = ""
    line: int = 0

    def __str__(self) -> str:
        nearest = " ".join(map(repr, self.tokens)) or "none"
        became = f"read as {self.kept!r}" if self.kept else "left out"
        place = f"({self.start}, {self.end})"
        return f"{self.text!r} {place} {self.label}, nearest tokens {nearest}: {became}"


@dataclass
class Misfits:
    """Collects the spans of one file that do not fit its tokens.

    Attributes:
        path: What the file is called in messages.
        line: The line of the file that is being read.
        base: Where in the text of that line the characters are counted from.
        spans: How many spans were looked at.
        counts: How many misfits there are of each reason.
    """

    path: str
    line: int = 0
    base: int = 0
    spans: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _shown: list[Misfit] = field(default_factory=list)

    def add(self, misfit: Misfit) -> None:
        """Note a misfit; the first 20 are listed, the others counted."""
        start, end = misfit.start + self.base, misfit.end + self.base
        misfit = replace(misfit, line=misfit.line or self.line, start=start, end=end)
        self.counts[misfit.reason] += 1
        if len(self._shown) < SHOWN:
            self._shown.append(misfit)

    def warn(self) -> None:
        """Issue one warning of all that was noted."""
        if not self._shown:
            return
        counted = ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())
        faults = [Fault(self.path, one.line, kind_of(one), str(one)) for one in self._shown]
        warning = DataWarning(
            f"of {self.spans} span{'s' * (self.spans != 1)}, {counted}",
            path=self.path,
            kind="misaligned",
            count=self.counts.total(),
            faults=faults,
        )
        warnings.warn(warning, stacklevel=2)


def kind_of(misfit: Misfit) -> str:
    """The kind of finding that a misfit is."""
    return "overlapping" if misfit.reason == OVERLAP else "misaligned"


@dataclass(frozen=True, kw_only=True)
class TextOptions(LineOptions):
    """Options of the readers of texts whose annotation counts characters.

    Attributes:
        align: What to do with spans that begin or end within a token: leave them out (``strict``),
            or make them larger (``expand``) or smaller (``contract``) until they fit.
        tokenizer: Cuts the text into tokens: ``builtin``, ``plain``, ``blanks``, or a language
            of spaCy; see ``ner.formats.offsets.tokenizer_named``.
        offsets: Unit of the offsets, such as ``utf-16`` or ``bytes inclusive``; see
            ``ner.formats.offsets.counting_named``. By default characters, or the unit in which
            all spans match the text that they quote.
        trust_offsets: Whether to go by the offsets where a span quotes another text.
        misfits: Collects spans that do not fit the tokens, which otherwise raise a warning.

    Raises:
        ValueError: The alignment, the unit or the tokenizer is unknown.
    """

    align: str = "strict"
    tokenizer: str = DEFAULT
    offsets: str | None = None
    trust_offsets: bool = False
    misfits: Misfits | None = None

    def __post_init__(self) -> None:
        if self.align not in HOW:
            raise ValueError(f"align must be one of {', '.join(HOW)}, got {self.align!r}")
        if self.tokenizer != DEFAULT:  # which is there, and slow to load
            tokenizer_named(self.tokenizer)
        counting_named(self.offsets or CHARACTERS)


@dataclass(frozen=True, kw_only=True)
class DocumentOptions(TextOptions):
    """Options of the readers that hold one text with its annotation at a time.

    Attributes:
        max_document: Bytes of the longest text to read, with its annotation.
    """

    max_document: int = MAX_DOCUMENT


@contextmanager
def collecting(source: str | Path, options: TextOptions) -> Iterator[tuple[Faults, Misfits]]:
    """Collect malformed lines and misfits of a file.

    At the end, those that the options do not collect are raised, or warned of.

    Raises:
        DataError: Lines are malformed.
    """
    faults = Faults(source) if options.faults is None else options.faults
    misfits = Misfits(faults.path) if options.misfits is None else options.misfits
    yield faults, misfits
    if options.misfits is None:
        misfits.warn()
    if options.faults is None:
        faults.check()


def joined(tokens: Sequence[str]) -> tuple[str, Places]:
    """Return a text of the tokens, separated by blanks, and the offsets of each in it."""
    offsets, end = [], 0
    for token in tokens:
        offsets.append((end, end + len(token)))
        end += len(token) + 1
    return " ".join(tokens), tuple(offsets)


def text_of(sentence: Sentence) -> tuple[str, Places]:
    """Return the text of a sentence, or else its tokens joined, and the offsets of each token."""
    if sentence.text is None or sentence.offsets is None:
        return joined(sentence.tokens)
    return sentence.text, sentence.offsets


def line_of(sentence: Sentence) -> tuple[str, Places]:
    """Return the same on one line."""
    text, offsets = text_of(sentence)
    return text.replace("\r", " ").replace("\n", " "), offsets


def annotated(sentence: Sentence, name: str) -> tuple[str, Places]:
    """Return the text of a fully annotated sentence on one line, and the offsets of each token.

    Args:
        sentence: The sentence.
        name: Format that cannot express missing annotation.

    Raises:
        ValueError: Tokens of the sentence are not annotated.
    """
    if sentence.spans is None or sentence.unknown:
        raise ValueError(f"{where(sentence)} has unannotated tokens, which {name} cannot express")
    return line_of(sentence)


def where(sentence: Sentence) -> str:
    """Name a sentence in a message."""
    return f"the sentence of line {sentence.line}" if sentence.line else "a sentence"


def align(
    text: str,
    offsets: Offsets,
    spans: Iterable[Characters],
    how: str = "strict",
    misfits: Misfits | None = None,
) -> tuple[Span, ...]:
    """Bring spans of characters to tokens.

    Args:
        text: The text.
        offsets: The characters of each token, in order.
        spans: Spans within the text.
        how: What becomes of a span that begins or ends within a token: it is left out
            (``strict``), takes in the tokens it touches (``expand``), or keeps the tokens that
            lie wholly in it (``contract``).
        misfits: Where every span that is changed or left out is noted.

    Returns:
        Spans that do not overlap; of those that did, the longer one.
    """
    noted = Misfits("") if misfits is None else misfits
    starts = {start: place for place, (start, _) in enumerate(offsets)}
    ends = {end: place for place, (_, end) in enumerate(offsets, 1)}
    found: list[tuple[Span, Characters]] = []

    def fits(one: Characters) -> bool:
        return one.start in starts and one.end in ends

    for one in _trimmed(text, spans, noted, fits):
        noted.spans += 1
        first, last = starts.get(one.start), ends.get(one.end)
        reason = PIECES if one.pieces > 1 else ""
        if first is None or last is None or first >= last:
            first, last = _nearby(offsets, one, how)
            reason = BOUNDARY
        elif one.pieces > 1 and how == "strict":
            first = last = 0
        if first < last:
            found.append((Span(first, last, one.label, one.score), one))
        if reason:
            kept = text[offsets[first][0] : offsets[last - 1][1]] if first < last else ""
            noted.add(_misfit(text, offsets, one, reason, kept))
    return apart(text, offsets, found, noted)


def cut(
    text: str,
    spans: Sequence[Characters] | None,
    tokenizer: Tokenizer,
    how: str = "strict",
    misfits: Misfits | None = None,
) -> Iterator[Sentence]:
    """The lines of a text as sentences, with their spans; no line end parts an entity.

    Lines without a token are left out. Each sentence knows its line, its text, and where in
    that its tokens stand.
    """
    noted = Misfits("") if misfits is None else misfits
    waiting = _trimmed(text, spans or (), noted)
    waiting.sort(key=lambda one: (one.start, -one.end), reverse=True)
    for number, start, end in _stretches(text, list(waiting)):
        inside = []
        while waiting and waiting[-1].start < end:
            one = waiting.pop()
            inside.append(replace(one, start=one.start - start, end=one.end - start))
        line, noted.base = text[start:end], start
        offsets = tokenizer(line)
        if not offsets:
            continue
        found = align(line, offsets, inside, how, noted)
        yield Sentence(
            tuple(line[first:last] for first, last in offsets),
            None if spans is None else found,
            line=number,
            text=line,
            offsets=tuple(offsets),
        )


def locate(text: str, tokens: Sequence[str]) -> tuple[tuple[int, int], ...] | None:
    """Return the offsets of tokens in their text; ``None`` if they do not match it."""
    offsets: list[tuple[int, int]] = []
    end = 0
    for token in tokens:
        start = text.find(token, end)
        if start < 0 or text[end:start].strip():
            return None
        end = start + len(token)
        offsets.append((start, end))
    return tuple(offsets)


def _trimmed(
    text: str,
    spans: Iterable[Characters],
    misfits: Misfits,
    fits: Callable[[Characters], bool] = lambda _: False,
) -> list[Characters]:
    """The spans, each once, without white space at their ends unless they fit as they are."""
    kept: list[Characters] = []
    for one in dict.fromkeys(spans):
        if fits(one):
            kept.append(one)
            continue
        inside = text[one.start : one.end]
        bare = inside.strip()
        if len(bare) != len(inside):
            misfits.add(
                Misfit(
                    BLANKS,
                    one.start,
                    one.end,
                    one.label,
                    inside,
                    tuple(bare.split()),
                    bare,
                    one.line,
                )
            )
        if bare:
            start = one.start + len(inside) - len(inside.lstrip())
            kept.append(replace(one, start=start, end=start + len(bare)))
        else:
            misfits.spans += 1
    return kept


def _touched(offsets: Offsets, span: Characters) -> tuple[int, int]:
    """The tokens that share a character with the span."""
    first = bisect_right(offsets, span.start, key=lambda token: token[1])
    return first, bisect_left(offsets, span.end, key=lambda token: token[0])


def _nearby(offsets: Offsets, span: Characters, how: str) -> tuple[int, int]:
    """The tokens a span becomes that does not fit; none where the first is not before the last."""
    first, last = _touched(offsets, span)
    if how == "strict":
        return 0, 0
    if how == "contract":
        while first < last and offsets[first][0] < span.start:
            first += 1
        while first < last and offsets[last - 1][1] > span.end:
            last -= 1
    return first, last


def _misfit(text: str, offsets: Offsets, span: Characters, reason: str, kept: str) -> Misfit:
    first, last = _touched(offsets, span)
    if first >= last:  # between two tokens: name both
        first, last = max(0, last - 1), first + 1
    tokens = tuple(text[start:end] for start, end in offsets[first:last])
    says = text[span.start : span.end]
    return Misfit(reason, span.start, span.end, span.label, says, tokens, kept, span.line)


def apart(
    text: str, offsets: Offsets, found: list[tuple[Span, Characters]], misfits: Misfits
) -> tuple[Span, ...]:
    """The spans without those that overlap a longer one, which are noted; or an earlier one.

    Args:
        text: The text.
        offsets: The characters of each token.
        found: Spans, and the characters they come from.
        misfits: Where the spans left out are noted.
    """
    kept: list[Span] = []  # in order
    for span, given in sorted(found, key=lambda one: (one[0].start - one[0].end, one[0].start)):
        place = bisect_left(kept, span)
        if place < len(kept) and kept[place] == span:
            continue
        before = kept[place - 1].end if place else 0
        after = kept[place].start if place < len(kept) else span.end
        if before <= span.start and span.end <= after:
            kept.insert(place, span)
        else:
            misfits.add(_misfit(text, offsets, given, OVERLAP, ""))
    return tuple(kept)


def _stretches(text: str, spans: Iterable[Characters]) -> Iterator[tuple[int, int, int]]:
    """The lines of a text, joined where a span runs over their end, with their numbers."""
    reach = sorted((one.start, one.end) for one in spans)
    start = place = covered = 0
    first = 1
    for number, found in enumerate(re.finditer(r"\r\n|\r|\n", text), 2):
        while place < len(reach) and reach[place][0] < found.end():
            covered = max(covered, reach[place][1])
            place += 1
        if covered > found.end():
            continue
        yield first, start, found.start()
        first, start = number, found.end()
    yield first, start, len(text)
