"""PubTator: ``1|t|the title``, ``1|a|the abstract``, and a line for each annotation.

``1<TAB>0<TAB>6<TAB>Zorbex<TAB>Chemical<TAB>D000001`` counts characters of the title and, after
one more, of the abstract. Title and abstract are a sentence each, together a document. Lines of
relations are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from ner.formats.alignment import TextOptions, annotated, collecting
from ner.formats.lines import MAX_SENTENCE, Faults, numbered
from ner.formats.offsets import Bounds
from ner.formats.standoff import Standoff
from ner.sentence import Sentence

OPTIONS = TextOptions

_TEXT = re.compile(r"([^|\t]+)\|([ta])\|(.*)")
_ID = re.compile(r"[|\s]+")


@dataclass
class _Document:
    """A title, an abstract, and what annotates them."""

    name: str = ""
    line: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    spans: list[Bounds] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.texts[part] for part in "ta" if part in self.texts)


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the titles and abstracts of a file; all bad lines are reported together at the end.

    For the options see `ner.formats.alignment.TextOptions`.

    Raises:
        DataError: Lines are malformed.
    """
    given = TextOptions(**options)
    with collecting(source, given) as (faults, misfits):
        standoff = Standoff(given, faults, misfits)
        for one in _documents(numbered(source, given, faults), faults):
            yield from standoff.sentences(one.text, one.spans, one.line, one.name)
        standoff.warn()


def _documents(lines: Iterable[tuple[int, str]], faults: Faults) -> Iterator[_Document]:
    document = _Document()
    for number, line in lines:
        text = _TEXT.fullmatch(line)
        if text and (document.texts.get(text[2]) is not None or text[1] != document.name):
            if document.texts:
                yield document
            document = _Document(text[1], number)
        if text:
            document.texts[text[2]] = text[3]
        elif line.strip() and (wrong := _annotate(document, line.split("\t"))):
            faults.add(number, f"{wrong}: {line[:80]!r}")
        if len(document.spans) > MAX_SENTENCE:
            faults.refuse(number, f"one document has more than {MAX_SENTENCE:,} annotations")
    if document.texts:
        yield document


def _annotate(document: _Document, fields: list[str]) -> str | None:
    """Add an annotation to its document; what is wrong with it, if anything is."""
    if not document.texts or fields[0] != document.name:
        return "expected '1|t|title', '1|a|abstract', or an annotation of the text above"
    if len(fields) >= 3 and not (fields[1].isascii() and fields[1].isdigit()):
        return None  # a relation
    if len(fields) < 5 or not (fields[2].isascii() and fields[2].isdigit()):
        return "expected '1<TAB>0<TAB>6<TAB>its text<TAB>LABEL'"
    if max(len(fields[1]), len(fields[2])) > 12 or not fields[4]:
        return "the annotation has no label, or exceeds the text"
    document.spans.append(Bounds(int(fields[1]), int(fields[2]), fields[4], fields[3]))
    return None


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write two sentences of a document as a title and an abstract, the next two as others.

    Each one in no document is a title on its own.

    Raises:
        ValueError: Annotation is missing, which the format cannot say.
    """
    number = 0
    for document, group in groupby(sentences, lambda one: one.document):
        together = list(group)
        step = 1 if document is None else 2
        name = _ID.sub("_", document.id if document else "")
        for place in range(0, len(together), step):
            number += 1
            more = f"-{place // step + 1}" * (place > 0)
            own = name + more if name else str(number)
            file.write(_spelled(own, together[place : place + step]))


def _spelled(name: str, sentences: list[Sentence]) -> str:
    texts, lines, base = [], [], 0
    for one in sentences:
        text, offsets = annotated(one, "pubtator")
        texts.append(text)
        for span in one.spans or ():
            start, end = offsets[span.start][0], offsets[span.end - 1][1]
            fields = (name, base + start, base + end, text[start:end], span.label, "-")
            lines.append("\t".join(str(one).replace("\t", " ") for one in fields) + "\n")
        base += len(text) + 1
    parts = [f"{name}|{part}|{text}\n" for part, text in zip("ta", [*texts, ""], strict=False)]
    return "".join([*parts, *lines, "\n"])
