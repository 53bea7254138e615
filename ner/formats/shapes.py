"""How a sentence is written as a JSON object, for us and for annotation tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ner.formats.documents import Part
from ner.formats.records import MISSING, joined
from ner.schemes import Scheme
from ner.sentence import Sentence, Span


def _ner(sentence: Sentence, scheme: Scheme) -> dict[str, Any]:
    text, offsets = _text(sentence)
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
    return record | {"text": text[start:end], "token_start": span.start, "token_end": span.end}


def tags_of(sentence: Sentence, scheme: Scheme) -> list[str]:
    """The tags of a sentence; ``_`` where nobody has annotated."""
    if sentence.spans is None:
        return [MISSING] * len(sentence)
    tags = list(scheme.encode(sentence.spans, len(sentence)))
    for place in sentence.unknown:
        tags[place] = MISSING
    return tags


def _tags(sentence: Sentence, scheme: Scheme) -> dict[str, Any]:
    return {"tokens": list(sentence.tokens), "tags": tags_of(sentence, scheme)}


def _doccano(sentence: Sentence, scheme: Scheme) -> dict[str, Any]:
    text, offsets = _text(sentence)
    spans = [(offsets[one.start][0], offsets[one.end - 1][1], one) for one in sentence.spans or ()]
    return {"text": text, "label": [[start, end, one.label] for start, end, one in spans]}


def _prodigy(sentence: Sentence, scheme: Scheme) -> dict[str, Any]:
    """As in Prodigy's documentation, where the last token of a span is counted in."""
    text, offsets = _text(sentence)
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
    return record | {"spans": spans, "answer": "accept"}


def _label_studio(sentence: Sentence, scheme: Scheme) -> dict[str, Any]:
    text, offsets = _text(sentence)
    regions = []
    for span in sentence.spans or ():
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        value = {"start": start, "end": end, "text": text[start:end], "labels": [span.label]}
        names = {"from_name": "label", "to_name": "text", "type": "labels"}
        regions.append({"value": value, **names})
    annotated = [] if sentence.spans is None else [{"result": regions}]
    return {"data": {"text": text}, "annotations": annotated}


SHAPES: dict[str, Callable[[Sentence, Scheme], dict[str, Any]]] = {
    "ner": _ner,
    "tags": _tags,
    "doccano": _doccano,
    "prodigy": _prodigy,
    "labelstudio": _label_studio,
}
WHOLE = ("doccano", "prodigy", "labelstudio")  # have no word for a token nobody has annotated


def _text(sentence: Sentence) -> tuple[str, Sequence[tuple[int, int]]]:
    """The text of a sentence, or its tokens with blanks between; and where the tokens stand."""
    if sentence.text is not None and sentence.offsets is not None:
        return sentence.text, sentence.offsets
    return joined(sentence.tokens)
