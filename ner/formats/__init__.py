"""The shelf of file formats: each reads sentences from a file and writes them to one.

A format is a module with two functions and a line in ``FORMATS``::

    read(source, **options) -> Iterator[Sentence]
    write(target, sentences, **options) -> None

``source`` is a path or ``"-"``. ``target`` is what the format's ``kind`` says: an open text
stream, an open binary stream, or an empty folder. A module is imported when its format is
first used.
"""

from __future__ import annotations

import glob
import io
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ner.errors import DataError, DataWarning
from ner.formats.lines import COMPRESSED, STREAM, check_encoding, compressing
from ner.options import check_options, lookup, parameters_of
from ner.schemes import IO
from ner.sentence import Sentence
from ner.storage.atomic import atomic_directory, atomic_write

if TYPE_CHECKING:
    from ner.formats.kinds import FileKind

__all__ = [
    "FORMATS",
    "TOOLS",
    "DataError",
    "DataWarning",
    "Format",
    "check_format_options",
    "ending_of",
    "expand",
    "format_of",
    "format_to_read",
    "options_of",
    "read",
    "write",
]

Kind = Literal["text", "binary", "folder"]


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
        columns: The columns a file has a place for; ``None`` where it has one for any.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[..., Iterator[Sentence]]
    write: Callable[..., None]
    kind: Kind
    summary: str
    columns: tuple[str, ...] | None = ()


def _format(
    name: str,
    endings: str,
    summary: str,
    kind: Kind = "text",
    columns: tuple[str, ...] | None = (),
) -> Format:
    """A format whose module, ``ner.formats.<name>``, is imported when it is first used."""

    def read_later(source: str | Path, **options: Any) -> Iterator[Sentence]:
        function = _function(name, "read", options)
        found: Iterator[Sentence] = function(source, **options)
        return found

    def write_later(target: Any, sentences: Iterable[Sentence], **options: Any) -> None:
        _function(name, "write", options)(target, sentences, **options)

    return Format(name, tuple(endings.split()), read_later, write_later, kind, summary, columns)


Verb = Literal["read", "write"]
_DOERS = {"read": "reader", "write": "writer"}
_COLLECTORS = ("faults", "misfits")  # no options: `ner check` notes in them what is wrong
_SETTLED = ("shape", "scheme")  # what the name of a tool says already


def options_of(name: str, verb: Verb) -> dict[str, tuple[Any, bool]]:
    """The options a format can be read or written with: their types, and whether they must be."""
    module = import_module(f"ner.formats.{_module(name)}")
    known = parameters_of(module.OPTIONS) if verb == "read" else parameters_of(module.write, 2)
    hidden = (*_COLLECTORS, *_SETTLED) if name in TOOLS else _COLLECTORS
    return {option: kind for option, kind in known.items() if option not in hidden}


def _module(name: str) -> str:
    """The module of a format: those of annotation tools are shapes of JSON."""
    return "jsonl" if name in TOOLS else name


def check_format_options(name: str, verb: Verb, options: Mapping[str, Any]) -> None:
    """Refuse options that a format does not take, or not with such values.

    Raises:
        ConfigError: There is one (a ``ValueError``).
    """
    check_options(options, options_of(name, verb), f"the {name} {_DOERS[verb]}")
    if "encoding" in options:
        check_encoding(options["encoding"])


def _function(name: str, verb: Verb, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the reader or writer of a format; it must accept these options."""
    check_format_options(name, verb, options)
    function: Callable[..., Any] = getattr(import_module(f"ner.formats.{_module(name)}"), verb)
    return function


FORMATS: dict[str, Format] = {
    shelved.name: shelved
    for shelved in (
        _format(
            "conll",
            ".conll .txt .tsv .bio .iob .iob1 .iob2 .bioes .iobes .bilou .bmes .io .train .testa"
            " .testb .conll02 .conll03",
            "one token per line, its tag in the last column (CoNLL-2002, CoNLL-2003)",
            columns=None,
        ),
        _format(
            "conllu",
            ".conllu .conllup",
            "CoNLL-U and CoNLL-U Plus",
            columns=("LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC"),
        ),
        _format(
            "conll2012",
            ".gold_conll .v4_gold_conll .auto_conll .v4_auto_conll",
            "CoNLL-2012 and OntoNotes, entities as (PERSON*",
            columns=(
                *("pos", "parse", "lemma", "frameset", "sense", "speaker"),
                *("arguments", "coreference"),
            ),
        ),
        _format(
            "jsonl", ".jsonl .json .ndjson", "one JSON object per sentence or text", columns=None
        ),
        _format("brat", ".ann", "brat standoff, a .txt and an .ann file per document", "folder"),
        _format("docbin", ".spacy", "spaCy's DocBin", "binary"),
        _format("brackets", ".brackets", "inline: [PER Ada Obi] joined [ORG Kestrel] ."),
        _format(
            "sgml", ".sgml .sgm .xml", 'inline: <ENAMEX TYPE="PER">Ada Obi</ENAMEX> (MUC, IE-ER)'
        ),
        _format("csv", ".csv", "a table with a header: sentence, token, tag", columns=None),
        _format("webanno", ".webanno", "WebAnno and INCEpTION TSV 3"),
        _format("pubtator", ".pubtator", "PubTator: titles and abstracts with annotation"),
        _format("bioc", ".bioc", "BioC XML"),
        _format("i2b2", ".i2b2 .con", "i2b2 2010 (.con beside .txt) and 2014 (XML)"),
        _format("slots", ".slots", "inline: to:O Rome:B-City <=> intent", columns=("intent",)),
    )
}


def _tool(name: str, summary: str) -> Format:
    """Return the JSON layout that an annotation tool imports and exports, by the tool's name."""

    def write_later(target: Any, sentences: Iterable[Sentence], **options: Any) -> None:
        _function(name, "write", options)(target, sentences, shape=name, **options)

    return Format(name, (), FORMATS["jsonl"].read, write_later, "text", summary)


TOOLS: dict[str, Format] = {
    tool.name: tool
    for tool in (
        _tool("doccano", "doccano: JSON lines with labels"),
        _tool("prodigy", "Prodigy: JSON lines with tokens and spans"),
        _tool("labelstudio", "Label Studio: an array of tasks with annotations or predictions"),
        _tool("argilla", "Argilla 2: an array of records with suggestions or responses"),
    )
}
_BY_ENDING = {ending: name for name, kind in FORMATS.items() for ending in kind.endings}


def format_of(path: str | Path, name: str | None = None) -> Format:
    """The format of that name, or the one the ending of the path tells.

    ``corpus.conll.gz`` is CoNLL, compressed. A folder with ``.ann`` files is brat. What has no
    ending we know, as standard input has none, is CoNLL: ``eng.train``, ``wnut17``, ``-``. (For
    a file to be read see `format_to_read`.)

    Raises:
        ValueError: No format is called so.
    """
    if name is not None:
        return lookup(FORMATS | TOOLS, name, of="format")
    if path != STREAM and Path(path).is_dir() and any(Path(path).rglob("*.ann")):
        return FORMATS["brat"]
    return FORMATS[format_by_ending(path) or "conll"]


def format_to_read(path: str | Path, name: str | None = None) -> Format:
    """As `format_of`; where no ending tells the format, the beginning of the file may.

    Raises:
        DataError: The file is of a kind that no format reads, or other than its name says.
        ValueError: No format is called so.
    """
    if path == STREAM or not Path(path).is_file():
        return format_of(path, name)
    from ner.formats import kinds  # patterns of all of them, which only files need

    kind = kinds.kind_of(path, text=name is None)
    if kind is not None and kind.format in kinds.OWN:
        name = kind.format
    elif kind is not None and not _reads(kind, path):
        kinds.refuse(path, kind)
    elif name is None and not format_by_ending(path):
        name = kinds.sniff(path)
    return format_of(path, name)


def _reads(kind: FileKind, path: str | Path) -> bool:
    """Return whether a file of a kind has a name that says so, or that leaves it to be seen."""
    from ner.formats.kinds import sniff

    told = format_by_ending(path) or sniff(path)
    return kind.format is not None and told == kind.format


def expand(source: str | Path | Iterable[str | Path]) -> list[str | Path]:
    """Return the files that paths, URLs, and globs of either stand for.

    Raises:
        OSError: A glob matches no file.
        ConfigError: A URL cannot be used.
    """
    if isinstance(source, str | Path):
        source = [source]
    found: list[str | Path] = []
    for one in source:
        if isinstance(one, str) and "://" in one:
            from ner.storage.addresses import matching

            found += matching(one)
            continue
        if not glob.has_magic(str(one)) or Path(one).exists():
            found.append(one)
            continue
        matches = sorted(glob.glob(str(one), recursive=True))  # noqa: PTH207 - absolute globs too
        if not matches:
            raise FileNotFoundError(2, "no file matches", str(one))
        found.extend(matches)
    return found


def format_by_ending(path: str | Path) -> str | None:
    """The name of the format that the ending of a path tells, if it does."""
    return _BY_ENDING.get(ending_of(path))


def ending_of(path: str | Path) -> str:
    """The ending of a name in lower case, compression aside; empty if there is none."""
    endings = [suffix.lower() for suffix in Path(path).suffixes]
    if endings and endings[-1] in COMPRESSED:
        endings.pop()
    return endings[-1] if endings else ""


def read(
    source: str | Path | Iterable[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - the word users know
    **options: Any,
) -> Iterator[Sentence]:
    """Read the sentences of one or several files, one after the other, as a stream.

    Args:
        source: A path, a glob such as ``data/*.conll``, several of them, or ``"-"`` for standard
            input. Files ending in .gz, .bz2, .xz and .zst are decompressed.
        format: A key of ``FORMATS`` or ``TOOLS``; without it each file's ending tells, or else
            its beginning.
        options: What the format's own ``read`` takes.

    Raises:
        DataError: A file is not what it should be; the message says where (a ``ValueError``).
        ValueError: No such format or option.
        OSError: A file cannot be opened.
    """
    readers = []
    for path in expand(source):
        if path != STREAM:
            Path(path).stat()  # a missing file is reported at once, not when the first is read
        readers.append(format_to_read(path, format).read(path, **options))
    return chain.from_iterable(readers)


def write(
    path: str | Path,
    sentences: Iterable[Sentence],
    *,
    format: str | None = None,  # noqa: A002 - the word users know
    scheme: str | None = None,
    **options: Any,
) -> None:
    """Write sentences to a file that takes its name only when it is whole.

    A file named ``.json`` is one JSON document, an array; ``.jsonl`` has an object a line.

    Args:
        path: The file; ``"-"`` is standard output. It is compressed as its extension says.
        sentences: The sentences; they are never held in memory as a whole.
        format: A key of ``FORMATS`` or ``TOOLS``; without it the ending of the path tells.
        scheme: How tags are written, where the format has tags. Without it as the file that
            the sentences came from had them, or BIO.
        options: What the format's own ``write`` takes.

    Raises:
        ValueError: A sentence cannot be written in this format, or the format or option is unknown.
        TypeError: Something else than sentences is given, such as the spans a tagger predicts.
        OSError: The file cannot be written.
    """
    chosen, sentences = format_of(path, format), _only_sentences(sentences)
    if scheme is not None:
        options["scheme"] = scheme
        if str(scheme).upper() == IO.name:
            sentences = _merging(sentences)
    if format is None and chosen.name == "jsonl" and ending_of(path) == ".json":
        options.setdefault("array", True)
    if chosen.kind == "folder":
        if path == STREAM:
            raise ValueError(
                f"{chosen.name} is a folder of files and cannot be written to standard output"
            )
        with atomic_directory(Path(path)) as folder:
            chosen.write(folder, sentences, **options)
    elif path == STREAM:
        _write_stream(chosen, sys.stdout.buffer, sentences, options)
        sys.stdout.buffer.flush()
    else:
        with atomic_write(Path(path), "wb") as file, compressing(file, path) as packed:
            _write_stream(chosen, packed, sentences, options)


def _merging(sentences: Iterable[Sentence]) -> Iterator[Sentence]:
    """Yield the same sentences; in the end warn of entities that scheme IO merges."""
    merged = 0
    for one in sentences:
        for left, right in pairwise(sorted(one.spans or ())):
            merged += left.end == right.start and left.label == right.label
        yield one
    if merged:
        message = (
            f"scheme IO cannot separate adjacent entities of one label; {merged} "
            f"{'was' if merged == 1 else 'were'} merged with the one before"
        )
        warnings.warn(DataWarning(message, count=merged), stacklevel=2)


def _only_sentences(given: Iterable[Sentence]) -> Iterator[Sentence]:
    for one in given:
        if not isinstance(one, Sentence):
            raise TypeError(
                f"expected sentences, got {type(one).__name__} {one!r:.80}; put predicted spans "
                "into their sentence: dataclasses.replace(sentence, spans=spans)"
            )
        yield one


def _write_stream(
    chosen: Format, file: Any, sentences: Iterable[Sentence], options: dict[str, Any]
) -> None:
    if chosen.kind == "binary":
        chosen.write(file, sentences, **options)
        return
    text = io.TextIOWrapper(file, encoding="utf-8", newline="\n", write_through=False)
    try:
        chosen.write(text, sentences, **options)
        text.flush()
    finally:
        text.detach()
