"""Sentences as tags, their well-formed spans, and the reports of seqeval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ner.evaluation.pairs import Pair
from ner.schemes import OUTSIDE, SCHEMES, UNTYPED, Scheme, scheme_named
from ner.sentence import Sentence, Span


def scheme_of(sentences: Iterable[Sentence]) -> str | None:
    """Return the name of the scheme of the file the sentences come from, if it has tags."""
    for sentence in sentences:
        if sentence.origin is not None:
            return sentence.origin.scheme
    return None


def tags_of(sentence: Sentence) -> tuple[str, ...]:
    """Return the tags as in the file, or in BIO if it has none."""
    return sentence.tags or SCHEMES["BIO"].encode(sentence.spans or (), len(sentence))


def tags_as_read(spans: Iterable[Span], sentence: Sentence | None) -> tuple[str, ...] | None:
    """Return the file's own tags on these spans and ``O`` elsewhere.

    ``None`` if the file has no tags, or the reader was asked to read them as others.
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
    """Return the spans whose tags are well-formed; all spans if there are no tags."""
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
    """Return the spans whose tags are those that the scheme would write.

    Only these count in seqeval's strict mode, which supports IOB2, IOBES and BILOU.

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
    """Return the share of tokens with the correct tag, as in ``conlleval``."""
    right = tokens = 0
    for one, other in zip(gold, predicted, strict=True):
        tokens += len(one)
        right += sum(a == b for a, b in zip(one, other, strict=True))
    return right / tokens if tokens else 0.0


def _labelled(tag: str) -> str:
    """Return a tag with a label, which bare prefixes lack."""
    prefix, _, label = tag.partition("-")
    return tag if label or tag == OUTSIDE else f"{prefix}-{UNTYPED}"


MODES = ("default", "strict")
AVERAGES = ("micro avg", "macro avg", "weighted avg")
STRICT = {"BIO": "IOB2", "BIOES": "IOBES", "BILOU": "BILOU"}  # seqeval's names of the schemes
EMPTY = {"precision": None, "recall": None, "f1-score": None, "support": 0}

Figures = dict[str, dict[str, Any]]


def seqeval_figures(pairs: Sequence[Pair], mode: str = "default") -> Figures:
    """Return the figures of ``seqeval.metrics.classification_report``; see ``Report.seqeval``."""
    found = _classification_report(pairs, mode, output_dict=True)
    if found is None:
        return {name: dict(EMPTY) for name in AVERAGES}
    return {
        name: {key: int(one) if key == "support" else float(one) for key, one in row.items()}
        for name, row in found.items()
    }


def seqeval_text(pairs: Sequence[Pair], mode: str = "default", *, digits: int = 4) -> str | None:
    """Return the table that seqeval prints, or ``None`` if there are no entities."""
    found: str | None = _classification_report(pairs, mode, digits=digits)
    return found


def _classification_report(pairs: Sequence[Pair], mode: str, **options: Any) -> Any:
    from seqeval import scheme as schemes
    from seqeval.metrics import classification_report

    if mode not in MODES:
        raise ValueError(f"the mode of seqeval must be {' or '.join(MODES)}, got {mode!r}")
    strict = mode == "strict"
    counted = map(well_formed_pair, pairs) if strict else pairs
    if not any(pair.gold or pair.predicted for pair in counted):
        return None
    scheme = SCHEMES["BIO"]
    if strict:
        scheme = _scheme(pairs)
        options |= {"mode": mode, "scheme": getattr(schemes, STRICT[scheme.name])}
    sides = [
        [(pair.gold, pair.sentence, _length(pair)) for pair in pairs],
        [(pair.predicted, pair.prediction, _length(pair)) for pair in pairs],
    ]
    spell = _as_read if strict else _as_encoded
    gold, predicted = ([spell(scheme, *one) for one in side] for side in sides)
    return classification_report(gold, predicted, zero_division=0, **options)


def _scheme(pairs: Sequence[Pair]) -> Scheme:
    """Return the scheme for strict mode: the gold file's, if seqeval supports it."""
    name = scheme_of(pair.sentence for pair in pairs if pair.sentence)
    return SCHEMES[name if name in STRICT else "BIO"]


def _length(pair: Pair) -> int:
    return len(pair.tokens) or max((span.end for span in (*pair.gold, *pair.predicted)), default=0)


def _as_encoded(
    scheme: Scheme, spans: tuple[Span, ...], _: Sentence | None, length: int
) -> list[str]:
    return list(scheme.encode(spans, length))


def _as_read(
    scheme: Scheme, spans: tuple[Span, ...], sentence: Sentence | None, length: int
) -> list[str]:
    """Return the tags as in a file of that scheme; otherwise the well-formed spans, in it."""
    if sentence and scheme_of([sentence]) == scheme.name:
        tags = tags_as_read(spans, sentence)
        if tags is not None:
            return list(tags)
    return list(scheme.encode(well_formed(spans, sentence), length))
