"""Inline mark-up: ``<ENAMEX TYPE="PERSON">Ada Obi</ENAMEX>``, as in MUC and NIST's IE-ER.

IE-ER writes ``<b_enamex type="PERSON">Ada Obi<e_enamex>``. All other elements are structure:
``DOC`` is a document, whose ``DOCNO`` is its id; what stands in elements such as ``DATE_TIME``
is not text. A paragraph is a sentence; it ends at an element of structure, at an empty line, and
before a line that begins with a TAB or several blanks.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO
from xml.sax.saxutils import escape, quoteattr

from ner.errors import DataWarning
from ner.formats.alignment import (
    Characters,
    DocumentOptions,
    Misfits,
    annotated,
    collecting,
    cut,
    where,
)
from ner.formats.documents import Boundary, Parsed, begins_document, in_documents
from ner.formats.lines import Faults, numbered
from ner.formats.offsets import tokenizer_named
from ner.sentence import Document, Sentence

ELEMENTS = "enamex timex numex"  # that mark entities
DOCUMENT = "doc"
NAMES = ("docno", "docid")  # of the document they stand in
ASIDE = frozenset((*NAMES, "doctype", "date_time", "storyid", "slug", "date", "nwords"))
KNOWN = ASIDE | {
    DOCUMENT,
    *("ieer_doc", "body", "headline", "hl", "text", "p", "s", "annotation", "preamble", "trailer"),
}

_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:\s[^<>]*)?)>|<[!?][^<>]*>")
_OPEN = re.compile(r"<[A-Za-z/!?][^<>]*$")  # a tag that goes on in the next line
_ATTRIBUTE = re.compile(r"""(?<![\w:.-])([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_REFERENCE = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]{2,4}));")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_LINE_END = re.compile(r"[\r\n]")


@dataclass(frozen=True, kw_only=True)
class SgmlOptions(DocumentOptions):
    """Options of the SGML and XML reader.

    Attributes:
        elements: Elements that mark entities, separated by blanks; where they have no attribute
            ``type``, their name is the label.
    """

    elements: str = ELEMENTS


OPTIONS = SgmlOptions


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the paragraphs of a file; all bad lines are reported together at the end.

    For the options see `SgmlOptions`.

    Raises:
        DataError: A line cannot be decoded, an entity is not closed or was not opened.
    """
    given = SgmlOptions(**options)
    with collecting(source, given) as (faults, misfits):
        markup = _Markup(given, faults, misfits)
        yield from in_documents(markup.parsed(_numbered(source, given, faults)))
        markup.warn()


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write a ``DOC`` for each document, a ``P`` for each sentence, an ``ENAMEX`` for each entity.

    Those next to each other in no document go into one ``DOC``.

    Raises:
        ValueError: Spans overlap, or annotation is missing, which the format cannot say.
    """
    before: Document | None = None
    number = 0
    for number, sentence in enumerate(sentences, 1):
        document = sentence.document
        if number == 1 or (document is None and before) or begins_document(sentence, before):
            file.write("</TEXT>\n</DOC>\n" * (number > 1) + "<DOC>\n")
            if document and document.id:
                file.write(f"<DOCNO> {escape(_LINE_END.sub(' ', document.id))} </DOCNO>\n")
            file.write("<TEXT>\n")
        before = document
        file.write(f"<P>{_spelled(sentence)}</P>\n")
    file.write("</TEXT>\n</DOC>\n" * (number > 0))


def _spelled(sentence: Sentence) -> str:
    """The text of a sentence with its entities marked."""
    text, offsets = annotated(sentence, "sgml")
    pieces, done = [], 0
    for span in sorted(sentence.spans or ()):
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        if start < done:
            raise ValueError(f"{where(sentence)} has overlapping spans, which sgml cannot express")
        pieces += [escape(text[done:start]), f"<ENAMEX TYPE={quoteattr(span.label)}>"]
        pieces += [escape(text[start:end]), "</ENAMEX>"]
        done = end
    return "".join(pieces) + escape(text[done:])


@dataclass
class _Paragraph:
    """The text read so far of a paragraph, and its entities.

    Attributes:
        line: The line it begins on; 0 while it has nothing but white space.
        length: The characters of its text.
        written: The characters up to the last one that is not white space.
        open: The entities that have begun: element, label, where, how many characters at their
            end lie outside them, and on which line.
        spans: Those that have ended too.
    """

    line: int = 0
    length: int = 0
    written: int = 0
    open: list[tuple[str, str, int, int, int]] = field(default_factory=list)
    spans: list[Characters] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def add(self, text: str, line: int) -> None:
        if not self.line:
            text = text.lstrip()
            self.line = line if text else 0
        self._texts.append(text)
        if bare := text.rstrip():
            self.written = self.length + len(bare)
        self.length += len(text)


class _Markup:
    """Reads lines of mark-up.

    Args:
        options: Options of the reader.
        faults: Collects malformed lines.
        misfits: Collects spans that do not fit the tokens.
    """

    def __init__(self, options: SgmlOptions, faults: Faults, misfits: Misfits) -> None:
        self._marked = frozenset(options.elements.casefold().split())
        self._options, self._faults, self._misfits = options, faults, misfits
        self._cutter = tokenizer_named(options.tokenizer)
        self._paragraph = _Paragraph()
        self._aside = ""  # the current element that is not text
        self._boundary: Boundary | None = None  # of a document of which no text has been seen
        self._left_out = 0
        self._strange: Counter[str] = Counter()
        self._inline: Counter[str] = Counter()  # those with text around them in their line
        self._entities = self._line = 0

    def parsed(self, lines: Iterable[tuple[int, str]]) -> Iterator[Parsed | Boundary]:
        """The paragraphs, and the boundaries between documents."""
        for number, line in lines:
            self._line = number
            ends = not line.strip() or line.startswith(("\t", "  "))
            if ends and not self._paragraph.open:
                yield from self._flush()
            place = 0
            for found in _TAG.finditer(line):
                self._paragraph.add(_plain(line[place : found.start()]), number)
                end = found.end()
                beside = line[end : end + 9] if found[1] else line[place : found.start()]
                self._inline[(found[2] or "").casefold()] += beside.strip()[:1] not in ("", "<")
                place = end
                yield from self._tag(found, number)
            self._paragraph.add(_plain(line[place:]) + " ", number)
            if self._paragraph.length > self._options.max_document:
                most = self._options.max_document
                self._faults.refuse(number, f"no paragraph ends within {most:,} characters")
        yield from self._flush()
        if self._strange and not self._entities:
            inline = " ".join([one for one in self._strange if self._inline[one]][:4])
            told = f"if some of these do, set elements, for example elements='{inline}'"
            if not inline:
                told = "none stands within a line of text either; bring it into another format"
            self._faults.add(self._line, f"no element marks an entity; {told}: {self._named()}")

    def _named(self) -> str:
        return ", ".join(f"{name} ({count})" for name, count in self._strange.most_common(8))

    def warn(self) -> None:
        """Warn of what was left out and what was read as structure."""
        told = []
        if self._left_out:
            told.append(f"left out {self._left_out} entities in elements that do not hold text")
        if self._strange and self._entities:
            named = self._named()
            told.append(f"read unknown elements as structure: {named}")
        for one in told:
            warnings.warn(DataWarning(one, path=self._faults.path), stacklevel=3)

    def _tag(self, found: re.Match[str], line: int) -> Iterator[Parsed | Boundary]:
        """An element begins or ends."""
        closes, name = bool(found[1]), (found[2] or "").casefold()
        if name in self._marked:
            self._mark(name, found[3], line, closes=closes)
        elif name[:2] in ("b_", "e_") and name[2:] in self._marked:
            self._mark(name[2:], found[3], line, closes=name[0] == "e")
        elif name:
            yield from self._structure(name, closes=closes)

    def _mark(self, name: str, attributes: str, line: int, *, closes: bool) -> None:
        """An entity begins or ends."""
        paragraph = self._paragraph
        self._entities += 1
        if not closes:
            given = {
                found[1].casefold(): next((one for one in found.groups()[1:] if one), "")
                for found in _ATTRIBUTE.finditer(attributes)
            }
            label = _plain(given.get("type", "")) or name.upper()
            start, last = (_number(given.get(one, "")) for one in ("s_off", "e_off"))
            paragraph.open.append((name, label, paragraph.length + start, last, line))
        elif paragraph.open and paragraph.open[-1][0] == name:
            _, label, start, last, opened = paragraph.open.pop()
            if paragraph.written - last > start:
                span = Characters(start, paragraph.length - last, label, line=opened)
                paragraph.spans.append(span)
            else:
                self._faults.add(opened, f"<{name.upper()}> is empty")
        else:
            self._faults.add(line, f"</{name.upper()}> closes an entity that is not open")

    def _structure(self, name: str, *, closes: bool) -> Iterator[Parsed | Boundary]:
        """Handle the start or end of a document, a paragraph or an element that is not text."""
        if name not in KNOWN:
            self._strange[name] += not closes
        if closes and name in NAMES and self._boundary is not None:
            self._boundary = Boundary(self._paragraph.text.strip())
        yield from self._flush()
        if name == DOCUMENT:
            self._boundary = None if closes else Boundary("")
        if name in ASIDE:
            self._aside = "" if closes else name

    def _flush(self) -> Iterator[Parsed | Boundary]:
        """The paragraph is over."""
        paragraph, self._paragraph = self._paragraph, _Paragraph()
        for name, *_, line in paragraph.open:
            self._faults.add(
                line, f"<{name.upper()}> is not closed before the end of its paragraph"
            )
        if self._aside:
            self._left_out += len(paragraph.spans)
            return
        if not paragraph.line:
            return
        if self._boundary is not None:
            yield self._boundary
            self._boundary = None
        self._misfits.line = paragraph.line
        text = paragraph.text.rstrip()
        spans = [replace(one, end=min(one.end, len(text))) for one in paragraph.spans]
        for one in cut(text, spans, self._cutter, self._options.align, self._misfits):
            yield Parsed(
                one.tokens, one.spans, {}, line=paragraph.line, text=one.text, offsets=one.offsets
            )


def _numbered(
    source: str | Path, options: SgmlOptions, faults: Faults
) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file, those joined over which a tag goes on."""
    held, first = "", 0
    for number, line in numbered(source, options, faults):
        held, first = (f"{held} {line}", first) if held else (line, number)
        if number - first < 5 and _OPEN.search(held):
            continue
        yield first, held
        held = ""
    if held:
        yield first, held


def _number(text: str) -> int:
    """Return the characters that ``S_OFF`` or ``E_OFF`` of OntoNotes leaves out of an entity."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0


def _plain(text: str) -> str:
    """A text with the characters that its references stand for."""
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name is not None:
        return _CHARACTERS.get(name.lower(), found[0])
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000 or chr(number) in "\r\n":
        return found[0]
    return chr(number)
