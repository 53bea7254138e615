"""BioC XML: documents of passages, whose annotation counts characters of the document.

Each passage, or each sentence of a passage that has such, is a sentence unless it holds line
ends. BioC in JSON is read as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from ner.formats.alignment import DocumentOptions, annotated, collecting
from ner.formats.offsets import Bounds
from ner.formats.standoff import Standoff, check_xml, elements
from ner.sentence import Sentence, in_document

OPTIONS = DocumentOptions

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE collection SYSTEM "BioC.dtd">\n'
    "<collection><source>ner</source><date></date><key>ner.key</key>\n"
)


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the passages of a file; errors are reported together at the end.

    For the options see `ner.formats.alignment.DocumentOptions`.

    Raises:
        DataError: The file is not BioC, or a passage is malformed.
    """
    given = DocumentOptions(**options)
    with collecting(source, given) as (faults, misfits):
        standoff = Standoff(given, faults, misfits)
        documents = elements(source, "document", given, faults)
        for number, document in enumerate(documents, 1):
            units = _units(document)
            found = [one for unit in units for one in _sentences(unit, standoff, number)]
            yield from in_document(found, document.findtext("id") or "")
        standoff.warn()


def _units(document: Element) -> Iterator[Element]:
    """The passages of a document, or their sentences where these have the text."""
    for passage in document.iter("passage"):
        inner = passage.findall("sentence")
        yield from inner if inner and passage.find("text") is None else [passage]


def _sentences(unit: Element, standoff: Standoff, number: int) -> Iterator[Sentence]:
    text = unit.findtext("text") or ""
    try:
        base = int(unit.findtext("offset") or 0)
        spans = [span for one in unit.findall("annotation") for span in _spans(one, base)]
    except ValueError as error:
        standoff.faults.add(1, f"document {number}: {error}")
        return
    yield from standoff.sentences(text, spans, 1, "")


def _spans(annotation: Element, base: int) -> Iterator[Bounds]:
    """The spans of an annotation; one in several places has no text of its own."""
    label = next((one.text for one in annotation.findall("infon") if one.get("key") == "type"), "")
    places = annotation.findall("location")
    for place in places:
        start, length = int(place.get("offset", "")), int(place.get("length", ""))
        if not label:
            raise ValueError(f"the annotation {annotation.get('id')!r} has no infon type")
        says = annotation.findtext("text") if len(places) == 1 else None
        yield Bounds(start - base, start - base + length, label, says)


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write a document for each document, a passage for each sentence.

    Those next to each other in no document go together.

    Raises:
        ValueError: Annotation is missing, which the format cannot say; or a text holds a character
            that XML does not have.
    """
    file.write(_HEAD)
    for document, group in groupby(sentences, lambda one: one.document):
        file.write(f"<document><id>{_escaped(document.id if document else '')}</id>\n")
        base = number = 0
        for one in group:
            text, offsets = annotated(one, "bioc")
            marks = []
            for span in one.spans or ():
                start, end = offsets[span.start][0], offsets[span.end - 1][1]
                marks.append(
                    f'<annotation id="T{number}"><infon key="type">{_escaped(span.label)}</infon>'
                    f'<location offset="{base + start}" length="{end - start}"/>'
                    f"<text>{_escaped(text[start:end])}</text></annotation>"
                )
                number += 1
            file.write(
                f"<passage><offset>{base}</offset><text>{_escaped(text)}</text>"
                f"{''.join(marks)}</passage>\n"
            )
            base += len(text) + 1
        file.write("</document>\n")
    file.write("</collection>\n")


def _escaped(text: str) -> str:
    return escape(check_xml(text))
