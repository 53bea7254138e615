"""Unlabelled text: documents as tokens, and the same as numbers on disk.

The numbers are read back as a memory map, so that a text of any length takes little memory: what
grows with it is the list of its distinct tokens.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.errors import ConfigError
from ner.formats import ending_of, expand, read
from ner.formats.advice import looks_like_columns
from ner.formats.lines import FileOptions, read_texts
from ner.sentence import Sentence
from ner.storage.atomic import atomic_directory, sha256
from ner.tokenizer import Offsets, split_sentences, tokenize

TEXT = "text"  # the name of plain text among the formats
PLAIN = ("", ".txt", ".text", ".md")  # endings of plain text
BETWEEN = 2  # zeros between sentences: words two places apart never reach across
LONGEST = 1000  # sentences of a document; a longer one is read as several
LEAST_TOKENS = 30  # of a document worth annotating; sentences without one are joined up to that
NUMBERS, FORMS, FACTS = "tokens.bin", "forms.txt", "text.json"

Tokens = tuple[str, ...]
Numbers = NDArray[np.int32]


def documents(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - as in `read`
    **options: Any,
) -> Iterator[list[Tokens]]:
    """Read the documents of a file as lists of sentences, each a tuple of tokens.

    Plain text is cut by the built-in rules as ``Tagger.tag`` cuts it; blank lines separate
    documents. Annotation is ignored. Where a file marks no documents, a few sentences that follow
    each other are taken for one.

    Args:
        path: The file, compressed or not.
        format: ``text``, or a format of ``ner.read``; by default the ending of the path tells.
        options: What the reader of the format takes.

    Raises:
        DataError: The file is malformed.
        ConfigError: It holds columns of an annotated corpus, but is called text.
    """
    chosen = format or (TEXT if ending_of(path) in PLAIN else None)
    if chosen != TEXT:
        return _annotated(read(path, format=chosen, **options))
    if format is None and looks_like_columns(path):
        raise ConfigError(f"{path} looks like a column file, not text; pass --from conll")
    return _plain(read_texts(path, FileOptions(**options)))


def _annotated(sentences: Iterable[Sentence]) -> Iterator[list[Tokens]]:
    held: list[Tokens] = []
    last: object = None
    for sentence in sentences:
        enough = last is None and sum(map(len, held)) >= LEAST_TOKENS
        if held and (enough or sentence.document is not last):
            yield held
            held = []
        held.append(sentence.tokens)
        last = sentence.document
    if held:
        yield held


def _plain(texts: Iterable[str]) -> Iterator[list[Tokens]]:
    held: list[Tokens] = []
    for text in texts:
        tokens = tokenize(text)
        words = [text[start:end] for start, end in tokens]
        for first, last in split_sentences(text, tokens):
            if held and (_is_blank_before(text, tokens, first) or len(held) >= LONGEST):
                yield held
                held = []
            held.append(tuple(words[first:last]))
    if held:
        yield held


def _is_blank_before(text: str, tokens: Offsets, place: int) -> bool:
    """Return whether a blank line stands before a token."""
    start = tokens[place - 1][1] if place else 0
    return text.count("\n", start, tokens[place][0]) > (1 if place else 0)


@dataclass(frozen=True, slots=True, eq=False)
class NumberedText:
    """A text as numbers.

    Attributes:
        numbers: The number of each token, with ``BETWEEN`` zeros before each sentence and at the
            end.
        forms: The distinct tokens; number 1 is the first.
        facts: The files it was read from, and its numbers of documents, sentences and tokens.
    """

    numbers: Numbers
    forms: tuple[str, ...]
    facts: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> NumberedText:
        """Open a folder written by ``write_numbers``."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        forms = json.loads((folder / FORMS).read_text(encoding="utf-8"))
        numbers: Numbers = np.memmap(folder / NUMBERS, dtype="<i4", mode="r")
        return cls(numbers, tuple(forms), facts)

    def sentences(self, shortest: int, longest: int) -> NDArray[np.int64]:
        """Return where sentences of some lengths are: first token, number of tokens, ``(n, 2)``."""
        zeros = np.flatnonzero(np.asarray(self.numbers) == 0)
        starts, lengths = zeros[:-1] + 1, np.diff(zeros) - 1
        fits = (lengths >= shortest) & (lengths <= longest)
        return np.stack([starts[fits], lengths[fits]], axis=1)


def write_numbers(
    folder: Path,
    paths: Sequence[str],
    *,
    format: str | None = None,  # noqa: A002 - as in `read`
    options: dict[str, Any] | None = None,
    done: Callable[[int], None] = lambda tokens: None,
) -> None:
    """Read files, and write them as numbers to a folder that is whole or not there.

    Args:
        folder: The folder.
        paths: Files or globs.
        format: As for ``documents``.
        options: As for ``documents``.
        done: Called with the number of tokens read since it was last called.

    Raises:
        ValueError: A file cannot be used, or there are no tokens at all.
        OSError: A file cannot be read or written.
    """
    files = [str(path) for path in expand(paths)]
    facts: dict[str, Any] = {"files": [_facts(file) for file in files]}
    known: defaultdict[str, int] = defaultdict(count(1).__next__)
    totals = {"documents": 0, "sentences": 0, "tokens": 0}
    with atomic_directory(folder, holds=FACTS) as fresh:
        with (fresh / NUMBERS).open("wb") as out:
            for file in files:
                for document in documents(file, format=format, **(options or {})):
                    _numbers(document, known).tofile(out)
                    tokens = sum(map(len, document))
                    totals["documents"] += 1
                    totals["sentences"] += len(document)
                    totals["tokens"] += tokens
                    done(tokens)
            np.zeros(BETWEEN, "<i4").tofile(out)
        if not known:
            raise ValueError(f"{', '.join(files)}: no tokens to learn from")
        facts |= {**totals, "forms": len(known)}
        for name, content in ((FORMS, list(known)), (FACTS, facts)):
            text = json.dumps(content, ensure_ascii=True)
            (fresh / name).write_text(text + "\n", encoding="utf-8", newline="\n")


def _facts(file: str) -> dict[str, Any]:
    path = Path(file)
    if file == "-" or (path.exists() and not path.is_file()):
        raise ConfigError(f"{file} is not a regular file, and text is read twice; give a file")
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def same_files(facts: dict[str, Any], paths: Sequence[str]) -> bool:
    """Return whether a numbered text was made from files that have not changed since."""
    return bool(facts["files"] == [_facts(str(path)) for path in expand(paths)])


def _numbers(document: list[Tokens], known: defaultdict[str, int]) -> Numbers:
    """Return the numbers of a document's tokens, with zeros before each sentence."""
    lengths = np.fromiter(map(len, document), np.int64, len(document))
    total = int(lengths.sum())
    flat = np.fromiter(map(known.__getitem__, chain.from_iterable(document)), "<i4", total)
    starts = np.repeat(np.cumsum(lengths) - lengths, BETWEEN)
    numbers: Numbers = np.insert(flat, starts, 0)
    return numbers
