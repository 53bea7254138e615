"""PubTator: ``1|t|the title``, ``1|a|the abstract``, and a line for each annotation.

``1<TAB>0<TAB>6<TAB>Zorbex<TAB>Chemical<TAB>D000001`` counts characters of the title and, after
one more, of the abstract. Title and abstract are a sentence each, together a document. Lines of
relations are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import TextIO

from ner.formats.alignment import Misfits
from ner.formats.lines import MAX_SENTENCE, Faults, read_blocks
from ner.formats.offsets import DEFAULT, Bounds
from ner.formats.standoff import Standoff, annotated
from ner.sentence import Sentence

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


def read(  # noqa: PLR0913 - one argument for each thing a file may leave open
    source: str | Path,
    *,
    encoding: str = "utf-8",
    align: str = "strict",
    tokenizer: str = DEFAULT,
    offsets: str | None = None,
    trust_offsets: bool = False,
    faults: Faults | None = None,
    misfits: Misfits | None = None,
) -> Iterator[Sentence]:
    """Read the titles and abstracts of a file; all bad lines are reported together at the end.

    Args:
        source: A path or ``"-"``.
        encoding: Of the file.
        align: What becomes of spans that begin or end within a token, see
            ``ner.formats.alignment.align``.
        tokenizer: What cuts the text, see ``ner.formats.offsets.tokenizer_named``.
        offsets: How characters are counted, see ``ner.formats.offsets.counting_named``.
        trust_offsets: Whether offsets count where a span quotes another text.
        faults: Where bad lines are noted instead of raised.
        misfits: Where spans that do not fit the tokens are noted instead of warned of.

    Raises:
        DataError: Lines are not what they should be.
        ValueError: The alignment, offset unit or tokenizer is unknown.
    """
    noted = Faults(source) if faults is None else faults
    unfit = Misfits(noted.path) if misfits is None else misfits
    standoff = Standoff(noted, unfit, tokenizer, align, offsets, trust_offsets)
    for one in _documents(source, encoding, noted):
        yield from standoff.sentences(one.text, one.spans, one.line, one.name)
    standoff.end(warns=misfits is None, raises=faults is None)


def _documents(source: str | Path, encoding: str, faults: Faults) -> Iterator[_Document]:
    document = _Document()
    blocks = read_blocks(source, encoding=encoding, faults=faults)
    for number, line in enumerate(chain.from_iterable(blocks), 1):
        text = _TEXT.fullmatch(line)
        if text and (document.texts.get(text[2]) is not None or text[1] != document.name):
            if document.texts:
                yield document
            document = _Document(text[1], number)
        if text:
            document.texts[text[2]] = text[3]
        elif line.strip() and (told := _annotate(document, line.split("\t"))):
            faults.add(number, f"{told}: {line[:80]!r}")
        if len(document.spans) > MAX_SENTENCE:
            faults.refuse(number, f"more than {MAX_SENTENCE:,} annotations of one document")
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
        return "the annotation has no label, or is far beyond the text"
    document.spans.append(Bounds(int(fields[1]), int(fields[2]), fields[4], fields[3]))
    return None


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write two sentences of a document as a title and an abstract, the next two as others.

    Args:
        file: An open text.
        sentences: What to write; each one in no document is a title on its own.

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
