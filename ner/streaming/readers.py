"""The readers of ``ner tag``: streams of any length in bounded memory.

A reader yields items in the order of the stream: lines that are not tokens as strings, sentences as
`TagRequest`, a sentence too long for memory as `UnboundedSentence`, and `Idle` while input pauses.
"""

from __future__ import annotations

import select
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TextIO

from ner.errors import BAD_LINE, DataWarning
from ner.formats.columns import Numbering, split
from ner.formats.json_values import MAX_LINE, parsed
from ner.formats.lines import STREAM, Faults, FileOptions, read_blocks, title
from ner.sentence import Document, Sentence
from ner.streaming.tokenizers import TextTokenizer, text_tokenizer

PATIENCE = 0.05  # seconds without a line after which the lines read so far are tagged


class Idle:
    """Marks a pause of the input, at which pending results should be flushed."""


class SkippedLines(Faults):
    """The errors of a stream, and the lines to skip.

    Attributes:
        block: The numbers of the lines to skip in the current block.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.block: set[int] = set()

    def add(self, line: int, message: str, kind: str = BAD_LINE) -> None:
        super().add(line, message, kind)
        self.block.add(line)


@dataclass(slots=True)
class Source:
    """The origin of a stream, and the handling of lines that cannot be read.

    Attributes:
        path: A path, or ``-``.
        skip: Whether bad lines are skipped and reported at the end instead of raised.
        tokenizer: The tokenizer of texts; see ``ner.streaming.tokenizers``.
        encoding: The text encoding.
        skipped: The number of lines skipped.
    """

    path: str
    skip: bool = False
    tokenizer: str = "builtin"
    encoding: str = "utf-8"
    skipped: int = 0
    _faults: SkippedLines = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._faults = SkippedLines(self.path)

    def lines(self) -> Iterator[tuple[int, str] | Idle]:
        """Yield the lines that can be decoded, numbered from 1; `Idle` when the input pauses."""
        number = 0
        options = FileOptions(encoding=self.encoding, max_line=MAX_LINE)
        blocks = read_blocks(self.path, options, self._faults)
        while True:
            if self.path == STREAM and _is_silent(sys.stdin):
                yield Idle()
            block = next(blocks, None)
            if block is None:
                break
            if self._faults.lines and not self.skip:
                self._faults.check()
            for line in block:
                number += 1
                if number not in self._faults.block:
                    yield number, line
            self._faults.block.clear()
        self.skipped = self._faults.lines

    def bad(self, number: int, message: str) -> None:
        """Record a line that cannot be tagged.

        Raises:
            DataError: Bad lines are not skipped.
        """
        self._faults.add(number, message)
        self.skipped = self._faults.lines
        if not self.skip:
            self._faults.check()

    def report(self) -> str:
        """Describe the lines that were skipped; an empty string if there are none."""
        return str(self._faults.error() or "")


def _is_silent(stream: TextIO) -> bool:
    """Return whether the input pauses; false if that cannot be determined."""
    try:
        return not select.select([stream], [], [], PATIENCE)[0]
    except (OSError, ValueError):  # no file descriptor, or not a socket on Windows
        return False


HELD = 100_000  # maximum number of tokens of a sentence or document in memory
TEXT = 500_000  # characters of a line of text that are tokenized together
BOUNDARY = "-DOCSTART-"


@dataclass(frozen=True, slots=True)
class TagRequest:
    """A sentence to tag, with the lines and fields to copy; see ``writers.Tagged``."""

    sentence: Sentence
    lines: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


class UnboundedSentence:
    """A sentence too long for memory: its lines, as they are read.

    Attributes:
        waiting: The lines of tokens that were read but are not written yet.
        after: The line that ended it, if one did.
    """

    def __init__(self, first: list[str], rest: Iterator[str | Idle]) -> None:
        self.waiting: deque[str] = deque()
        self.after: str | None = None
        self._lines = chain(first, rest)

    def tokens(self) -> Iterator[str]:
        """Yield the tokens, each once."""
        for line in self._lines:
            if isinstance(line, Idle):
                continue  # windows are tagged when they are full
            if not is_token(line):
                self.after = line
                return
            self.waiting.append(line)
            yield token_of(line)


Item = str | TagRequest | UnboundedSentence | Idle


def is_token(line: str) -> bool:
    """Return whether a line of a column file is a token."""
    return bool(line.strip(" \t")) and not line.startswith(BOUNDARY)


def token_of(line: str) -> str:
    """Return the first column."""
    return split(line)[0]


def read_conll(source: Source) -> Iterator[Item]:
    """Read columns, the token first; sentences know their document if there are boundaries."""
    held: list[Item] = []
    in_document, tokens, numbering = False, 0, Numbering()
    for item in _sentences(_rows(source)):
        if isinstance(item, TagRequest):
            numbering.add(item.sentence.tokens)
        if isinstance(item, Idle):
            yield item
            continue
        if isinstance(item, str) and item.startswith(BOUNDARY):
            yield from _as_document(held, in_document)
            held, in_document, tokens = [], True, 0
        held.append(item)
        tokens += len(item.lines) if isinstance(item, TagRequest) else 0
        if isinstance(item, UnboundedSentence) or not in_document or tokens >= HELD:
            yield from _as_document(held, in_document)
            held, tokens = [], 0
    yield from _as_document(held, in_document)
    if remark := numbering.remark("move them first with `ner convert --reader token_column=1`"):
        warnings.warn(DataWarning(remark, path=title(source.path)), stacklevel=2)


def _rows(source: Source) -> Iterator[str | Idle]:
    """Yield the lines whose first column is not empty."""
    for read in source.lines():
        if isinstance(read, Idle):
            yield read
            continue
        number, line = read
        if line.startswith("\t") and is_token(line) and not token_of(line):
            source.bad(number, f"the first column (the token) is empty: {line[:80]!r}")
        else:
            yield line


def _sentences(lines: Iterator[str | Idle]) -> Iterator[Item]:
    rows: list[str] = []
    for line in lines:
        if isinstance(line, Idle):
            yield line
            continue
        if is_token(line):
            rows.append(line)
            if len(rows) > HELD:
                endless = UnboundedSentence(rows, lines)
                yield endless
                if endless.after is not None:
                    yield endless.after
                rows = []
            continue
        if rows:
            yield TagRequest(Sentence(tuple(map(token_of, rows))), tuple(rows))
            rows = []
        yield line
    if rows:
        yield TagRequest(Sentence(tuple(map(token_of, rows))), tuple(rows))


def _as_document(held: Iterable[Item], known: bool) -> Iterator[Item]:
    """Yield the same items, with their sentences in one document if it is known."""
    works = [item for item in held if isinstance(item, TagRequest)]
    document = Document(tuple(work.sentence.tokens for work in works)) if known else None
    position = 0
    for item in held:
        if not isinstance(item, TagRequest) or document is None:
            yield item
            continue
        sentence = Sentence(item.sentence.tokens, document=document, position=position)
        yield TagRequest(sentence, item.lines)
        position += 1


def read_text(source: Source) -> Iterator[Item]:
    """Read each line of a text and tokenize it; a very long line in several parts."""
    tokenizer = text_tokenizer(source.tokenizer)
    for read in source.lines():
        if isinstance(read, Idle):
            yield read
            continue
        for part in cut(read[1]):
            yield TagRequest(tokenizer(part))


def cut(text: str, longest: int = TEXT) -> Iterator[str]:
    """Yield parts of a text of at most about ``longest`` characters, which end at blanks."""
    start = 0
    while len(text) - start > longest:
        blank = text.find(" ", start + longest)
        if blank < 0:
            break
        yield text[start : blank + 1]
        start = blank + 1
    yield text[start:] if start else text


def read_jsonl(source: Source) -> Iterator[Item]:
    """Read one object per line with ``tokens``, or with a ``text`` to be tokenized."""
    tokenizer: TextTokenizer | None = None
    for read in _records(source):
        if isinstance(read, Idle):
            yield read
            continue
        number, record = read
        if "tokens" not in record:
            tokenizer = tokenizer or text_tokenizer(source.tokenizer)
            yield TagRequest(tokenizer(record["text"]), extra=record)
            continue
        try:
            sentence = _given(record)
        except ValueError as error:
            source.bad(number, str(error))
        else:
            yield TagRequest(sentence, extra=record)


def _records(source: Source) -> Iterator[tuple[int, Mapping[str, Any]] | Idle]:
    """Yield the records to tag, with their line numbers."""
    for read in source.lines():
        if isinstance(read, Idle):
            yield read
            continue
        number, line = read
        if not line or line.isspace():
            continue
        if line.lstrip().startswith("["):
            source.bad(
                number,
                "expected one JSON object per line, got an array; `ner convert` can split it",
            )
            continue
        try:
            record = parsed(line, parse_constant=_no_number, parse_float=_finite)
        except ValueError as error:
            source.bad(number, f"not valid JSON: {error}")
            continue
        record = _as_words(record)
        wrong = complaint(record)
        if wrong:
            source.bad(number, wrong)
        else:
            yield number, record


def _as_words(record: Any) -> Any:
    """Normalise a record of another tool: tokens as strings, and its text as text."""
    if not isinstance(record, dict):
        return record
    if isinstance(record.get("data"), dict) and "text" not in record and "tokens" not in record:
        return {**record, "text": record["data"].get("text")}
    tokens = record.get("tokens")
    if isinstance(tokens, list) and tokens and all(isinstance(one, dict) for one in tokens):
        return {**record, "tokens": [one.get("text") for one in tokens]}
    return record


def _given(record: Mapping[str, Any]) -> Sentence:
    """Return a sentence of given tokens, with its columns, and its text if it contains them.

    Raises:
        ValueError: The columns are invalid.
    """
    from ner.formats.records import columns_in, offsets_of

    tokens, text = tuple(record["tokens"]), record.get("text")
    columns = columns_in(record, len(tokens))
    offsets = offsets_of(text, tokens) if isinstance(text, str) else None
    if offsets is None:
        return Sentence(tokens, columns=columns)
    return Sentence(tokens, columns=columns, text=text, offsets=offsets)


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is not valid in JSON")


def _finite(number: str) -> float:
    found = float(number)
    return found if abs(found) != float("inf") else _no_number(number)


def complaint(record: Any) -> str | None:
    """Return the error in a record to tag, if any."""
    if not isinstance(record, dict):
        return f"expected an object with 'text' or 'tokens', got {type(record).__name__}"
    tokens, text = record.get("tokens"), record.get("text")
    if "tokens" in record:
        if isinstance(tokens, list) and all(isinstance(t, str) and t for t in tokens):
            return None
        return "tokens: expected a list of non-empty strings (or of objects with a text)"
    if not isinstance(text, str):
        return "expected 'text' (a string) or 'tokens' (a list of strings)"
    return None


READERS: dict[str, Callable[[Source], Iterator[Item]]] = {
    "text": read_text,
    "conll": read_conll,
    "jsonl": read_jsonl,
}
