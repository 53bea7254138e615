"""Tag documents around the annotation that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ner.analysis.clamping import ClampedEngine
from ner.inference.batch_engine import WHOLE
from ner.sentence import Sentence, Span, SpanWithAlternatives
from ner.spacy_component.documents import DocSentence, moved, without
from ner.tagger import Tagger


def tag_pieces(
    tagger: Tagger, rows: Sequence[Sequence[DocSentence]], *, alternatives: int = 0
) -> list[tuple[Span, ...]]:
    """Return the spans of documents, without those that are given.

    Args:
        tagger: The tagger.
        rows: The sentences of each document; annotated ones are tagged around their annotation.
        alternatives: The maximum number of alternatives of a span; tagging is slower if above 0.
    """
    sentences = [_opened(part.sentence, alternatives) for row in rows for part in row]
    free = [sentence for sentence in sentences if sentence.spans is None]
    bound = [sentence for sentence in sentences if sentence.spans is not None]
    found = iter(tagger.predict(free))
    around: Iterator[tuple[Span, ...]] = iter(())
    if bound:
        engine = ClampedEngine(tagger, tagger.decoding, alternatives=alternatives)
        around = iter(engine.predict(bound))
    own = iter(sentences)
    return [
        tuple(
            _moved(span, part.places)
            for part in row
            for span in without(
                next(found if next(own).spans is None else around), part.sentence.spans or ()
            )
        )
        for row in rows
    ]


def _opened(sentence: Sentence, alternatives: int) -> Sentence:
    """Mark all tokens of a sentence as unknown if only the clamped engine can tag it.

    Only that engine gives alternatives, and supports long sentences with given vectors.
    """
    long = sentence.vectors is not None and len(sentence) > WHOLE
    if sentence.spans is not None or not (alternatives or long):
        return sentence
    return replace(sentence, spans=(), unknown=frozenset(range(len(sentence))))


def _moved(span: Span, places: Sequence[int]) -> Span:
    """Map a span and its alternatives from the tagger's tokens to those of the document."""
    if isinstance(span, SpanWithAlternatives):
        own = moved(span, places)
        alternatives = tuple(moved(other, places) for other in span.alternatives)
        return SpanWithAlternatives(own.start, own.end, own.label, own.score, alternatives)
    return moved(span, places)
