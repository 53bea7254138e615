"""i2b2: concepts of 2010 (``x.con`` beside ``x.txt``), and the XML of 2014.

``c="chest pain" 3:1 3:2||t="problem"`` counts lines from 1 and words between blanks from 0, the
last one in. The XML holds one text, and tags with their characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

from ner.errors import DataError
from ner.formats.alignment import DocumentOptions, annotated, collecting
from ner.formats.lines import MAX_SENTENCE, STREAM, Faults, numbered, opened
from ner.formats.offsets import Bounds
from ner.formats.records import align_tokens
from ner.formats.standoff import Standoff, check_xml, elements
from ner.sentence import Sentence, Span, in_document

OPTIONS = DocumentOptions
ROOT = "deIdi2b2"
_ROOT = re.compile(rb"<(\w+)>\s*<TEXT>")

_CONCEPT = re.compile(r'c="(.*)" (\d{1,9}):(\d{1,9}) (\d{1,9}):(\d{1,9})\|\|t="([^"]+)".*')


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the lines of one text, which are the sentences of a document.

    For the options see `ner.formats.alignment.DocumentOptions`.

    Raises:
        DataError: The text is missing, or lines are malformed.
    """
    given = DocumentOptions(**options)
    with collecting(source, given) as (faults, misfits):
        standoff = Standoff(given, faults, misfits)
        with opened(source) as file:
            start = file.read(4000).lstrip(b"\xef\xbb\xbf \r\n\t")
        if not start.startswith(b"<") and source != STREAM:
            yield from _concepts(Path(source), standoff)
        else:
            named = _ROOT.search(start)
            for root in elements(source, named[1].decode() if named else ROOT, given, faults):
                tags = [_bounds(tag, faults) for one in root.findall("TAGS") for tag in one]
                if tags and not any(tags):
                    faults.add(1, "no tag says where it stands in the text, with start and end")
                text = (root.findtext("TEXT") or "").replace("\r\n", "\n")
                spans = [one for one in tags if one is not None]
                yield from standoff.sentences(text, spans, 1, Path(source).stem)
        standoff.warn()


def _bounds(tag: Element, faults: Faults) -> Bounds | None:
    """Return the offsets of a tag; one without offsets applies to the whole text."""
    given = tag.attrib
    start, end = given.get("start", ""), given.get("end", "")
    if not start and not end:
        return None
    label = given.get("TYPE") or given.get("type") or tag.tag
    numbers = start.isascii() and start.isdigit() and end.isascii() and end.isdigit()
    if not (numbers and len(start + end) < 20):
        faults.add(1, f"a tag should have start and end as numbers, found {given!r:.80}")
        return None
    return Bounds(int(start), int(end), label, given.get("text"))


Concept = tuple[int, int, str, str, int]  # first word, last word, label, its text, its line


def _concepts(path: Path, standoff: Standoff) -> Iterator[Sentence]:
    """Yield the lines of the text beside a file of concepts."""
    found = _by_line(path, standoff)
    sentences, number, held = [], 0, 0
    for number, text in numbered(_text_of(path), standoff.options):
        tokens = tuple(text.split())
        if (held := held + len(tokens)) > MAX_SENTENCE:
            standoff.faults.refuse(number, f"the text has more than {MAX_SENTENCE:,} words")
        spans = _spans(tokens, found.pop(number, []), standoff)
        if tokens:
            sentences.append(Sentence(tokens, spans, line=number))
    for row, concepts in found.items():
        told = f"the text has {number} lines, and no line {row}"
        standoff.faults.add(concepts[0][4], told)
    yield from in_document(sentences, path.stem)


def _by_line(path: Path, standoff: Standoff) -> dict[int, list[Concept]]:
    """Return the concepts of each line of the text."""
    found: dict[int, list[Concept]] = {}
    faults = standoff.faults
    for number, line in numbered(path, standoff.options, faults):
        if number > MAX_SENTENCE:
            faults.refuse(number, f"one text has more than {MAX_SENTENCE:,} concepts")
        concept = _CONCEPT.fullmatch(line.strip())
        if concept and concept[2] == concept[4]:
            row, start, _, end = map(int, concept.groups()[1:5])
            found.setdefault(row, []).append((start, end, concept[6], concept[1], number))
        elif line.strip():
            told = 'expected \'c="text" 1:0 1:1||t="label"\', found'
            faults.add(number, f"{told} {line[:80]!r}")
    return found


def _spans(
    tokens: tuple[str, ...], concepts: list[Concept], standoff: Standoff
) -> tuple[Span, ...]:
    items, trusted = [], standoff.options.trust_offsets
    for start, end, label, says, line in concepts:
        standoff.misfits.line = line
        inside = " ".join(tokens[start : end + 1])
        if not start <= end < len(tokens):
            told = f"words {start} to {end} exceed the line, which has {len(tokens)} words"
            standoff.faults.add(line, told)
        elif not trusted and inside.lower() != " ".join(says.split()).lower():
            told = f"words {start} to {end} should be {says!r}, but are {inside!r}"
            standoff.faults.add(line, f"{told}; set trust_offsets: true to go by the offsets")
        else:
            items.append([start, end, label])
    return align_tokens(tokens, items, standoff.misfits, inclusive=True)


def _text_of(path: Path) -> Path:
    """The text of a file of concepts: beside it, or in a folder ``txt`` beside its own."""
    name = path.with_suffix(".txt").name
    for folder in (path.parent, path.parent.parent / "txt", path.parent / "txt"):
        if (folder / name).is_file() and folder / name != path:
            return folder / name
    told = f"these are i2b2 2010 concepts, but their text {name} is missing"
    raise DataError.of(str(path), told)


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write the XML of 2014: one text of a line a sentence, and a tag for each entity.

    Raises:
        ValueError: Annotation is missing, which the format cannot say; or a text holds a character
            that XML does not have.
    """
    file.write('<?xml version="1.0" encoding="UTF-8" ?>\n<deIdi2b2>\n<TEXT><![CDATA[')
    tags: list[str] = []
    base = 0
    for one in sentences:
        text, offsets = annotated(one, "i2b2")
        check_xml(text)
        file.write(text.replace("]]>", "]]]]><![CDATA[>") + "\n")
        for span in one.spans or ():
            start, end = offsets[span.start][0], offsets[span.end - 1][1]
            places = f'id="P{len(tags)}" start="{base + start}" end="{base + end}"'
            says = f"text={quoteattr(text[start:end])} TYPE={quoteattr(check_xml(span.label))}"
            tags.append(f'<ENTITY {places} {says} comment="" />\n')
        base += len(text) + 1
    file.write(f"]]></TEXT>\n<TAGS>\n{''.join(tags)}</TAGS>\n</deIdi2b2>\n")
