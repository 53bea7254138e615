"""JSON: one object a line, or one array of objects, that hold a sentence or a text each.

Objects may also be laid out over several lines, or follow each other without a line end.

Read are our own lines (what ``ner tag --to jsonl`` writes), tokens with tags, tokens with
spans, and texts with spans of characters as Doccano, Prodigy, Label Studio and others write
them. ``SHAPES`` are those that can be written.
"""

from __future__ import annotations

import json
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ner.errors import DataWarning
from ner.formats.alignment import collecting, where
from ner.formats.conventions import expanded, of_words, with_names
from ner.formats.detection import MISSING, Detection, Repairs, TagCounts
from ner.formats.documents import ARRAYS, DOCUMENT_TOKENS, SHAPES, WHOLE, Part, Wanted
from ner.formats.json_values import Value, values
from ner.formats.lines import COMPRESSORS, Faults, rereadable, taken
from ner.formats.records import PRESETS, TAGS, JsonOptions, RecordReader, given_tags
from ner.options import with_preset
from ner.schemes import SCHEMES, Scheme, file_scheme_named
from ner.sentence import Document, Sentence

HELD = 1 << 24  # bytes of a file whose values are parsed only once


OPTIONS = JsonOptions


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file; all bad lines are reported together at the end.

    A text without tokens is cut into its lines, and those into tokens. A record without
    annotation gives sentences whose ``spans`` are ``None``; so does one that Prodigy's
    annotators did not accept. Records without a token are left out, and counted.

    For the options see `JsonOptions`.

    Raises:
        DataError: Lines are not valid JSON, or malformed.
    """
    given = JsonOptions(**with_preset(PRESETS, options))
    with collecting(source, given) as (faults, misfits), rereadable(source) as path:
        reading = RecordReader(given, misfits, file_scheme_named(given.scheme or "BIO"))
        yield from _sentences(path, reading, faults)
        for remark in reading.told():
            warnings.warn(DataWarning(remark, path=faults.path), stacklevel=2)


def _sentences(path: str | Path, reading: RecordReader, faults: Faults) -> Iterator[Sentence]:
    """Yield the sentences of a file; in the end a warning counts repaired tags."""
    options, held = reading.options, deque[Value]()
    if _is_small(path):
        held.extend(_values(path, options, faults))
        counts = _count(held)
    else:
        counts = _count(_values(path, options, Faults(path), checked=False))
    found = counts.detect(None if options.scheme is None else reading.scheme)
    reading.scheme = found.scheme
    repairs = Repairs(faults.path, found, counts.illegal_pairs(found.scheme))
    given = taken(held) if _is_small(path) else _values(path, options, faults)
    for sentence in _in_documents(_records(given, reading, faults)):
        if found.illegal and sentence.tags:
            repairs.note([sentence.line] * len(sentence), sentence.tags)
        yield sentence
    repairs.warn()


def detect(
    source: str | Path, *, encoding: str = "utf-8", scheme: Scheme | None = None
) -> Detection:
    """Return the scheme of the tags of a file; BIO where it has none."""
    return _count(_values(source, JsonOptions(encoding=encoding), Faults(source))).detect(scheme)


def _is_small(path: str | Path) -> bool:
    """Return whether the values of a file fit in memory between two passes."""
    return Path(path).suffix not in COMPRESSORS and Path(path).stat().st_size <= HELD


def _count(given: Iterable[Value]) -> TagCounts:
    counts = TagCounts(MISSING)
    for _, value in given:
        tags = given_tags(value)
        if tags:
            counts.add(tags)
    return counts


def write(  # noqa: PLR0913 - one argument for each setting of the tools
    file: TextIO,
    sentences: Iterable[Sentence],
    *,
    shape: str = "ner",
    scheme: str | None = None,
    suggestions: bool | None = None,
    model_version: str = "ner",
    user: str | None = None,
    array: bool = False,
) -> None:
    """Write one object a line, or one array of them in the shapes that are imported so.

    Args:
        file: Open file to write to.
        sentences: Sentences to write.
        shape: ``ner`` (everything a sentence holds), ``tags``, ``doccano``, ``prodigy``,
            ``labelstudio`` or ``argilla``; ``ner.formats.jsonl.read`` reads them all.
        scheme: Of the tags in the shape ``tags``; BIO where none is given.
        suggestions: Whether spans become suggestions to be corrected (Label Studio's predictions)
            instead of annotation; by default where a span of the sentence has a score.
        model_version: What suggestions are attributed to.
        user: The id of the user of Argilla whose responses annotation becomes; without it all
            spans are suggestions there.
        array: Whether to write one array, a JSON document, in every shape, as a file named
            ``.json`` should hold.

    Raises:
        ValueError: The shape or scheme is unknown, or a sentence does not fit it.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    chosen = SCHEMES["BIO"] if scheme is None else file_scheme_named(scheme)
    wanted = Wanted(chosen, suggestions, model_version, user)
    together = array or shape in ARRAYS
    before, between, after = ("[\n", ",\n", "\n]\n") if together else ("", "\n", "\n")
    number = 0
    for number, sentence in enumerate(sentences, 1):
        if shape in WHOLE and sentence.unknown:
            raise ValueError(
                f"{where(sentence)} has unannotated tokens, which {shape} cannot express"
            )
        record = json.dumps(SHAPES[shape](sentence, wanted), ensure_ascii=False)
        file.write((before if number == 1 else between) + record)
    file.write(after if number else before.strip() + after.strip())


def _records(given: Iterable[Value], reading: RecordReader, faults: Faults) -> Iterator[Sentence]:
    """The sentences of every object, bad ones noted."""
    for line, value in given:
        reading.misfits.line = line
        try:
            sentences = reading.sentences(value)
        except ValueError as error:
            faults.add(line, str(error))
            continue
        for sentence in sentences:
            yield sentence if sentence.line == line else replace(sentence, line=line)


def _in_documents(sentences: Iterable[Sentence]) -> Iterator[Sentence]:
    """Sentences whose records name the same document, one after the other, put together."""
    waiting: list[Sentence] = []
    tokens, make = 0, Document
    before: Document | None = None
    for sentence in sentences:
        goes_on = _goes_on(sentence, before)
        if waiting and (not goes_on or tokens >= DOCUMENT_TOKENS):
            yield from _joined(waiting, make)
            waiting, tokens, make = [], 0, Part if goes_on else Document
        before = sentence.document
        if before is None:
            yield sentence
        else:
            waiting.append(sentence)
            tokens += len(sentence)
    yield from _joined(waiting, make)


def _goes_on(sentence: Sentence, document: Document | None) -> bool:
    """Return whether a sentence stands in the document of the sentence before it."""
    now = sentence.document
    if now is None or document is None or now is document:
        return now is document
    return sentence.position > 0 and now.id == document.id


def _joined(sentences: list[Sentence], make: type[Document]) -> Iterator[Sentence]:
    """The same sentences, in one document."""
    if not sentences:
        return
    first = sentences[0].document
    whole = make(tuple(one.tokens for one in sentences), first.id if first else "")
    for position, sentence in enumerate(sentences):
        yield replace(sentence, document=whole, position=position)


def _values(
    source: str | Path, options: JsonOptions, faults: Faults, *, checked: bool = True
) -> Iterator[Value]:
    """Yield the records of a file, of which one value may hold all, as some tools write it."""
    names = dict.fromkeys(TAGS, options.names or ())
    for line, value in values(source, options, faults, checked=checked):
        try:
            for one in expanded(value):
                yield line, of_words(with_names(one, names) if options.names else one, TAGS)
        except ValueError as error:
            faults.add(line, str(error))
