"""Label errors: gold spans, and places without one, that a tagger finds improbable.

A tagger that has not seen a sentence says how probable its annotation is; where it is sure that
the annotation is wrong, more often than not it is (Northcutt et al. 2021; for entities Klie et
al. 2023). A place of annotation is a gold span or a span the tagger would add; its surprise is
the negative logarithm of the probability that the annotation is right there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ner.evaluation.errors import KINDS, Case, cases_of
from ner.evaluation.pairs import Pair
from ner.sentence import Sentence, Span

LEAST = 1e-300  # probabilities below have no logarithm worth comparing


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a tagger thinks of an annotated sentence that it was not trained on.

    Attributes:
        sentence: The sentence and its gold spans.
        gold: The probability of each gold span.
        predicted: The spans the tagger finds, with their probabilities as scores.
    """

    sentence: Sentence
    gold: tuple[float, ...]
    predicted: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place where the annotation may be wrong.

    Attributes:
        number: Which sentence, counted from 0.
        sentence: The sentence.
        kind: What the tagger would change, a key of ``CHANGES``.
        gold: The gold span in doubt; ``None`` where one seems to be missing.
        suggestion: What the tagger finds there instead; ``None`` where it finds nothing.
        probability: That the annotation is right there, as the tagger thinks.
        surprise: Its negative natural logarithm.
    """

    number: int
    sentence: Sentence
    kind: str
    gold: Span | None
    suggestion: Span | None
    probability: float
    surprise: float

    def as_json(self) -> dict[str, Any]:
        """The suspect as JSON holds it."""
        return {
            "sentence": self.number,
            "line": self.sentence.line or None,
            "document": self.sentence.document.id if self.sentence.document else None,
            "tokens": list(self.sentence.tokens),
            "kind": self.kind,
            "gold": _as_json(self.gold, self.sentence),
            "suggestion": _as_json(self.suggestion, self.sentence),
            "probability": self.probability,
            "surprise": self.surprise,
        }

    def shown(self, around: int = 6) -> str:
        """The place in its sentence, gold in brackets, with some tokens around it."""
        tokens, span = self.sentence.tokens, self.gold or self.suggestion
        if span is None:
            return " ".join(tokens)
        before = tokens[max(0, span.start - around) : span.start]
        after = tokens[span.end : span.end + around]
        inside = " ".join(tokens[span.start : span.end])
        said = f"[{self.gold.label if self.gold else 'O'} {inside}]"
        return " ".join([*before, said, *after])

    def change(self) -> str:
        """What the tagger would make of it, in words."""
        if self.suggestion is None:
            return "no entity"
        words = " ".join(self.sentence.tokens[self.suggestion.start : self.suggestion.end])
        score = "" if self.suggestion.score is None else f" ({self.suggestion.score:.3f})"
        return f"{self.suggestion.label} {words}{score}"


CHANGES = {
    "matched": "agree",
    "label": "label",
    "boundary": "boundary",
    "both": "both",
    "missed": "remove",
    "spurious": "add",
}
"""What a tagger would do about each kind of disagreement with the gold annotation."""
assert CHANGES.keys() == KINDS.keys()


def rank_suspects(opinions: Iterable[Opinion]) -> list[Suspect]:
    """All places of annotation that are at all in doubt, the most surprising first.

    Where a gold span and predicted ones overlap, there is one suspect, the gold span, since one
    look settles both.
    """
    found = [
        suspect
        for number, opinion in enumerate(opinions)
        if opinion.sentence.spans is not None
        for suspect in _suspects(number, opinion)
    ]
    return sorted(found, key=lambda s: (-s.surprise, s.number, s.gold or s.suggestion))


def _suspects(number: int, opinion: Opinion) -> Iterable[Suspect]:
    gold = opinion.sentence.spans or ()
    probabilities = dict(zip(gold, opinion.gold, strict=True))
    predicted = [span for span in opinion.predicted if _is_known(span, opinion.sentence)]
    for case in cases_of(number, Pair(tuple(sorted(gold)), tuple(sorted(predicted)))):
        probability = _probability(case, probabilities, gold)
        if probability is None or probability >= 1.0:
            continue
        yield Suspect(
            number,
            opinion.sentence,
            CHANGES[case.kind],
            case.gold,
            None if case.kind == "matched" else case.predicted,
            probability,
            -math.log(max(probability, LEAST)),
        )


def _probability(
    case: Case, probabilities: dict[Span, float], gold: Sequence[Span]
) -> float | None:
    """That the annotation is right at the place of a case; ``None`` of one that another tells."""
    if case.gold is not None:
        return probabilities[case.gold]
    span = case.predicted
    if span is None or any(_overlap(span, other) for other in gold):
        return None
    return 1.0 - (span.score if span.score is not None else 1.0)


def _is_known(span: Span, sentence: Sentence) -> bool:
    return sentence.unknown.isdisjoint(range(span.start, span.end))


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _as_json(span: Span | None, sentence: Sentence) -> dict[str, Any] | None:
    if span is None:
        return None
    return {
        "start": span.start,
        "end": span.end,
        "label": span.label,
        "text": " ".join(sentence.tokens[span.start : span.end]),
        "score": span.score,
    }
