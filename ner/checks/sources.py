"""A file to be checked: its sentences with their lines and tags, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ner.checks.tables import Findings
from ner.errors import BAD_LINE, UNREADABLE, DataError, Fault
from ner.formats import check_format_options, format_of, format_to_read
from ner.formats.advice import advice_on
from ner.formats.alignment import Misfit, Misfits, kind_of
from ner.formats.columns import Aside, ColumnLayout, Numbering
from ner.formats.detection import MISSING, Detection, TagCounts, complaint
from ner.formats.lines import Faults
from ner.formats.table import Table, options_from, refuse_empty
from ner.schemes import OUTSIDE, Role, Scheme
from ner.sentence import Document, Span

HELD = 500_000  # tokens of a file that is read only once
REMEMBERED = 20_000  # sentences' tags whose spans are remembered
REMEMBERED_TAGS = 200  # of a sentence; longer ones do not come twice

# A tag decodes to the same spans in every scheme that has it, so one table does for all of them.
ANY = Scheme(
    "any",
    {
        "B": Role(opens=True, closes=None),
        "I": Role(opens=None, closes=None),
        "M": Role(opens=False, closes=None),
        "E": Role(opens=False, closes=True),
        "L": Role(opens=False, closes=True),
        "S": Role(opens=True, closes=True),
        "U": Role(opens=True, closes=True),
    },
)


class Item(NamedTuple):
    """A sentence as it stands in its file.

    Attributes:
        path: The file.
        lines: The line of each token, or one line for all of them.
        tokens: The tokens.
        spans: The entities; ``None`` where nobody has annotated.
        tags: The tags as the file has them, where it has tags.
        unknown: How many tokens nobody has annotated.
        opens: Whether a document begins with the sentence.
        mark: A hash of the entities.
    """

    path: str
    lines: Sequence[int]
    tokens: tuple[str, ...]
    spans: tuple[Span, ...] | None
    tags: Sequence[str] | None
    unknown: int
    opens: bool
    mark: int

    def line(self, place: int) -> int:
        """The line of a token."""
        return self.lines[place] if len(self.lines) > 1 else self.lines[0]


class Collected(Faults):
    """Bad lines as findings, none of which ends the reading."""

    def __init__(self, path: str | Path, findings: Findings | None) -> None:
        super().__init__(path)
        self._findings = findings
        self._before = ("", 0)

    def add(self, line: int, message: str, kind: str = BAD_LINE) -> None:
        """Note a bad line, once."""
        if (self.path, line) == self._before:
            return
        self._before = self.path, line
        self.lines += 1
        if self._findings is not None:
            self._findings.add(kind, self.path, line, message)

    def pardon(self, line: int, message: str, lines: int = 1, kind: str = BAD_LINE) -> None:
        """Note a bad line, although it is read."""
        self.add(line, message, kind)

    def refuse(self, line: int, message: str) -> NoReturn:
        """End the reading of a file that is in another encoding altogether."""
        raise DataError(Fault(self.path, line if line > 1 else 0, UNREADABLE, message))


class CollectedMisfits(Misfits):
    """Spans that do not fit as findings."""

    def __init__(self, path: str, findings: Findings | None) -> None:
        super().__init__(path)
        self._findings = findings

    def add(self, misfit: Misfit) -> None:
        """Note a misfit."""
        if self._findings is not None:
            line = misfit.line or self.line
            self._findings.add(kind_of(misfit), self.path, line, f"{misfit.reason}: {misfit}")


class CorpusFile:
    """A file, read once or, where it is too large to be held, twice.

    Args:
        path: A path that can be read more than once.
        name: What the file is called in findings.
        format: A key of ``FORMATS``; without it the ending tells.
        options: Of the format's reader.
        findings: Where what is wrong with lines is noted.

    Attributes:
        name: As above.
        format: What it is read as.
        layout: The columns of a file of columns.
        documents: How many boundaries of documents there are.
        counts: Which tag follows which.
        missing: The tag of a token nobody has annotated.
    """

    def __init__(
        self,
        path: str | Path,
        name: str,
        format: str | None,  # noqa: A002 - as everywhere
        options: Mapping[str, Any],
        findings: Findings,
    ) -> None:
        self.name = name
        self.format = (format_to_read if name == str(path) else format_of)(name, format).name
        check_format_options(self.format, "read", options)
        self.layout: ColumnLayout | None = None
        self.documents = 0
        self._mapped, self.missing = options.get("tag_map") or {}, options.get("missing", MISSING)
        self.counts = TagCounts(self.missing)
        self._path = path
        self._findings = findings
        self._options = options
        self._held: list[Item] | None = []

    def items(self) -> Iterator[Item]:
        """The sentences; what is wrong with lines is noted on the way."""
        tokens = 0
        for item in self._read(self._findings):
            if item.tags is not None:
                self.counts.add(item.tags)
            tokens += len(item.tokens)
            if tokens > HELD:
                self._held = None
            elif self._held is not None:
                self._held.append(item)
            yield item
        if self.format == "conll":
            self._advise()

    def _advise(self) -> None:
        """Note which options might read a file of columns as it is meant."""
        bad = self._findings.counts[BAD_LINE] > 0 or any(
            complaint(tag) for _, tag in self.counts.pairs if tag != self.missing
        )
        for line, message in advice_on(self._path, options_from(**self._options), bad=bad):
            self._findings.add("reader", self.name, line, message)

    def again(self) -> Iterator[Item]:
        """The same sentences once more, without a finding."""
        documents = self.documents
        yield from self._read(None) if self._held is None else self._held
        self.documents = documents

    def detection(self) -> Detection | None:
        """The scheme of the tags; ``None`` where the file has none."""
        found = self.counts.detect()
        return found if found.tags else None

    def _read(self, findings: Findings | None) -> Iterator[Item]:
        reader = self._columns if self.format == "conll" else self._sentences
        return reader(findings)

    def _columns(self, findings: Findings | None) -> Iterator[Item]:
        """The sentences of a file of columns, without its bad lines."""
        table = Table(self.name, options_from(**self._options))
        faults = Collected(self.name, findings)
        numbering = Numbering()
        decoded = Decoded(self.missing)
        opens = False
        for piece in table.pieces(self._path, faults):
            if isinstance(piece, Aside):
                opens = True
                self.documents += 1
                continue
            self.layout = table.layout
            tokens = piece.tokens
            if table.hollow:
                refuse_empty(piece, faults)
            numbering.add(tokens)
            tags = piece.tags
            if self._mapped:
                tags = tuple([self._mapped.get(tag, tag) for tag in tags])
            spans, unknown, mark = decoded[tags]
            yield Item(self.name, piece.lines, tokens, spans, tags or None, unknown, opens, mark)
            opens = False
        if findings is not None and (remark := numbering.remark()):
            findings.add("reader", self.name, 0, remark)

    def _sentences(self, findings: Findings | None) -> Iterator[Item]:
        """The sentences of a file in any other format, as its reader gives them."""
        module = import_module(f"ner.formats.{self.format}")
        options = dict(self._options) | self._collectors(module.OPTIONS, findings)
        before: Document | None = None
        for sentence in module.read(self._path, **options):
            opens = sentence.document is not None and sentence.document is not before
            self.documents += opens
            before = sentence.document
            spans, tags = sentence.spans, sentence.tags
            unknown = len(sentence) if spans is None else len(sentence.unknown)
            lines, mark = (sentence.line,), hash(spans)
            path = self._file(before)
            yield Item(path, lines, sentence.tokens, spans, tags, unknown, opens, mark)

    def _collectors(self, options: type, findings: Findings | None) -> dict[str, Faults | Misfits]:
        """Return the collectors that take bad lines and misfits in place of raising."""
        takes = {one.name for one in fields(options)}
        collectors: dict[str, Faults | Misfits] = {
            "faults": Collected(self.name, findings),
            "misfits": CollectedMisfits(self.name, findings),
        }
        return {name: one for name, one in collectors.items() if name in takes}

    def _file(self, document: Document | None) -> str:
        """The file that findings in a document are about: brat has one for each."""
        if self.format == "brat" and document is not None and Path(self._path).is_dir():
            return str(Path(self._path) / f"{document.id}.txt")
        return self.name


class Decoded(dict[tuple[str, ...], tuple[tuple[Span, ...] | None, int, int]]):
    """The spans of tags, how many tokens nobody annotated, and a hash of the spans, remembered.

    Args:
        missing: The tag of a token nobody has annotated.
    """

    def __init__(self, missing: str) -> None:
        super().__init__()
        self._missing = missing

    def __missing__(self, tags: tuple[str, ...]) -> tuple[tuple[Span, ...] | None, int, int]:
        spans, unknown = decoded(tags, self._missing)
        found = spans, unknown, hash(spans)
        if len(self) >= REMEMBERED:
            self.clear()
        if len(tags) <= REMEMBERED_TAGS:
            self[tags] = found
        return found


def decoded(tags: Sequence[str], missing: str) -> tuple[tuple[Span, ...] | None, int]:
    """Return the spans of tags, reading invalid ones as ``O``, and the number of missing tags."""
    unknown = tags.count(missing) if missing in tags else 0
    if unknown == len(tags):
        return None, unknown
    try:
        return ANY.decode(tags), unknown
    except ValueError:
        return ANY.decode([OUTSIDE if complaint(tag) else tag for tag in tags]), unknown
