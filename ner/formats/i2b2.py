"""i2b2: concepts of 2010 (``x.con`` beside ``x.txt``), and the XML of 2014.

``c="chest pain" 3:1 3:2||t="problem"`` counts lines from 1 and words between blanks from 0, the
last one in. The XML holds one text, and tags with their characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import quoteattr

from ner.errors import DataError
from ner.formats.alignment import Misfits
from ner.formats.lines import MAX_SENTENCE, STREAM, Faults, opened, read_blocks
from ner.formats.offsets import DEFAULT, Bounds
from ner.formats.records import align_tokens
from ner.formats.standoff import Standoff, annotated, check_xml, elements
from ner.sentence import Sentence, Span, in_document

_CONCEPT = re.compile(r'c="(.*)" (\d{1,9}):(\d{1,9}) (\d{1,9}):(\d{1,9})\|\|t="([^"]+)".*')


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
    """Read the lines of one text, which are the sentences of a document.

    Args:
        source: A path, of a ``.con`` file or of XML.
        encoding: Of the files of 2010.
        align: For the XML, see ``ner.formats.alignment.align``.
        tokenizer: For the XML, see ``ner.formats.offsets.tokenizer_named``.
        offsets: For the XML, see ``ner.formats.offsets.counting_named``.
        trust_offsets: Whether offsets count where a tag quotes another text.
        faults: Where bad lines are noted instead of raised.
        misfits: Where spans that do not fit the tokens are noted instead of warned of.

    Raises:
        DataError: The text is missing, or lines are not what they should be.
    """
    noted = Faults(source) if faults is None else faults
    unfit = Misfits(noted.path) if misfits is None else misfits
    standoff = Standoff(noted, unfit, tokenizer, align, offsets, trust_offsets)
    with opened(source) as file:
        start = file.read(100).lstrip(b"\xef\xbb\xbf \r\n\t")
    if not start.startswith(b"<") and source != STREAM:
        yield from _concepts(Path(source), encoding, standoff)
    else:
        for root in elements(source, "deIdi2b2", noted):
            spans = [_bounds(tag.attrib, noted) for tags in root.findall("TAGS") for tag in tags]
            text = (root.findtext("TEXT") or "").replace("\r\n", "\n")
            known = [one for one in spans if one is not None]
            yield from standoff.sentences(text, known, 1, Path(source).stem)
    standoff.end(warns=misfits is None, raises=faults is None)


def _bounds(given: dict[str, str], faults: Faults) -> Bounds | None:
    """Return the offsets of a tag; one without offsets applies to the whole text."""
    start, end = given.get("start", ""), given.get("end", "")
    if not start and not end:
        return None
    label = given.get("TYPE") or given.get("type")
    numbers = start.isascii() and start.isdigit() and end.isascii() and end.isdigit()
    if not (numbers and label and len(start + end) < 20):
        faults.add(1, f"a tag should have start, end and TYPE, found {given!r:.80}")
        return None
    return Bounds(int(start), int(end), label, given.get("text"))


Concept = tuple[int, int, str, str, int]  # first word, last word, label, its text, its line


def _concepts(path: Path, encoding: str, standoff: Standoff) -> Iterator[Sentence]:
    """The lines of the text beside a file of concepts."""
    found = _by_line(path, encoding, standoff.faults)
    sentences, number, held = [], 0, 0
    for block in read_blocks(_text_of(path), encoding=encoding):
        for text in block:
            number += 1
            tokens = tuple(text.split())
            if (held := held + len(tokens)) > MAX_SENTENCE:
                standoff.faults.refuse(number, f"a text of more than {MAX_SENTENCE:,} words")
            spans = _spans(tokens, found.pop(number, []), standoff)
            if tokens:
                sentences.append(Sentence(tokens, spans, line=number))
    for row, concepts in found.items():
        told = f"line {row} is not in the text, which has {number} lines"
        standoff.faults.add(concepts[0][4], told)
    yield from in_document(sentences, path.stem)


def _by_line(path: Path, encoding: str, faults: Faults) -> dict[int, list[Concept]]:
    """The concepts of each line of the text."""
    found: dict[int, list[Concept]] = {}
    number = 0
    for block in read_blocks(path, encoding=encoding, faults=faults):
        for line in block:
            number += 1
            if number > MAX_SENTENCE:
                faults.refuse(number, f"more than {MAX_SENTENCE:,} concepts of one text")
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
    items = []
    for start, end, label, says, line in concepts:
        standoff.misfits.line = line
        inside = " ".join(tokens[start : end + 1])
        if not start <= end < len(tokens):
            told = f"words {start} to {end} are not in a line of {len(tokens)} words"
            standoff.faults.add(line, told)
        elif inside.lower() != " ".join(says.split()).lower() and not standoff.trusted:
            told = f"words {start} to {end} should say {says!r}, but are {inside!r}"
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
    told = f"these are concepts of i2b2 2010; their text should be in {name}, not there"
    raise DataError.of(str(path), told)


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write the XML of 2014: one text of a line a sentence, and a tag for each entity.

    Args:
        file: An open text.
        sentences: What to write.

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
