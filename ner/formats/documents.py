"""Sentences that know their document, while only one document at a time is held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ner.sentence import Document, Origin, Sentence, Span

DOCUMENT_TOKENS = 100_000  # a longer document is given in parts, so that memory stays bounded


class Boundary(NamedTuple):
    """Where a document begins.

    Attributes:
        id: What the file calls it, or empty.
    """

    id: str


class Parsed(NamedTuple):
    """What a sentence is made of, before its document is known."""

    tokens: tuple[str, ...]
    spans: tuple[Span, ...] | None
    columns: Mapping[str, tuple[str, ...]]
    unknown: frozenset[int] = frozenset()
    line: int = 0
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    tags: tuple[str, ...] | None = None
    origin: Origin | None = None


class Part(Document):
    """A further part of a document that was too long to be given as one."""


def in_documents(parsed: Iterable[Parsed | Boundary]) -> Iterator[Sentence]:
    """Give sentences their documents.

    Sentences before the first boundary stand in none. A document of more than
    ``DOCUMENT_TOKENS`` tokens is given as several, a `Document` and then `Part`s of the same
    id; no sentence is cut or lost by that.
    """
    make: type[Document] | None = None  # what the sentences held will be; None: no document
    held: list[Parsed] = []
    name, tokens = "", 0
    for item in parsed:
        if isinstance(item, Boundary):
            yield from _together(held, make, name)
            make, held, tokens, name = Document, [], 0, item.id
        elif make is None:
            yield _sentence(item, None, 0)
        else:
            held.append(item)
            tokens += len(item.tokens)
            if tokens >= DOCUMENT_TOKENS:
                yield from _together(held, make, name)
                make, held, tokens = Part, [], 0
    yield from _together(held, make, name)


def _together(held: Sequence[Parsed], make: type[Document] | None, name: str) -> Iterator[Sentence]:
    if make is None or not held:
        return
    document = make(tuple(parsed.tokens for parsed in held), name)
    for position, parsed in enumerate(held):
        yield _sentence(parsed, document, position)


def _sentence(parsed: Parsed, document: Document | None, position: int) -> Sentence:
    tokens, spans, columns, unknown, line, text, offsets, tags, origin = parsed
    return Sentence(
        *(tokens, spans, columns, unknown, document, position, line, text, offsets),
        tags=tags,
        origin=origin,
    )


def begins_document(sentence: Sentence, before: Document | None) -> bool:
    """Whether a boundary belongs in front of a sentence.

    Args:
        sentence: The sentence.
        before: The document of the sentence before it.
    """
    document = sentence.document
    if document is None or document is before or isinstance(document, Part):
        return False
    if before is None or sentence.position == 0:
        return True
    # copies of one document, as sentences sent between processes have them, are one
    return document.tokens != before.tokens
