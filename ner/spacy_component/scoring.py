"""The scorer ``ner_crf.seqeval.v1``: the figures of seqeval, as spaCy wants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spacy.training import Example

from ner.evaluation import evaluate
from ner.sentence import Sentence, Span
from ner.spacy_component.documents import UNSET

NAMES = {"p": "precision", "r": "recall", "f": "f1-score"}


def score_by_seqeval(examples: Iterable[Example], *, mode: str = "default", **_: Any) -> Any:
    """Score the entities of examples by seqeval.

    Documents without annotation do not count, nor do predictions on tokens without it.

    Args:
        examples: The examples; predictions are counted in the tokens of their references.
        mode: ``default`` or ``strict``, as in ``Report.seqeval``.

    Returns:
        ``ents_p``, ``ents_r`` and ``ents_f`` (micro averages), the same with ``ents_macro_``, and
        ``ents_per_type``; ``None`` where there is nothing to score.
    """
    known = [one for one in examples if one.reference.has_annotation("ENT_IOB")]
    if not known:
        empty: dict[str, Any] = {f"ents_{name}": None for name in NAMES}
        return empty | {f"ents_macro_{name}": None for name in NAMES} | {"ents_per_type": None}
    gold = [_gold(example) for example in known]
    found = evaluate(gold, [_predicted(example) for example in known]).seqeval(mode)
    labels = {label: _row(own) for label, own in found.items() if not label.endswith(" avg")}
    averages = {"ents": found["micro avg"], "ents_macro": found["macro avg"]}
    means = {f"{of}_{name}": one for of, own in averages.items() for name, one in _row(own).items()}
    return {**means, "ents_per_type": labels}


def _row(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {name: figures[full] for name, full in NAMES.items()}


def _gold(example: Example) -> Sentence:
    reference = example.reference
    unset = [place for place, iob in enumerate(reference.to_array("ENT_IOB")) if iob == UNSET]
    spans = tuple(Span(ent.start, ent.end, ent.label_) for ent in reference.ents)
    words = tuple(token.text for token in reference)
    return Sentence(words, spans, unknown=frozenset(unset))


def _predicted(example: Example) -> tuple[Span, ...]:
    ents = example.get_aligned_spans_x2y(example.predicted.ents)
    return tuple(Span(ent.start, ent.end, ent.label_) for ent in ents)
