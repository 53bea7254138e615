"""The shelf of file formats: each reads sentences from a file and writes them to one.

A format is a module with two functions and a line in ``FORMATS``::

    read(source, **options) -> Iterator[Sentence]
    write(target, sentences, **options) -> None

``source`` is a path or ``"-"``. ``target`` is what the format's ``kind`` says: an open text
stream, an open binary stream, or an empty folder. A module is imported when its format is
first used.
"""

from __future__ import annotations

import contextlib
import glob
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from ner.formats.lines import (
    COMPRESSED,
    STREAM,
    DataError,
    DataWarning,
    compressing,
)
from ner.sentence import Sentence
from ner.storage import replacing, replacing_directory

__all__ = ["FORMATS", "DataError", "DataWarning", "Format", "guess", "read", "sources", "write"]

Source = str | Path


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: What users call it.
        endings: The file name endings it is recognised by, compression aside.
        read: Gives the sentences of one path (or ``"-"``), streaming.
        write: Writes sentences to an open stream, or into an empty folder.
        kind: What ``write`` writes to.
        summary: One line for ``--help`` and the documentation.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[..., Iterator[Sentence]]
    write: Callable[..., None]
    kind: Literal["text", "binary", "folder"]
    summary: str


def _format(
    name: str,
    endings: tuple[str, ...],
    summary: str,
    kind: Literal["text", "binary", "folder"] = "text",
) -> Format:
    """A format whose module, ``ner.formats.<name>``, is imported when it is first used."""
    module = f"ner.formats.{name}"

    def read_later(source: Source, **options: Any) -> Iterator[Sentence]:
        found: Iterator[Sentence] = import_module(module).read(source, **options)
        return found

    def write_later(target: Any, sentences: Iterable[Sentence], **options: Any) -> None:
        import_module(module).write(target, sentences, **options)

    return Format(name, endings, read_later, write_later, kind, summary)


FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        _format(
            "conll",
            (".conll", ".txt", ".tsv", ".bio", ".iob", ".iob1", ".iob2", ".bioes", ".iobes")
            + (".bilou", ".bmes", ".io", ".train", ".testa", ".testb", ".conll03", ".conll02"),
            "one token a line, its tag in the last column, as in CoNLL-2002 and CoNLL-2003",
        ),
        _format("conllu", (".conllu", ".conllup"), "CoNLL-U and CoNLL-U Plus"),
        _format("conll2012", (".gold_conll", ".v4_gold_conll"), "CoNLL-2012 / OntoNotes"),
        _format("jsonl", (".jsonl", ".json", ".ndjson"), "one JSON object a sentence or a text"),
        _format("brat", (".ann",), "brat standoff: a .txt and an .ann a document", "folder"),
        _format("docbin", (".spacy",), "spaCy's DocBin", "binary"),
        _format("brackets", (".brackets",), "inline: [PER Ada Obi] joined [ORG Kestrel] ."),
    )
}
