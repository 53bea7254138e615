"""Sentences as tags: as their file spells them, and which of their spans are well-formed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ner.evaluation.pairs import Pair
from ner.schemes import OUTSIDE, SCHEMES, UNTYPED, Scheme, scheme_named
from ner.sentence import Sentence, Span


def scheme_of(sentences: Iterable[Sentence]) -> str | None:
    """Return the name of the scheme the sentences were read in, if they had tags."""
    for sentence in sentences:
        if sentence.origin is not None:
            return sentence.origin.scheme
    return None


def tags_of(sentence: Sentence) -> tuple[str, ...]:
    """Return the tags as the file spells them, or in BIO where it has none."""
    return sentence.tags or SCHEMES["BIO"].encode(sentence.spans or (), len(sentence))


def tags_as_read(spans: Iterable[Span], sentence: Sentence | None) -> tuple[str, ...] | None:
    """Return the file's own tags on these spans and ``O`` elsewhere.

    ``None`` where the file has no tags, or tags that the reader was asked to read as others.
    """
    tags = sentence.tags if sentence else None
    name = scheme_of([sentence]) if sentence else None
    if tags is None or name is None:
        return None
    kept = [OUTSIDE] * len(tags)
    for span in spans:
        kept[span.start : span.end] = tags[span.start : span.end]
    try:
        same = scheme_named(name).decode(kept) == tuple(spans)
    except ValueError:  # tags that the reader was asked to read as others
        return None
    return tuple(kept) if same else None


def well_formed(spans: tuple[Span, ...], sentence: Sentence | None) -> tuple[Span, ...]:
    """Return the spans whose tags are well-formed; all of them where there are no tags."""
    tags = tags_as_read(spans, sentence)
    name = scheme_of([sentence]) if sentence else None
    return spans if tags is None or name is None else strict_spans(tags, scheme_named(name))


def well_formed_pair(pair: Pair) -> Pair:
    """Return the pair with only the spans whose tags are well-formed."""
    return replace(
        pair,
        gold=well_formed(pair.gold, pair.sentence),
        predicted=well_formed(pair.predicted, pair.prediction),
    )


def strict_spans(tags: Sequence[str], scheme: Scheme) -> tuple[Span, ...]:
    """Return the spans that are spelled as the scheme spells them.

    These are all that seqeval's strict mode counts, which knows IOB2, IOBES and BILOU.

    Raises:
        ValueError: A tag is not one of the scheme's.
    """
    spans = scheme.decode(tags)
    spelled = scheme.encode(spans, len(tags))
    read = tuple(map(_labelled, tags))
    return tuple(
        span for span in spans if read[span.start : span.end] == spelled[span.start : span.end]
    )


def token_accuracy(gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> float:
    """Return the share of tokens with the right tag, as ``conlleval`` prints it."""
    right = tokens = 0
    for one, other in zip(gold, predicted, strict=True):
        tokens += len(one)
        right += sum(a == b for a, b in zip(one, other, strict=True))
    return right / tokens if tokens else 0.0


def _labelled(tag: str) -> str:
    """A tag with a label, which bare prefixes lack."""
    prefix, _, label = tag.partition("-")
    return tag if label or tag == OUTSIDE else f"{prefix}-{UNTYPED}"
