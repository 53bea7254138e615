"""WebAnno TSV 3, as WebAnno and INCEpTION export it.

After a header that names layers and their features, each token has a line, ``1-1<TAB>0-4<TAB>Ada``
and a column for each feature: ``_`` is nothing, ``PER`` an entity of one token, ``PER[2]`` a token
of the second entity that is longer, and ``|`` separates several.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ner.errors import DataWarning
from ner.formats.alignment import annotated, locate
from ner.formats.documents import Boundary, Parsed, in_documents
from ner.formats.lines import Faults, LineOptions, SentenceOptions, numbered
from ner.schemes import outermost
from ner.sentence import Sentence, Span

LAYER = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
ENTITY, VALUE = "NamedEntity", "value"
FIRST = 3  # the column of the first feature
EMPTY = ("_", "")

_TOKEN = re.compile(r"(\d{1,9})-(\d{1,9})(?:\.(\d{1,9}))?")
_SEVERAL = re.compile(r"((?:[^|\\]|\\.)*)(?:\||$)")
_NUMBERED = re.compile(r"((?:[^\\]|\\.)*?)\[(\d{1,9})\]", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r"([\\\[\]|_;*])|(->)")
_CONTROL = {"t": "\t", "n": "\n", "r": "\r"}


@dataclass
class _Group:
    """The lines of a sentence: where it begins, its text, its tokens and the cells of each."""

    line: int = 0
    text: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class WebannoOptions(LineOptions, SentenceOptions):
    """Options of the WebAnno TSV reader.

    Attributes:
        layer: Layer of the entities, by the end of its name; ``NamedEntity``, or the only layer
            of spans, by default.
        feature: Feature that is their label; ``value``, or the only one, by default.
    """

    layer: str | None = None
    feature: str | None = None


OPTIONS = WebannoOptions


def read(source: str | Path, **options: Any) -> Iterator[Sentence]:
    """Read the sentences of a file, which are one document.

    For the options see `WebannoOptions`.

    Raises:
        DataError: Lines are malformed, or the layer or feature does not exist.
    """
    given = WebannoOptions(**options)
    faults = Faults(source) if given.faults is None else given.faults
    yield from in_documents(_TsvReader(given, faults).parsed(source))
    if given.faults is None:
        faults.check()


class _TsvReader:
    """Reads lines.

    Args:
        options: Options of the reader.
        faults: Collects malformed lines.
    """

    def __init__(self, options: WebannoOptions, faults: Faults) -> None:
        self._options, self._faults = options, faults
        self._layer, self._feature = options.layer, options.feature
        self._layers: list[tuple[bool, str, list[str]]] = []  # whether of spans, name, features
        self._column: int | None = None
        self._nested = self._partial = 0

    def parsed(self, source: str | Path) -> Iterator[Parsed | Boundary]:
        """Yield the sentences; first a boundary, since a file is a document."""
        yield Boundary("")
        group = _Group()
        for number, line in numbered(source, self._options, self._faults):
            blank = not line.strip()
            if line.startswith("#"):
                self._header(line)
            if blank or line.startswith("#Text="):
                yield from self._sentence(group)
                group = group if blank and group.text and not group.tokens else _Group()
            if line.startswith("#Text="):
                group.text.append(_plain(line.removeprefix("#Text=")))
            elif not blank and not line.startswith("#"):
                self._token(line, number, group)
        yield from self._sentence(group)
        self._warn()

    def _warn(self) -> None:
        for count, what in (
            (self._nested, "entities that overlap a longer one"),
            (self._partial, "entities of parts of a token"),
        ):
            if count:
                warning = DataWarning(f"left out {count} {what}", path=self._faults.path)
                warnings.warn(warning, stacklevel=4)

    def _header(self, line: str) -> None:
        """Note a layer."""
        kind, _, rest = line.partition("=")
        if kind in ("#T_SP", "#T_CH", "#T_RL") and rest:
            name, *features = rest.split("|")
            self._layers.append((kind == "#T_SP", name, features or [""]))

    def _place(self, number: int) -> int:
        """The column of the labels."""
        spans = [(name, features) for of_spans, name, features in self._layers if of_spans]
        wanted = self._layer or ENTITY
        found = [one for one in spans if one[0].endswith(wanted)]
        if not found and self._layer is None and len(spans) == 1:
            found = spans
        if len(found) != 1:
            names = ", ".join(name for name, _ in spans)
            told = f"set layer to the layer of the entities, one of: {names}"
            self._faults.refuse(number, told if spans else "no layer of spans has been exported")
        name, features = found[0]
        feature = self._feature or (VALUE if VALUE in features else features[0])
        if feature not in features or (
            self._feature is None and VALUE not in features and len(features) > 1
        ):
            told = ", ".join(features)
            told = f"set feature to the one that holds the labels of entities, one of: {told}"
            self._faults.refuse(number, told)
        before = 0
        for _, other, others in self._layers:
            if other == name:
                break
            before += len(others)
        return FIRST + before + features.index(feature)

    def _token(self, line: str, number: int, group: _Group) -> None:
        """Add a token to its sentence."""
        if self._column is None:
            self._column = self._place(number)
        fields = line.split("\t")
        place = _TOKEN.fullmatch(fields[0])
        if place is None or len(fields) <= self._column or not fields[2]:
            self._faults.add(
                number, f"expected '1-1<TAB>0-4<TAB>token<TAB>...', found {line[:80]!r}"
            )
        elif place[3]:
            self._partial += fields[self._column] not in EMPTY
        else:
            group.line = group.line or number
            group.tokens.append(fields[2])
            group.cells.append(fields[self._column])
            if len(group.tokens) > self._options.max_sentence:
                most = self._options.max_sentence
                self._faults.refuse(number, f"no sentence ends within {most:,} lines")

    def _sentence(self, group: _Group) -> Iterator[Parsed]:
        if not group.tokens:
            return
        spans = list(_spans(group.cells))
        kept = outermost(spans)
        self._nested += len(set(spans)) - len(kept)
        tokens, text = tuple(group.tokens), " ".join(group.text)
        offsets = locate(text, tokens)
        if offsets is None:
            yield Parsed(tokens, kept, {}, line=group.line)
        else:
            yield Parsed(tokens, kept, {}, line=group.line, text=text, offsets=offsets)


def _spans(cells: Iterable[str]) -> Iterator[Span]:
    """The entities of a sentence, given the labels of each token."""
    longer: dict[tuple[str, str], tuple[int, int]] = {}
    for place, cell in enumerate(cells):
        if cell in EMPTY:
            continue
        for found in _SEVERAL.finditer(cell):
            if not found[1]:
                continue
            numbered = _NUMBERED.fullmatch(found[1])
            label = _plain(numbered[1] if numbered else found[1])
            label = "_" if label in ("*", "") else label
            if numbered is None:
                yield Span(place, place + 1, label)
            else:
                first, _ = longer.get((numbered[2], label), (place, 0))
                longer[numbered[2], label] = (first, place + 1)
    for (_, label), (first, end) in longer.items():
        yield Span(first, end, label)


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: _CONTROL.get(found[1], found[1]), text)


def write(file: TextIO, sentences: Iterable[Sentence]) -> None:
    """Write the sentences as one document, with their entities as the layer ``NamedEntity``.

    Raises:
        ValueError: Annotation is missing, which the format cannot say; or a token holds a TAB or
            a line end.
    """
    file.write(f"#FORMAT=WebAnno TSV 3.3\n#T_SP={LAYER}|identifier|{VALUE}\n\n")
    base = entity = 0
    for number, one in enumerate(sentences, 1):
        text, offsets = annotated(one, "webanno")
        cells = [("_", "_")] * len(one)
        for span in one.spans or ():
            mark = ""
            if span.end - span.start > 1:
                entity += 1
                mark = f"[{entity}]"
            for place in range(span.start, span.end):
                if cells[place] != ("_", "_"):
                    raise ValueError(f"{span} overlaps another span")
                cells[place] = (f"*{mark}", _special(span.label) + mark)
        file.write("\n#Text=" + text.replace("\\", "\\\\").replace("\t", "\\t") + "\n")
        for place, (token, cell) in enumerate(zip(one.tokens, cells, strict=True), 1):
            if "\t" in token or "\n" in token or "\r" in token:
                raise ValueError(f"the token {token!r} contains a TAB or a line end")
            start, end = (base + _units(text[:at]) for at in offsets[place - 1])
            file.write(f"{number}-{place}\t{start}-{end}\t{token}\t{cell[0]}\t{cell[1]}\t\n")
        base += _units(text) + 1


def _units(text: str) -> int:
    """Return the length of a text in UTF-16 code units, as Java counts."""
    return len(text) + sum(one > "\uffff" for one in text)


def _special(label: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], label)
