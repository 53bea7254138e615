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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from ner.errors import DataWarning
from ner.formats.alignment import Misfits, check_how
from ner.formats.conventions import expanded, with_names
from ner.formats.detection import Detection, Repairs, TagCounts
from ner.formats.documents import ARRAYS, DOCUMENT_TOKENS, SHAPES, WHOLE, Part, Wanted
from ner.formats.json_values import Value, values
from ner.formats.lines import COMPRESSORS, Faults, rereadable, taken
from ner.formats.offsets import DEFAULT, counting_named, tokenizer_named
from ner.formats.records import MISSING, TAGS, RecordReader, given_tags
from ner.schemes import SCHEMES, Scheme, file_scheme_named
from ner.sentence import Document, Sentence

HELD = 1 << 23  # bytes of a file whose values are parsed only once


def read(  # noqa: PLR0913 - one argument for each thing a file may leave open
    source: str | Path,
    *,
    encoding: str = "utf-8",
    scheme: str | None = None,
    align: str = "strict",
    tokenizer: str = DEFAULT,
    offsets: str | None = None,
    annotation: str | None = None,
    trust_offsets: bool = False,
    names: Sequence[str] | None = None,
    faults: Faults | None = None,
    misfits: Misfits | None = None,
) -> Iterator[Sentence]:
    """Read the sentences of a file; all bad lines are reported together at the end.

    A text without tokens is cut into its lines, and those into tokens. A record without
    annotation gives sentences whose ``spans`` are ``None``; so does one that Prodigy's
    annotators did not accept. Records without a token are left out, and counted.

    Args:
        source: A path or ``"-"``.
        encoding: Of the file.
        scheme: Of the tags; without it the file tells.
        align: What becomes of spans that begin or end within a token: ``strict``, ``expand`` or
            ``contract``, see ``ner.formats.alignment.align``.
        tokenizer: What cuts raw text, see ``ner.formats.offsets.tokenizer_named``.
        offsets: How characters are counted, see ``ner.formats.offsets.counting_named``.
        annotation: The key that holds the annotation, where another would be read or several are
            there.
        trust_offsets: Whether offsets count where a span quotes another text.
        names: The tags in the order of their numbers, where numbers stand for them.
        faults: Where bad lines are noted instead of raised.
        misfits: Where spans that do not fit the tokens are noted instead of warned of.

    Raises:
        DataError: Lines are not valid JSON, or malformed.
        ValueError: The scheme, alignment or tokenizer is unknown.
    """
    check_how(align)
    if tokenizer != DEFAULT:
        tokenizer_named(tokenizer)  # an unknown one is not the error of a line
    if offsets is not None:
        counting_named(offsets)
    noted = Faults(source) if faults is None else faults
    unfit = Misfits(noted.path) if misfits is None else misfits
    known = file_scheme_named(scheme or "BIO")
    reading = RecordReader(tokenizer, align, known, unfit, offsets, annotation, trust_offsets)
    reading.names = tuple(names or ())
    with rereadable(source) as path:
        yield from _sentences(path, encoding, reading, noted, detected=scheme is None)
    if misfits is None:
        unfit.warn()
    for told in reading.told():
        warnings.warn(DataWarning(told, path=noted.path), stacklevel=2)
    if faults is None:
        noted.check()


def _sentences(
    path: str | Path, encoding: str, reading: RecordReader, faults: Faults, *, detected: bool
) -> Iterator[Sentence]:
    """The sentences of a file; in the end a warning tells of tags that were repaired."""
    held: deque[Value] = deque()
    if _is_small(path):
        held.extend(_values(path, encoding, faults, reading.names))
        counts = _count(held)
    else:
        counts = _count(_values(path, encoding, Faults(path), reading.names))
    found = counts.detect(None if detected else reading.scheme)
    reading.scheme = found.scheme
    repairs = Repairs(faults.path, found, counts.illegal_pairs(found.scheme))
    given = taken(held) if _is_small(path) else _values(path, encoding, faults, reading.names)
    for sentence in _in_documents(_records(given, reading, faults)):
        if found.illegal and sentence.tags:
            repairs.note([sentence.line] * len(sentence), sentence.tags)
        yield sentence
    repairs.warn()


def detect(
    source: str | Path, *, encoding: str = "utf-8", scheme: Scheme | None = None
) -> Detection:
    """The scheme of the tags of a file; BIO where it has none."""
    return _count(_values(source, encoding, Faults(source))).detect(scheme)


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


def write(  # noqa: PLR0913 - one argument for each thing tools want to be told
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
        file: An open text.
        sentences: What to write.
        shape: ``ner`` (everything a sentence holds), ``tags``, ``doccano``, ``prodigy``,
            ``labelstudio`` or ``argilla``; ``ner.formats.jsonl.read`` reads them all.
        scheme: Of the tags in the shape ``tags``; BIO where none is given.
        suggestions: Whether spans become suggestions to be corrected (Label Studio's predictions)
            instead of annotation; by default where a span of the sentence has a score.
        model_version: What suggestions are said to come from.
        user: The id of the user of Argilla whose responses annotation becomes; without it all
            spans are suggestions there.
        array: Whether to write one array, a JSON document, in every shape, as a file named
            ``.json`` should hold.

    Raises:
        ValueError: The shape or scheme is unknown, or a sentence does not fit it.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape is one of {', '.join(SHAPES)}, got {shape!r}")
    chosen = SCHEMES["BIO"] if scheme is None else file_scheme_named(scheme)
    wanted = Wanted(chosen, suggestions, model_version, user)
    together = array or shape in ARRAYS
    before, between, after = ("[\n", ",\n", "\n]\n") if together else ("", "\n", "\n")
    number = 0
    for number, sentence in enumerate(sentences, 1):
        if shape in WHOLE and sentence.unknown:
            raise ValueError(
                f"the sentence of line {sentence.line} has tokens whose annotation is missing; "
                f"{shape} cannot say that"
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
    source: str | Path, encoding: str, faults: Faults, names: Sequence[str] = ()
) -> Iterator[Value]:
    """The records of a file, of which one value may hold all, as some annotation tools write it."""
    named = dict.fromkeys(TAGS, names)
    for line, value in values(source, encoding, faults):
        try:
            for one in expanded(value):
                yield line, with_names(one, named) if names else one
        except ValueError as error:
            faults.add(line, str(error))
