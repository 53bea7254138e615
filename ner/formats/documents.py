"""Sentences that know their document, one of which is held at a time, and sentences as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, cast

from ner.formats.alignment import text_of
from ner.formats.columns import BOUNDARY
from ner.formats.detection import tags_of
from ner.schemes import Scheme
from ner.sentence import Document, Origin, Sentence, Span, SpanWithAlternatives

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DOCUMENT_TOKENS = 100_000  # a longer document is given in parts, so that memory stays bounded
WHOLE = ("doccano", "prodigy", "labelstudio", "argilla")  # have no word for a token left open
ARRAYS = ("labelstudio", "argilla")  # are imported as one array


class Boundary(NamedTuple):
    """The start of a document.

    Attributes:
        id: What the file calls it, or empty.
    """

    id: str


@dataclass(slots=True, eq=False)
class Parsed:
    """A sentence that can be assigned to until its document is known.

    Its fields are those of `Sentence`, so that it becomes one where it is: to make a frozen
    object takes ten times as long.
    """

    tokens: tuple[str, ...]
    spans: tuple[Span, ...] | None
    columns: Mapping[str, tuple[str, ...]]
    unknown: frozenset[int] = frozenset()
    line: int = 0
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    tags: tuple[str, ...] | None = None
    origin: Origin | None = None
    document: Document | None = None
    position: int = 0
    labels: frozenset[str] | None = None
    vectors: NDArray[np.float32] | None = None

    def sentence(self) -> Sentence:
        """Turn this object into a sentence, after the checks that every sentence undergoes."""
        self.__class__ = Sentence  # type: ignore[assignment]
        made = cast("Sentence", self)
        made.__post_init__()
        return made


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
            yield item.sentence()
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
        parsed.document, parsed.position = document, position
        yield parsed.sentence()


def begins_document(sentence: Sentence, before: Document | None) -> bool:
    """Return whether a boundary belongs in front of a sentence.

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


def write_lines(
    file: TextIO,
    sentences: Iterable[Sentence],
    spell: Callable[[Sentence], str],
    name: Callable[[str], str],
) -> None:
    """Write one sentence a line, and a boundary line wherever another document begins.

    Args:
        file: Open file to write to.
        sentences: Sentences to write.
        spell: Gives the line of a sentence.
        name: Gives what is written of a document's id.
    """
    before: Document | None = None
    for number, sentence in enumerate(sentences):
        document, text = sentence.document, ""
        if (document is None and before is not None) or begins_document(sentence, before):
            text = f"{BOUNDARY} {name(document.id) if document else ''}".rstrip() + "\n"
        before = document
        text += spell(sentence) + "\n"
        if number == 0 and text.startswith("\ufeff"):
            file.write("\ufeff")  # a reader takes the first one for a byte order mark
        file.write(text)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The form in which sentences are to be written.

    Attributes:
        scheme: Of the tags.
        suggestions: Whether spans are guesses to be corrected instead of annotation; ``None``:
            those of sentences in which one has a score.
        model_version: What suggestions are attributed to.
        user: The id of the user of Argilla whose responses annotation becomes.
    """

    scheme: Scheme
    suggestions: bool | None = None
    model_version: str = "ner"
    user: str | None = None

    def as_suggestions(self, sentence: Sentence) -> bool:
        """Return whether the spans of a sentence are written as suggestions."""
        if sentence.spans is None or self.suggestions is not None:
            return sentence.spans is not None and bool(self.suggestions)
        return any(one.score is not None for one in sentence.spans)


def _ner(sentence: Sentence, wanted: Wanted) -> dict[str, Any]:
    text, offsets = text_of(sentence)
    record: dict[str, Any] = {"text": text, "tokens": list(sentence.tokens), "spans": None}
    if sentence.spans is not None:
        record["spans"] = [_span(one, text, offsets) for one in sentence.spans]
    if sentence.unknown:
        record["unknown"] = sorted(sentence.unknown)
    if sentence.columns:
        record["columns"] = {name: list(column) for name, column in sentence.columns.items()}
    if sentence.document is not None:
        record["document"] = sentence.document.id
        record["position"] = sentence.position + isinstance(sentence.document, Part)
    return record


def _span(span: Span, text: str, offsets: Sequence[tuple[int, int]]) -> dict[str, Any]:
    start, end = offsets[span.start][0], offsets[span.end - 1][1]
    record: dict[str, Any] = {"start": start, "end": end, "label": span.label}
    if span.score is not None:
        record["score"] = span.score
    record |= {"text": text[start:end], "token_start": span.start, "token_end": span.end}
    if isinstance(span, SpanWithAlternatives):
        record["alternatives"] = [_span(one, text, offsets) for one in span.alternatives]
    return record


def alternatives_of(span: Span, sentence: Sentence) -> list[str]:
    """Return the alternatives of a span as people read them: ``LOC Ada Obi (0.12)``."""
    given = span.alternatives if isinstance(span, SpanWithAlternatives) else ()
    return [
        f"{one.label} {' '.join(sentence.tokens[one.start : one.end])} ({one.score or 0.0:.2f})"
        for one in given
    ]


def _tags(sentence: Sentence, wanted: Wanted) -> dict[str, Any]:
    return {"tokens": list(sentence.tokens), "tags": tags_of(sentence, wanted.scheme)}


def _doccano(sentence: Sentence, wanted: Wanted) -> dict[str, Any]:
    text, offsets = text_of(sentence)
    spans = [(offsets[one.start][0], offsets[one.end - 1][1], one) for one in sentence.spans or ()]
    label = [[start, end, one.label] for start, end, one in spans]
    record: dict[str, Any] = {"text": text, "label": label}
    if wanted.as_suggestions(sentence):  # doccano keeps other keys beside the text, as metadata
        record["scores"] = [one.score for _, _, one in spans]
        record["alternatives"] = [alternatives_of(one, sentence) for _, _, one in spans]
    return record


def _prodigy(sentence: Sentence, wanted: Wanted) -> dict[str, Any]:
    """As in Prodigy's documentation, where the last token of a span is counted in.

    An example without an answer is one that its annotators still see, with the spans on it.
    """
    text, offsets = text_of(sentence)
    tokens = [
        {"text": token, "start": start, "end": end, "id": place, "ws": text[end : end + 1] == " "}
        for place, (token, (start, end)) in enumerate(zip(sentence.tokens, offsets, strict=True))
    ]
    record: dict[str, Any] = {"text": text, "tokens": tokens}
    if sentence.spans is None:
        return record
    spans = [_span(one, text, offsets) for one in sentence.spans]
    for span in spans:
        span["token_end"] -= 1
    answer = {} if wanted.as_suggestions(sentence) else {"answer": "accept"}
    return record | {"spans": spans} | answer


def _label_studio(sentence: Sentence, wanted: Wanted) -> dict[str, Any]:
    text, offsets = text_of(sentence)
    regions: list[dict[str, Any]] = []
    for span in sentence.spans or ():
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        value: dict[str, Any] = {"start": start, "end": end, "text": text[start:end]}
        value["labels"] = [span.label]
        names = {"from_name": "label", "to_name": "text", "type": "labels"}
        region: dict[str, Any] = {"id": f"span-{len(regions) + 1}", **names, "value": value}
        if span.score is not None:
            region["score"] = value["score"] = span.score
        if others := alternatives_of(span, sentence):
            region["meta"] = {"text": others}
        regions.append(region)
    task: dict[str, Any] = {"data": {"text": text}, "annotations": []}
    if wanted.as_suggestions(sentence):
        scores = [one.score for one in sentence.spans or () if one.score is not None]
        least = {"score": min(scores)} if scores else {}
        return task | {
            "predictions": [{"model_version": wanted.model_version, **least, "result": regions}]
        }
    return task if sentence.spans is None else task | {"annotations": [{"result": regions}]}


def _argilla(sentence: Sentence, wanted: Wanted) -> dict[str, Any]:
    """A record of Argilla 2 with one question, ``spans``; a response needs the id of its user."""
    text, offsets = text_of(sentence)
    record: dict[str, Any] = {"fields": {"text": text}, "suggestions": {}, "responses": {}}
    if sentence.spans is None:
        return record
    spans = [
        {"start": offsets[one.start][0], "end": offsets[one.end - 1][1], "label": one.label}
        for one in sentence.spans
    ]
    if wanted.user is not None and not wanted.as_suggestions(sentence):
        return record | {"responses": {"spans": [{"value": spans, "user_id": wanted.user}]}}
    scores = [one.score for one in sentence.spans]
    known = {} if None in scores or not scores else {"score": scores}
    suggestion = {"value": spans, **known, "agent": wanted.model_version}
    return record | {"suggestions": {"spans": suggestion}}


SHAPES: dict[str, Callable[[Sentence, Wanted], dict[str, Any]]] = {
    "ner": _ner,
    "tags": _tags,
    "doccano": _doccano,
    "prodigy": _prodigy,
    "labelstudio": _label_studio,
    "argilla": _argilla,
}
