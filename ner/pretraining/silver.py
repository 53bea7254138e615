"""Silver annotation: documents chosen from raw text, and what a teacher finds in them.

Spans that the teacher is sure of are kept. Tokens that it is in doubt of are left open, so that
the student's loss sums over all tags they may have (partial annotation).
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.pretraining.text import LEAST_TOKENS, Tokens
from ner.sentence import Document, Sentence, Span, in_document
from ner.storage.atomic import atomic_write

LONGEST = 120  # tokens of a sentence
SENTENCES = 40  # of a document; longer ones are cut
EAGERNESS = 3.0  # by how much documents of new names go before others
TOGETHER = 2_000  # sentences that are annotated at a time

Found = tuple[tuple[Span, ...], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Silver:
    """Silver sentences, and what is known of them.

    Attributes:
        sentences: The sentences, those of a document one after the other.
        tokens: The number of their tokens.
        open: The number of tokens left open.
        spans: The number of spans that the teacher is sure of.
    """

    sentences: tuple[Sentence, ...]
    tokens: int
    open: int
    spans: int


def choose_documents(
    documents: Iterable[list[Tokens]], known: frozenset[str], *, tokens: int, seed: int
) -> list[list[Tokens]]:
    """Draw documents at random, in favour of those dense in names that nobody has annotated.

    One pass and bounded memory: the best so far are kept (Efraimidis and Spirakis 2006).

    Args:
        documents: The documents; a long one is cut, and each part drawn for itself.
        known: The lower-cased words of the annotated sentences.
        tokens: About how many tokens to choose.
        seed: Of the draw.
    """
    random = np.random.default_rng(seed)
    kept: list[tuple[float, int, list[Tokens]]] = []
    total = 0
    for number, some in enumerate(_cut(documents)):
        size = sum(map(len, some))
        if size < LEAST_TOKENS:
            continue
        key = EAGERNESS * np.log(_density(some, known)) + random.gumbel()
        heapq.heappush(kept, (float(key), number, some))
        total += size
        while total - (least := sum(map(len, kept[0][2]))) >= tokens:
            heapq.heappop(kept)
            total -= least
    return [some for _, _, some in sorted(kept, key=lambda one: one[1])]


def _cut(documents: Iterable[list[Tokens]]) -> Iterator[list[Tokens]]:
    for document in documents:
        for first in range(0, len(document), SENTENCES):
            yield document[first : first + SENTENCES]


def _density(document: list[Tokens], known: frozenset[str]) -> float:
    """Return the share of new capitalised words, above 0; those that open a sentence aside."""
    inner = [word for sentence in document for word in sentence[1:] if word[:1].isupper()]
    new = sum(word.lower() not in known for word in inner if not word.isupper())
    return (new + 0.3 * len(inner)) / sum(map(len, document)) + 0.01


def annotate(
    documents: Sequence[list[Tokens]],
    find: Callable[[Sequence[Sentence]], list[Found]],
    *,
    done: Callable[[int], None] = lambda tokens: None,
) -> Iterator[tuple[Sentence, NDArray[np.float32] | None]]:
    """Yield the sentences of documents with scored spans, and each token's probability of O."""
    held: list[Sentence] = []
    for number, document in enumerate(documents, 1):
        held += in_document([Sentence(tokens) for tokens in document])
        if len(held) >= TOGETHER or number == len(documents):
            for sentence, (spans, outside) in zip(held, find(held), strict=True):
                yield replace(sentence, spans=tuple(spans)), outside
            done(sum(map(len, held)))
            held = []


def as_silver(
    annotated: Iterable[tuple[Sentence, NDArray[np.float32] | None]],
    *,
    labels: frozenset[str],
    sure: float,
    most_open: float,
    looked_for: frozenset[str] | None = None,
) -> Iterator[Sentence]:
    """Yield sentences of sure spans, tokens in doubt left open; those too doubtful are left out.

    Args:
        annotated: Sentences with scored spans (a missing score counts as sure), and each token's
            probability of O where the teacher gives it.
        labels: The labels to learn; spans of others leave their tokens open.
        sure: The probability from which a span, or O, is believed.
        most_open: The share of open tokens from which a sentence is left out.
        looked_for: The labels that the teacher knows; where it lacks one that is learnt, O leaves
            that label open.
    """
    declared = None if looked_for is None or labels <= looked_for else labels & looked_for
    for sentence, outside in annotated:
        if not 0 < len(sentence) <= LONGEST:
            continue
        spans = sentence.spans or ()
        kept = tuple(
            Span(span.start, span.end, span.label)
            for span in spans
            if span.label in labels and (span.score is None or span.score >= sure)
        )
        inside = {place for span in kept for place in range(span.start, span.end)}
        doubted = {place for span in spans for place in range(span.start, span.end)} - inside
        if outside is not None:
            doubted |= set(np.flatnonzero(outside[: len(sentence)] < sure).tolist()) - inside
        if len(doubted) <= most_open * len(sentence):
            unknown = frozenset(doubted)
            yield replace(sentence, spans=kept, unknown=unknown, labels=declared, tags=None)


def write_silver(path: Path, sentences: Iterable[Sentence]) -> None:
    """Write silver sentences, a line each, in a file that is whole or not there."""
    numbers: dict[Document, int] = {}
    with atomic_write(path) as file:
        for one in sentences:
            record: dict[str, Any] = {
                "tokens": one.tokens,
                "spans": [[span.start, span.end, span.label] for span in one.spans or ()],
                "unknown": sorted(one.unknown),
            }
            if one.labels is not None:
                record["labels"] = sorted(one.labels)
            if one.document is not None:
                fresh = one.document not in numbers
                record["document"] = numbers.setdefault(one.document, len(numbers))
                record["position"] = one.position
                if fresh:
                    record["all"] = one.document.tokens
            file.write(json.dumps(record) + "\n")


def read_silver(path: Path) -> Silver:
    """Read the file that ``write_silver`` wrote."""
    documents: dict[int, Document] = {}
    sentences = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if "all" in record:
                tokens = tuple(map(tuple, record["all"]))
                documents[record["document"]] = Document(tokens)
            sentence = Sentence(
                tuple(record["tokens"]),
                tuple(Span(*span) for span in record["spans"]),
                unknown=frozenset(record["unknown"]),
                labels=frozenset(record["labels"]) if "labels" in record else None,
                document=documents.get(record.get("document", -1)),
                position=record.get("position", 0),
            )
            sentences.append(sentence)
    return Silver(
        tuple(sentences),
        tokens=sum(map(len, sentences)),
        open=sum(len(one.unknown) for one in sentences),
        spans=sum(len(one.spans or ()) for one in sentences),
    )
