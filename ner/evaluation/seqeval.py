"""The classification report of seqeval, computed by seqeval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ner.evaluation.pairs import Pair
from ner.evaluation.tags import scheme_of, tags_as_read, well_formed, well_formed_pair
from ner.schemes import SCHEMES, Scheme
from ner.sentence import Sentence, Span

MODES = ("default", "strict")
AVERAGES = ("micro avg", "macro avg", "weighted avg")
STRICT = {"BIO": "IOB2", "BIOES": "IOBES", "BILOU": "BILOU"}  # seqeval's names of the schemes
EMPTY = {"precision": None, "recall": None, "f1-score": None, "support": 0}

Figures = dict[str, dict[str, Any]]


def seqeval_figures(pairs: Sequence[Pair], mode: str = "default") -> Figures:
    """Return what ``seqeval.metrics.classification_report`` computes.

    Args:
        pairs: The gold and predicted spans.
        mode: ``default`` (as conlleval) or ``strict`` (spans with ill-formed tags do not count).

    Returns:
        ``precision``, ``recall``, ``f1-score`` and ``support`` of each label and of the three
        averages; ``None`` where there is no entity at all, which seqeval itself fails on.

    Raises:
        ValueError: There is no such mode, or spans of one sentence overlap.
    """
    found = _classification_report(pairs, mode, output_dict=True)
    if found is None:
        return {name: dict(EMPTY) for name in AVERAGES}
    return {
        name: {key: int(one) if key == "support" else float(one) for key, one in row.items()}
        for name, row in found.items()
    }


def seqeval_text(pairs: Sequence[Pair], mode: str = "default", *, digits: int = 4) -> str | None:
    """Return the table that seqeval prints, or ``None`` where there is no entity to report on."""
    found: str | None = _classification_report(pairs, mode, digits=digits)
    return found


def _classification_report(pairs: Sequence[Pair], mode: str, **options: Any) -> Any:
    from seqeval import scheme as schemes
    from seqeval.metrics import classification_report

    if mode not in MODES:
        raise ValueError(f"expected mode {' or '.join(MODES)} of seqeval, got {mode!r}")
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
    """The scheme that strict mode is to check: the gold file's, if seqeval knows it."""
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
    """The tags as they stand in a file of that scheme; otherwise what is well-formed, in it."""
    if sentence and scheme_of([sentence]) == scheme.name:
        tags = tags_as_read(spans, sentence)
        if tags is not None:
            return list(tags)
    return list(scheme.encode(well_formed(spans, sentence), length))
