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
from ner.formats.alignment import DocumentOptions, Misfits, TextOptions, cut
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
    source: str | Path, name: str, options: DocumentOptions, faults: Faults
) -> Iterator[Element]:
    """Yield the elements of that name, each with all that is in it; one is held at a time.

    Args:
        source: A path or ``"-"``.
        name: Name of the elements.
        options: Options of the reader.
        faults: Collects what is wrong with the file.

    Raises:
        DataError: The file is not well-formed XML, declares entities, or exceeds a limit.
    """
    parser: XMLPullParser[Any] = XMLPullParser(("start", "end"))
    open_elements: list[Element] = []
    held, most = 0, options.max_document
    for chunk in _chunks(source, options, faults):
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
            message = f"no <{name}> ends within {most:,} bytes; raise max_document if that is right"
            faults.refuse(1, message)


def _chunks(source: str | Path, options: DocumentOptions, faults: Faults) -> Iterator[bytes]:
    """Yield the bytes of a file, and nothing at its end; what must not be parsed is refused."""
    before, size, most = b"", 0, options.max_size
    with opened(source) as file:
        while True:
            chunk = file.read(BLOCK)
            size += len(chunk)
            if most is not None and size > most:
                faults.refuse(1, f"the file has more than {most:,} bytes (max_size)")
            if _DECLARED in before + chunk:
                faults.refuse(1, "the file declares XML entities; replace them first")
            before = chunk[-len(_DECLARED) :]
            yield chunk
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
        ValueError: It contains a character that XML does not allow.
    """
    if any((one < " " and one != "\t") or one in "\ufffe\uffff" for one in text):
        raise ValueError(f"{text[:40]!r} contains a character that XML does not allow")
    return text
