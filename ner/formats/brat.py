"""brat standoff: a text in ``x.txt``, and beside it in ``x.ann`` a line for each entity.

``T1<TAB>PER 0 7<TAB>Ada Obi`` counts characters of the whole text. Each line of the text is a
sentence, each text a document named for its file; a text without an ``.ann`` has not been
annotated. Lines of relations, events, attributes and notes are not about entities and are
passed over. An entity in several pieces is reported as one that does not fit, unless nothing but
white space parts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

from ner.errors import DataError
from ner.formats.alignment import Characters, DocumentOptions, collecting, cut, line_of, where
from ner.formats.lines import MAX_SENTENCE, STREAM, Faults, numbered, opened
from ner.formats.offsets import (
    MARK,
    OTHERS,
    Bounds,
    Counting,
    counting_named,
    tokenizer_named,
)
from ner.sentence import Sentence, in_document

OPTIONS = DocumentOptions

_ENTITY = re.compile(r"T\S*\t(\S+) (\d+ \d+(?:;\d+ \d+)*)(?:\t(.*))?")
_OTHERS = tuple("REAMN#*")  # what lines of relations, events, attributes and notes begin with
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a text and its annotation, or of all those in a folder.

    Args:
        source: A folder, or the ``.txt`` or ``.ann`` file of one text.
        options: See `ner.formats.alignment.DocumentOptions`; the path of ``faults`` and
            ``misfits`` becomes that of each annotation in turn.

    Raises:
        DataError: A text cannot be decoded, an annotation contradicts it or has no text.
    """
    given = DocumentOptions(**options)
    bad: list[DataError] = []
    for path in texts(source):
        try:
            yield from _document(source, path, given)
        except DataError as error:
            bad.append(error)
    if bad:
        raise DataError.merged(bad)


def _document(source: str | Path, path: Path, options: DocumentOptions) -> Iterator[Sentence]:
    """Yield the sentences of one text."""
    annotation = path.with_suffix(".ann")
    with collecting(annotation, options) as (faults, misfits):
        faults.path = misfits.path = str(annotation)
        text = _text(path, options, faults)
        if text is None:
            return
        spans = _spans(annotation, text, options, faults)
        text = " " + text[1:] if text.startswith(MARK) else text
        cutter = tokenizer_named(options.tokenizer)
        name = _name(source, path)
        yield from in_document(cut(text, spans, cutter, options.align, misfits), name)


def texts(source: str | Path) -> list[Path]:
    """The ``.txt`` files meant by a folder or by the file of one text.

    Raises:
        DataError: An annotation has no text, or a folder none at all.
        ValueError: The source is standard input.
    """
    if source == STREAM:
        raise ValueError("brat has two files per text and cannot be read from standard input")
    path = Path(source)
    if not path.is_dir():
        _check_text(path)
        return [path.with_suffix(".txt")]
    for annotation in sorted(path.rglob("*.ann")):
        _check_text(annotation)
    found = sorted(path.rglob("*.txt"))
    if not found:
        raise DataError.of(str(path), "the folder has no .txt file")
    return found


def write(folder: Path, sentences: Iterable[Sentence]) -> None:
    """Write each document's sentences, one a line, and its entities.

    Those in no document go together into one text.

    Raises:
        ValueError: A label or the annotation of a document is nothing brat can hold.
    """
    taken: set[str] = set()
    for document, group in groupby(sentences, lambda one: one.document):
        name = _unused(document.id if document else "", taken)
        _write_one(folder / f"{name}.txt", group)


def _write_one(path: Path, sentences: Iterable[Sentence]) -> None:
    """One text and, where it is annotated, its entities."""
    waiting = iter(sentences)
    first = next(waiting)
    number = place = 0
    lines: list[str] = []
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for sentence in chain([first], waiting):
            _check(sentence, annotated=first.spans is not None)
            text, offsets = line_of(sentence)
            if place == 0 and text.startswith("\ufeff"):
                place = file.write("\ufeff")  # a reader takes the first one for a mark
            file.write(text + "\n")
            for span in sentence.spans or ():
                number += 1
                start, end = offsets[span.start][0], offsets[span.end - 1][1]
                at = f"{span.label} {place + start} {place + end}"
                lines.append(f"T{number}\t{at}\t{text[start:end]}\n")
            place += len(text) + 1
    if first.spans is not None:
        path.with_suffix(".ann").write_text("".join(lines), "utf-8", newline="\n")


def _check(sentence: Sentence, *, annotated: bool) -> None:
    name = where(sentence)
    if (sentence.spans is not None) != annotated:
        raise ValueError(f"{name} is annotated and others of its document are not, or the reverse")
    if sentence.unknown:
        raise ValueError(f"{name} has unannotated tokens, which brat cannot express")
    for span in sentence.spans or ():
        if len(span.label.split()) != 1 or span.label.strip() != span.label:
            raise ValueError(f"{name} has the label {span.label!r}; brat takes single words")


def _unused(name: str, taken: set[str]) -> str:
    """A file name for a document that no other has, on any system."""
    base = _NOT_IN_NAMES.sub("_", name).strip(".") or f"document-{len(taken) + 1:06}"
    found, number = base, 1
    while found.lower() in taken:
        number += 1
        found = f"{base}-{number}"
    taken.add(found.lower())
    return found


def _check_text(path: Path) -> None:
    if not path.with_suffix(".txt").is_file():
        if not path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(path))
        name = path.with_suffix(".txt").name
        raise DataError.of(str(path), f"its text {name} is missing")


def _name(source: str | Path, path: Path) -> str:
    if not Path(source).is_dir():
        return path.stem
    return path.relative_to(source).with_suffix("").as_posix()


def _text(path: Path, options: DocumentOptions, faults: Faults) -> str | None:
    """Return the text with its line ends as they are, since annotation counts them."""
    most = min(options.max_document, options.max_size or options.max_document)
    with opened(path) as file:
        raw = file.read(most + 1)
    annotation, faults.path = faults.path, str(path)
    if len(raw) > most:
        name = "max_document" if most == options.max_document else "max_size"
        faults.refuse(1, f"the text has more than {most:,} bytes ({name})")
    try:
        return raw.decode(options.encoding)
    except UnicodeDecodeError as error:
        line, byte = raw.count(b"\n", 0, error.start) + 1, raw[error.start]
        faults.add(
            line, f"byte 0x{byte:02x} is not valid {options.encoding}; set the right encoding"
        )
        return None
    finally:
        faults.path = annotation


class _Entity(NamedTuple):
    """A parsed line of annotation: its number, the label, the offsets and the quoted text."""

    line: int
    label: str
    pieces: list[tuple[int, int]]
    says: str | None


def _spans(
    path: Path, text: str, options: DocumentOptions, faults: Faults
) -> list[Characters] | None:
    if not path.exists():
        return None
    entities: list[_Entity] = []
    for number, line in numbered(path, options, faults):
        if not line.strip() or line.startswith(_OTHERS):
            continue
        found = _ENTITY.fullmatch(line)
        if found is None:
            faults.add(number, f"expected 'T1<TAB>LABEL 0 7<TAB>its text', found {line[:80]!r}")
            continue
        pieces = [_pair(piece) for piece in found[2].split(";")]
        says = None if options.trust_offsets else found[3]
        entities.append(_Entity(number, found[1], pieces, says))
        if len(entities) > MAX_SENTENCE:
            faults.refuse(number, f"one text has more than {MAX_SENTENCE:,} entities")
    spans: list[Characters] = []
    for one in _in_characters(text, entities, options.offsets):
        try:
            spans.append(_span(one, text, options.align))
        except ValueError as error:
            faults.add(one.line, str(error))
    return spans


def _in_characters(text: str, entities: list[_Entity], offsets: str | None) -> list[_Entity]:
    """The same entities counted in characters: as was set, or as all that they say agrees with."""
    if offsets is not None:
        return _counted(text, entities, counting_named(offsets))
    if all(_agrees(text, one) for one in entities):
        return entities
    if all(one.says is not None for one in entities):
        for counting in OTHERS:
            counted = _counted(text, entities, counting)
            if all(_agrees(text, one) for one in counted):
                return counted
    return entities


def _counted(text: str, entities: list[_Entity], counting: Counting) -> list[_Entity]:
    """The same entities, whose places are counted in some way, in characters."""
    if counting.plain:
        return entities
    bounds = [Bounds(*piece, one.label) for one in entities for piece in one.pieces]
    places = iter(counting.applied(text, bounds))
    return [
        one._replace(pieces=[(at.start, at.end) for at in islice(places, len(one.pieces))])
        for one in entities
    ]


def _inside(text: str, pieces: list[tuple[int, int]]) -> str:
    return " ".join(text[start:end] for start, end in pieces)


def _agrees(text: str, one: _Entity) -> bool:
    """Return whether an entity lies in its text and quotes it correctly."""
    within = all(0 <= start < end <= len(text) for start, end in one.pieces)
    says = one.says
    return within and (says is None or says.split() == _inside(text, one.pieces).split())


def _span(one: _Entity, text: str, how: str) -> Characters:
    """The span of an entity.

    Raises:
        ValueError: It is not in the text, or says something else.
    """
    pieces = _joined(text, one.pieces)
    for start, end in pieces:
        if not 0 <= start < end <= len(text):
            raise ValueError(
                f"the span {start} to {end} ({one.label}) exceeds the text, "
                f"which has {len(text)} characters"
            )
    if not _agrees(text, one._replace(pieces=pieces)):
        places = ";".join(f"{start} {end}" for start, end in one.pieces)
        raise ValueError(
            f"the span {places} ({one.label}) should be {one.says!r}, but those characters of the "
            f"text are {_inside(text, pieces)!r}; set trust_offsets: true to go by the offsets"
        )
    start, end = pieces[0][0], pieces[-1][1]
    if how == "contract":
        start, end = max(pieces, key=lambda piece: piece[1] - piece[0])
    return Characters(start, end, one.label, pieces=len(pieces), line=one.line)


def _pair(piece: str) -> tuple[int, int]:
    start, _, end = piece.partition(" ")
    return int(start), int(end)


def _joined(text: str, pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pieces with those put together that only white space parts, as brat cuts at line ends."""
    whole = [min(pieces)]
    for start, end in sorted(pieces)[1:]:
        if text[whole[-1][1] : start].strip():
            whole.append((start, end))
        else:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
    return whole
