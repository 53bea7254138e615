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
from ner.formats.alignment import MAX_DOCUMENT, Misfits, TextOptions, cut
from ner.formats.annotations import placed
from ner.formats.lines import BLOCK, Faults, opened
from ner.formats.offsets import CHARACTERS, Bounds, Evidence, counting_named, tokenizer_named
from ner.sentence import Sentence, in_document

_DECLARED = b"<!ENTITY"  # what could make a small file a huge one, or read another file


@dataclass
class Standoff:
    """Makes sentences of texts whose spans count characters.

    Attributes:
        options: Options of the reader.
        faults: Collects malformed lines.
        misfits: Collects spans that do not fit the tokens.
    """

    options: TextOptions
    faults: Faults
    misfits: Misfits
    _evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self._evidence = Evidence(self.options.offsets)

    def sentences(self, text: str, spans: list[Bounds], line: int, name: str) -> Iterator[Sentence]:
        """Yield the lines of a text as the sentences of one document; what is wrong is noted."""
        self.misfits.line = line
        given = self.options
        counting = counting_named(given.offsets or CHARACTERS)
        try:
            found = placed(spans, text, counting, self._evidence, trusted=given.trust_offsets)
        except ValueError as error:
            self.faults.add(line, str(error))
            return
        tokenize = tokenizer_named(given.tokenizer)
        yield from in_document(cut(text, found, tokenize, given.align, self.misfits), name)

    def warn(self) -> None:
        """Warn of offsets that seem to be counted in another unit."""
        if remark := self._evidence.remark():
            warnings.warn(DataWarning(remark, path=self.faults.path), stacklevel=3)


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
