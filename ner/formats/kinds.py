"""Detect the format of a file from its first lines or bytes, regardless of its name.

Files that nothing here reads are called by their name, with what to do about them, instead of
being read as columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ner.formats.csv import is_header
from ner.formats.lines import Faults, broken, opened

SAMPLED = 4_000  # bytes looked at

_PYTHON = "write it as JSON, for example with json.dump(TRAIN_DATA, file), and read that"
_OFFICE = "save it as CSV, or a text as plain text"
_SAVE = "unpack it and read the files in it"
_STANDOFF = (
    "put each text and its spans into one line of JSON: "
    '{"text": ..., "spans": [{"start": ..., "end": ..., "label": ...}]}'
)
_TABLES = "load it and give its rows to ner.formats.frames"


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file.

    Attributes:
        name: What it is, in a message.
        advice: What to do with it; empty where it is read.
        format: The format that reads it.
    """

    name: str
    advice: str = ""
    format: str | None = None


_BYTES: tuple[tuple[bytes, FileKind], ...] = (
    (b"PK\x03\x04", FileKind("a zip archive", _SAVE)),
    (b"PK\x05\x06", FileKind("an empty zip archive", _SAVE)),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7z archive", _SAVE)),
    (b"Rar!\x1a\x07", FileKind("a rar archive", _SAVE)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileKind("an Excel or Word file", _OFFICE)),
    (b"PAR1", FileKind("a Parquet file", _TABLES)),
    (b"ARROW1", FileKind("an Arrow file", _TABLES)),
    (b"\xff\xff\xff\xff", FileKind("an Arrow stream, as of Hugging Face datasets", _TABLES)),
    (b"\x93NUMPY", FileKind("a file of numpy", _TABLES)),
    (b"%PDF-", FileKind("a PDF", "extract its text first")),
    (b"SQLite format 3\0", FileKind("an SQLite database", _TABLES)),
    (b"\x89PNG", FileKind("a PNG image", "give the text instead")),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:[\x95\]})(\x8c]|[cqX}])", re.DOTALL)
_PARTS = (b"[Content_Types].xml", b"xl/", b"word/", b"_rels/.rels")

_XML = r"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!(?:--.*?--|[^>]*)>\s*)*"
_FLAGS = re.DOTALL | re.IGNORECASE
_TEXTS: tuple[tuple[re.Pattern[str], FileKind], ...] = tuple(
    (re.compile(begins, _FLAGS), kind)
    for begins, kind in (
        (
            r"version https://git-lfs\.github\.com/spec/",
            FileKind("a pointer of Git LFS, not the data itself", "run: git lfs pull"),
        ),
        (
            r"\s*(?:<!doctype html|<html\b)",
            FileKind("an HTML page", "download the data itself; this may be a login or error page"),
        ),
        (r"#FORMAT=WebAnno TSV 3", FileKind("WebAnno TSV 3", format="webanno")),
        (
            r"#FORMAT=WebAnno TSV|# webanno\.custom",
            FileKind("WebAnno TSV of an old version", "export it as WebAnno TSV 3"),
        ),
        (r"[^\s|]+\|t\|", FileKind("PubTator", format="pubtator")),
        (r"\s*#begin document\b", FileKind("CoNLL-2012", format="conll2012")),
        (r"\{\\rtf", FileKind("a text of a word processor (RTF)", "save it as plain text")),
        (
            r"T\d+\t\S+ \d+ \d+(?:;\d+ \d+)*\t",
            FileKind("brat standoff", "name it .ann, with its text beside it in a .txt", "brat"),
        ),
        (rf"{_XML}<collection\b.*?<(?:document|passage)\b", FileKind("BioC XML", format="bioc")),
        (rf"{_XML}<\w+>\s*<TEXT><!\[CDATA\[", FileKind("XML of i2b2", format="i2b2")),
        (rf"{_XML}<deIdi2b2\b", FileKind("i2b2 2014 XML", format="i2b2")),
        (r'\s*c="[^\n]*" \d+:\d+ \d+:\d+\|\|t="', FileKind("i2b2 2010", format="i2b2")),
        (
            rf"{_XML}<TEI\b",
            FileKind(
                "TEI XML",
                "read it with format: sgml and elements naming what marks entities, for example "
                "elements: 'persName placeName orgName'",
            ),
        ),
        (
            rf"{_XML}<root>\s*<document>",
            FileKind("XML of Stanford CoreNLP", "write it with -outputFormat json, which is read"),
        ),
        (
            rf"{_XML}<GateDocument\b",
            FileKind(
                "GATE XML",
                "save it as inline XML (with its annotation types as elements), and read that with "
                "elements naming them",
            ),
        ),
        (rf"{_XML}<LCTL_TEXT\b", FileKind("LTF, a text of LDC without its annotation", _STANDOFF)),
        (rf"{_XML}<LCTL_ANNOTATIONS\b", FileKind("LAF, annotation of LDC", _STANDOFF)),
        (rf"{_XML}<source_file\b", FileKind("ACE APF, annotation of an .sgm file", _STANDOFF)),
        (rf"{_XML}<annotations\s[^>]*textSource=", FileKind("Knowtator XML", _STANDOFF)),
        (rf"{_XML}<NAF\b", FileKind("NAF XML", _STANDOFF)),
        (rf"{_XML}<FoLiA\b", FileKind("FoLiA XML", "convert it to columns with folia2columns")),
        (
            r"(?:\s*#[^\n]*\n)*\s*(?:@prefix|@base|PREFIX)\s+\S*:?\s*<",
            FileKind("RDF in Turtle, such as NIF", _STANDOFF),
        ),
        (
            r"(?:[^\n]*\n){0,5}?[^\n]*?<START(?::[^\s>]+)?> [^\n]*? <END>",
            FileKind(
                "training data of OpenNLP",
                "write <START:person> Ada <END> as [person Ada], name the file .brackets and read "
                "that",
            ),
        ),
        (
            r"File,Line,Begin Offset,End Offset,Type\s",
            FileKind("annotation of Amazon Comprehend, whose texts are other files", _STANDOFF),
        ),
        (
            rf"{_XML}<xmi:XMI\b",
            FileKind("UIMA CAS XMI", "export it as UIMA CAS JSON or WebAnno TSV 3, which are read"),
        ),
        (
            r"(?:[^\n]*\n){0,30}?##? ?(?:intent|synonym|lookup|regex):",
            FileKind("Rasa markdown", "convert it with: rasa data convert nlu --format json"),
        ),
        (
            r"(?:version: ?[^\n]*\s+)?nlu:\s*\n\s*- (?:intent|synonym|lookup|regex):",
            FileKind("Rasa YAML", "convert it with: rasa data convert nlu --format json"),
        ),
        (
            r"(?:\s*#[^\n]*\n)*\s*"
            r"(?:[A-Za-z_]\w* ?(?::[^=\n]*)?= ?[\[({]|import \w|from \w+ import )",
            FileKind("Python source", _PYTHON),
        ),
        (
            r"\s*[\[(]\s*(?:\(\s*[ur]?['\"]|\{\s*')|\s*\{\s*'|\s*\(\s*['\"][^\n]*\{",
            FileKind("a literal of Python, not JSON", _PYTHON),
        ),
        (
            r"\s*(?:\{\s*(?:\"|\Z|\}\s)|\[\s*(?:\{|\[\s*\"))",
            FileKind("JSON", "name it .jsonl or .json, or set the format to jsonl", "jsonl"),
        ),
        (
            r"(?:\S+/(?-i:o|nr|ns|nt)(?:[ \t]+|(?=\n)|\Z)){2,}",
            FileKind(
                "MSRA's corpus of words with a type, such as \u7c73\u62c9/nr",
                "write one character a line with its tag: B-nr, I-nr, O",
            ),
        ),
    )
)
_CSV = FileKind("CSV with a header", format="csv")
_LINE = r"[^\r\n]*(?:\r\n|\r|\n)"
_BEGINNINGS = {
    "conll2012": r"\s*#begin document\b",
    "conllu": rf"# ?global\.columns\b|(?:#{_LINE})+1(?:-\d+)?(?:\t[^\t\r\n]*){{9}}(?:[\r\n]|$)",
    "jsonl": r'\s*(?:\{\s*"|\[\s*\{\s*")',
    "sgml": r"\s*<[A-Za-z!?][^<>]*>[ \t]*(?:[\r\n]|$)",
}
_TAG = re.compile(r"O|[BIESMLU]-\S+")
# Formats that contents show, not names:
OWN = ("conll2012", "webanno", "pubtator", "bioc", "i2b2", "csv")


def kind_of(path: str | Path, *, text: bool = True) -> FileKind | None:
    """The kind of a file, if its beginning shows one of those listed here.

    Args:
        path: Of the file.
        text: Whether to look for kinds of text too.
    """
    try:
        with opened(path) as file:
            start = file.read(SAMPLED)
    except broken():
        return None  # the reader of whatever format says what is wrong
    kind = _binary(start)
    if kind is not None or not text:
        return kind
    begins = start.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    for pattern, kind in _TEXTS:
        if pattern.match(begins):
            return kind
    return _CSV if is_header(begins.partition("\n")[0]) else None


def _binary(start: bytes) -> FileKind | None:
    for magic, kind in _BYTES:
        if start.startswith(magic):
            if magic == b"PK\x03\x04" and any(name in start for name in _PARTS):
                return FileKind("an Excel or Word file (a zip archive)", _OFFICE)
            return kind
    if _PICKLE.match(start):
        return FileKind("a pickle of Python", "load it where you trust it, and " + _PYTHON)
    return FileKind("a tar archive", _SAVE) if start[257:262] == b"ustar" else None


def refuse(path: str | Path, kind: FileKind) -> None:
    """Refuse a file that is of another kind than its name says.

    Raises:
        DataError: Always.
    """
    Faults(path).refuse(1, f"this is {kind.name}; {kind.advice}")


def sniff(path: str | Path) -> str | None:
    """The format of a file; ``None`` where its beginning is not that of one we would know."""
    try:
        with opened(path) as file:
            start = file.read(SAMPLED)
    except broken():
        return None  # the reader of whatever format says what is wrong
    text = start.decode("utf-8", "replace").removeprefix("\ufeff")
    found = (name for name, begins in _BEGINNINGS.items() if re.match(begins, text))
    return next(found, "slots" if _is_slots(text) else None)


def _is_slots(text: str) -> bool:
    """Return whether all of the first line, up to an arrow, are tokens with their tags."""
    line = next(iter(text.lstrip().splitlines()), "")
    pairs = [item.rpartition(":") for item in line.partition("<=>")[0].split()]
    return bool(pairs) and all(token and _TAG.fullmatch(tag) for token, _, tag in pairs)
