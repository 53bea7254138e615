"""Texts with annotation beside them: how formats of that kind become sentences.

Those that are XML are read element by element, without entities that expand and without other
files.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from ner.errors import DataWarning
from ner.formats.alignment import Misfits, check_how, cut
from ner.formats.annotations import placed
from ner.formats.lines import BLOCK, Faults, opened
from ner.formats.offsets import CHARACTERS, Bounds, Evidence, counting_named, tokenizer_named
from ner.sentence import Sentence, in_document

MAX_DOCUMENT = 1 << 23  # bytes of one document of XML, which is held as a whole
_DECLARED = b"<!ENTITY"  # what could make a small file a huge one, or read another file


@dataclass
class Standoff:
    """Makes sentences of texts whose spans count characters.

    Attributes:
        faults: Where bad lines are noted.
        misfits: Where spans that do not fit the tokens are noted.
        tokenizer: The name of what cuts the text.
        align: What becomes of spans that do not fit.
        offsets: How characters are counted; ``None`` if unspecified.
        trusted: Whether offsets count where a span quotes another text.
    """

    faults: Faults
    misfits: Misfits
    tokenizer: str
    align: str
    offsets: str | None = None
    trusted: bool = False
    _evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        check_how(self.align)
        tokenizer_named(self.tokenizer)
        counting_named(self.offsets or CHARACTERS)
        self._evidence = Evidence(self.offsets)

    def sentences(self, text: str, spans: list[Bounds], line: int, name: str) -> Iterator[Sentence]:
        """The lines of a text as the sentences of one document; what is wrong is noted."""
        self.misfits.line = line
        counting = counting_named(self.offsets or CHARACTERS)
        try:
            found = placed(spans, text, counting, self._evidence, trusted=self.trusted)
        except ValueError as error:
            self.faults.add(line, str(error))
            return
        tokenize = tokenizer_named(self.tokenizer)
        yield from in_document(cut(text, found, tokenize, self.align, self.misfits), name)

    def end(self, *, warns: bool, raises: bool) -> None:
        """Tell of the file as a whole.

        Args:
            warns: Whether spans that do not fit are warned of.
            raises: Whether bad lines are an error.

        Raises:
            DataError: There are bad lines.
        """
        if warns:
            self.misfits.warn()
        if remark := self._evidence.remark():
            warnings.warn(DataWarning(remark, path=self.faults.path), stacklevel=3)
        if raises:
            self.faults.check()


def annotated(sentence: Sentence, format: str) -> tuple[str, list[tuple[int, int]]]:  # noqa: A002
    """The text of a sentence on one line, and its tokens' places in it.

    Raises:
        ValueError: Annotation is missing, which the format cannot say.
    """
    where = f"the sentence of line {sentence.line}" if sentence.line else "a sentence"
    if sentence.spans is None or sentence.unknown:
        raise ValueError(
            f"{where} has tokens whose annotation is missing; {format} cannot say that"
        )
    if sentence.text is not None and sentence.offsets is not None:
        return " ".join(sentence.text.split("\n")).replace("\r", " "), list(sentence.offsets)
    offsets, end = [], 0
    for token in sentence.tokens:
        offsets.append((end, end + len(token)))
        end += len(token) + 1
    return " ".join(sentence.tokens).replace("\n", " ").replace("\r", " "), offsets


def elements(
    source: str | Path, name: str, faults: Faults, *, most: int = MAX_DOCUMENT
) -> Iterator[Element]:
    """The elements of that name, each with all that is in it; let go when the next is given.

    Args:
        source: A path or ``"-"``.
        name: Of the elements.
        faults: Of the file.
        most: The bytes within which one of them must end.

    Raises:
        DataError: The file is no well-formed XML, or declares entities, or one is too long.
    """
    parser: XMLPullParser[Any] = XMLPullParser(("start", "end"))
    open_elements: list[Element] = []
    before, held = b"", 0
    with opened(source) as file:
        while True:
            chunk = file.read(BLOCK)
            if _DECLARED in before + chunk:
                faults.refuse(1, "the file declares entities of XML; replace them first")
            before = chunk[-len(_DECLARED) :]
            try:
                if chunk:
                    parser.feed(chunk)
                else:
                    parser.close()
                held += len(chunk)
                for one in _ended(parser, name, open_elements):
                    held = 0
                    yield one
            except ParseError as error:
                faults.refuse(error.position[0], f"not well-formed XML: {error}")
            if held > most:
                told = f"no <{name}> ends within {most:,} bytes; if that is right, set max_document"
                faults.refuse(1, told)
            if not chunk:
                return


def _ended(
    parser: XMLPullParser[Any], name: str, open_elements: list[Element]
) -> Iterator[Element]:
    """The elements of that name that have ended."""
    events: Iterator[Any] = parser.read_events()
    for event, element in events:
        if event == "start":
            open_elements.append(element)
            continue
        open_elements.pop()
        if element.tag == name:
            yield element
        if not any(one.tag == name for one in open_elements):
            element.clear()
            if open_elements:
                open_elements[-1].remove(element)  # or those that are empty would pile up


def check_xml(text: str) -> str:
    """The same text, if XML can hold it.

    Raises:
        ValueError: It holds a character that XML does not have.
    """
    if any((one < " " and one != "\t") or one in "\ufffe\uffff" for one in text):
        raise ValueError(f"{text[:40]!r} holds a character that XML does not have")
    return text
