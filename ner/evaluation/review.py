"""Material for review: annotation that may be wrong, and sentences to annotate next.

If a tagger that was not trained on a sentence is certain that its annotation is wrong, it usually
is (Northcutt et al. 2021; for entities Klie et al. 2023). A suspect is a gold span, or a span that
the tagger would add. It is ranked by the probability of the tagger's own suggestion. The
improbability of the annotation would not do: every reading of a long or unusual name is improbable,
including the correct one.

Some kinds of change are correct more often than others, so the probability of a change is weighted
by how often its kind was correct in the CoNLL-2003 test file: see ``RIGHT``.

The sentences to annotate next should teach much, and not all the same. A token is worth the
uncertainty of its tag, scaled so that the tokens of a sentence are together worth the entropy of
the tagger's distribution over its tag sequences (Settles and Craven 2008). Each time a token is
chosen again it is worth half as much, so that copies of a sentence are not chosen together. The
worth of a set is then a monotone submodular function, and greedy choice comes within 1 - 1/e of the
best set (Nemhauser et al. 1978).
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ner.evaluation.errors import Case, cases_of
from ner.evaluation.pairs import Pair
from ner.sentence import Sentence, Span

AGREED = "agree"
CHANGES = {  # what a tagger would do about each kind of disagreement with the gold annotation
    "matched": AGREED,
    "label": "label",
    "boundary": "boundary",
    "both": "both",
    "missed": "remove",
    "spurious": "add",
}
# How often each kind of change was correct among the first suspects of the CoNLL-2003 test file
# that were judged by hand (30 in docs/suspects.md) or corrected by CoNLL++ (44): 31 of 35 added
# entities, 4 of 7 changed ones, 8 of 32 removed ones.
RIGHT = {"add": 0.9, "label": 0.6, "boundary": 0.6, "both": 0.6, "remove": 0.25, AGREED: 1.0}
HALVED = 0.5  # the value of a token is multiplied by this each time one like it is chosen
COSTS: Mapping[str, Callable[[Sentence], int]] = {
    "sentences": lambda sentence: 1,
    "tokens": len,
}


@dataclass(frozen=True, slots=True)
class Opinion:
    """The prediction of a tagger for an annotated sentence that it was not trained on.

    Attributes:
        sentence: The sentence and its gold spans.
        predicted: The predicted spans, with their probabilities as scores.
        gold: The probability of each gold span.
        outside: For each gold span, the probability that none of its tokens is in an entity.
    """

    sentence: Sentence
    predicted: tuple[Span, ...]
    gold: tuple[float, ...]
    outside: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place where the annotation may be wrong.

    Attributes:
        number: The index of the sentence.
        sentence: The sentence.
        kind: The kind of change, a value of ``CHANGES``.
        gold: The gold span in doubt; ``None`` if one seems to be missing.
        suggestion: The span the tagger finds instead; ``None`` if it finds none.
        gold_probability: The tagger's probability of the gold span; ``None`` without one.
        probability: The probability of the suggestion.
        repeats: Further places where the same change is made to the same words.
    """

    number: int
    sentence: Sentence
    kind: str
    gold: Span | None
    suggestion: Span | None
    gold_probability: float | None
    probability: float
    repeats: tuple[Suspect, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the suspect as JSON values."""
        return {
            "sentence": self.number,
            "line": self.sentence.line or None,
            "document": self.sentence.document.id if self.sentence.document else None,
            "tokens": list(self.sentence.tokens),
            "kind": self.kind,
            "gold": _as_json(self.gold, self.sentence),
            "suggestion": _as_json(self.suggestion, self.sentence),
            "gold_probability": self.gold_probability,
            "probability": self.probability,
            "repeats": [
                {
                    "sentence": one.number,
                    "line": one.sentence.line or None,
                    "gold": _as_json(one.gold, one.sentence),
                    "suggestion": _as_json(one.suggestion, one.sentence),
                    "probability": one.probability,
                }
                for one in self.repeats
            ],
        }

    @property
    def weight(self) -> float:
        """The probability that the change is correct."""
        return self.probability * RIGHT[self.kind]

    def form(self) -> tuple[object, ...]:
        """Return the change without its sentence."""
        return (self.kind, self._words(self.gold), self._words(self.suggestion))

    def _words(self, span: Span | None) -> tuple[object, ...] | None:
        return (span.label, self.sentence.tokens[span.start : span.end]) if span else None

    def shown(self, around: int = 6) -> str:
        """Return the place in its sentence, gold in brackets, with some tokens around it."""
        tokens, span = self.sentence.tokens, self.gold or self.suggestion
        if span is None:
            return " ".join(tokens)
        before = tokens[max(0, span.start - around) : span.start]
        after = tokens[span.end : span.end + around]
        inside = " ".join(tokens[span.start : span.end])
        said = f"[{self.gold.label if self.gold else 'O'} {inside}]"
        return " ".join([*before, said, *after])

    def change(self) -> str:
        """Describe the change that the tagger proposes."""
        if self.suggestion is None:
            return "no entity"
        words = " ".join(self.sentence.tokens[self.suggestion.start : self.suggestion.end])
        return f"{self.suggestion.label} {words}"


def rank_suspects(opinions: Iterable[Opinion]) -> list[Suspect]:
    """Return all places where a tagger would change the annotation, the likeliest errors first.

    A gold span and the predicted ones that overlap it are one suspect. So is the same change to the
    same words, whose other places are its ``repeats``. Gold spans that the tagger agrees with come
    last, the least certain first.
    """
    found = [
        suspect
        for number, opinion in enumerate(opinions)
        if opinion.sentence.spans is not None
        for suspect in _suspects(number, opinion)
    ]
    groups: dict[object, list[Suspect]] = {}
    for suspect in sorted(found, key=_order):
        key = id(suspect) if suspect.kind == AGREED else suspect.form()
        groups.setdefault(key, []).append(suspect)
    return [replace(first, repeats=tuple(rest)) for first, *rest in groups.values()]


def decided(sentences: Iterable[Sentence], decisions: Any) -> Iterator[Sentence]:
    """Yield sentences with the accepted changes made.

    Args:
        sentences: The sentences that were looked at, in the same order.
        decisions: What the page of ``ner suspects --html`` saves: suspects as JSON, each with
            ``accepted``.

    Raises:
        ValueError: The decisions are not such, or not about these sentences.
    """
    changes = _accepted(decisions)
    number = -1
    for number, sentence in enumerate(sentences):
        yield _changed(number, sentence, changes.pop(number, []))
    if changes:
        raise ValueError(f"decisions are about sentence {max(changes) + 1}, of {number + 1}")


_Change = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]  # from a span to a span


def _accepted(decisions: Any) -> dict[int, list[_Change]]:
    """Return the changes to each sentence."""
    changes: dict[int, list[_Change]] = {}
    try:
        for one in decisions:
            for place in (one, *one["repeats"]) if one["accepted"] is True else ():
                change = place["gold"], place["suggestion"]
                changes.setdefault(int(place["sentence"]), []).append(change)
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            "decisions must be a list of suspects, as the page of ner suspects --html saves them"
        ) from None
    return changes


def _changed(number: int, sentence: Sentence, changes: Sequence[_Change]) -> Sentence:
    """Return a sentence with changes made; a new span replaces all that it overlaps.

    A new span may cover several gold spans, each of which is a suspect.
    """
    if not changes:
        return sentence
    old, new = set(sentence.spans or ()), list[Span]()
    try:
        dropped = {_span(gold, sentence) for gold, _ in changes if gold is not None}
        if not dropped <= old:
            raise ValueError("expected a gold span")
        for _, suggestion in changes:
            if suggestion is not None:
                one = _span(suggestion, sentence)
                new = [span for span in new if not _overlap(one, span)] + [one]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"a decision does not fit sentence {number + 1}; was it made on this file?"
        ) from None
    kept = [s for s in old - dropped if not any(_overlap(one, s) for one in new)]
    return replace(sentence, spans=tuple(sorted([*kept, *new])))


def _span(given: Mapping[str, Any], sentence: Sentence) -> Span:
    """Return a span of JSON, checked by its words."""
    span = Span(given["start"], given["end"], given["label"])
    if given["text"] != " ".join(sentence.tokens[span.start : span.end]):
        raise ValueError(f"expected the words {given['text']!r}")
    return span


def _order(suspect: Suspect) -> tuple[bool, float, int, Span | None]:
    place = suspect.gold or suspect.suggestion
    return (suspect.kind == AGREED, -suspect.weight, suspect.number, place)


def _suspects(number: int, opinion: Opinion) -> Iterable[Suspect]:
    gold = opinion.sentence.spans or ()
    sure = dict(zip(gold, zip(opinion.gold, opinion.outside, strict=True), strict=True))
    predicted = [span for span in opinion.predicted if _is_known(span, opinion.sentence)]
    for case in cases_of(number, Pair(tuple(sorted(gold)), tuple(sorted(predicted)))):
        if case.gold is None and any(_overlap(case.predicted, other) for other in gold):
            continue  # the gold span it overlaps is a suspect itself
        own, outside = sure[case.gold] if case.gold else (None, 0.0)
        yield Suspect(
            number,
            opinion.sentence,
            CHANGES[case.kind],
            case.gold,
            None if CHANGES[case.kind] == AGREED else case.predicted,
            own,
            _probability(case, own, outside),
        )


def _probability(case: Case, own: float | None, outside: float) -> float:
    """Return the probability of the suggestion, or of anything else if the tagger agrees."""
    if own is not None and CHANGES[case.kind] == AGREED:
        return 1.0 - own
    if case.predicted is None:
        return outside
    return case.predicted.score if case.predicted.score is not None else 1.0


def _is_known(span: Span, sentence: Sentence) -> bool:
    return sentence.unknown.isdisjoint(range(span.start, span.end))


def _overlap(one: Span | None, other: Span) -> bool:
    return one is not None and one.start < other.end and other.start < one.end


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


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The uncertainty of a tagger about a sentence.

    Attributes:
        sentence: The sentence.
        entropy: The entropy of the distribution over tag sequences, in nats.
        tokens: The entropy of the tag of each token, in nats.
    """

    sentence: Sentence
    entropy: float
    tokens: tuple[float, ...]

    def shares(self) -> tuple[float, ...]:
        """Return the entropy of the sentence, distributed over its tokens."""
        total = sum(self.tokens)
        return tuple(self.entropy * own / total for own in self.tokens) if total > 0 else ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen sentence.

    Attributes:
        number: The index of the sentence.
        sentence: The sentence.
        entropy: The entropy of its tag sequences, in nats.
        gain: Its worth beyond the sentences chosen before.
        repeats: The indices of other sentences with the same tokens.
    """

    number: int
    sentence: Sentence
    entropy: float
    gain: float
    repeats: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        return {
            "sentence": self.number,
            "line": self.sentence.line or None,
            "tokens": list(self.sentence.tokens),
            "entropy": self.entropy,
            "gain": self.gain,
            "repeats": list(self.repeats),
        }


def distinct(sentences: Sequence[Sentence]) -> list[list[int]]:
    """Return the numbers of the sentences in groups of the same tokens, each group in order."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, sentence in enumerate(sentences):
        groups.setdefault(sentence.tokens, []).append(number)
    return list(groups.values())


def choose_sentences(
    uncertain: Sequence[Uncertainty],
    budget: int,
    *,
    unit: str = "sentences",
    strategy: str = "uncertainty",
    seed: int = 0,
) -> list[Choice]:
    """Choose sentences to annotate, the most useful first.

    Args:
        uncertain: The sentences to choose from; empty ones are never chosen.
        budget: The number of units to choose.
        unit: The unit of the budget and of costs, ``sentences`` or ``tokens``.
        strategy: ``uncertainty``: a token is worth its share of the entropy; ``diversity``: all
            tokens are worth the same, so that new words count; ``random``.
        seed: The random seed of the strategy ``random``.

    Raises:
        ValueError: The budget is below 1, or the unit or the strategy is unknown.
    """
    if budget < 1:
        raise ValueError(f"budget must be at least 1, got {budget}")
    if unit not in COSTS:
        raise ValueError(f"unit must be {' or '.join(COSTS)}, got {unit!r}")
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    costs = [COSTS[unit](one.sentence) for one in uncertain]
    worth = [STRATEGIES[strategy](one) for one in uncertain]
    if strategy == "random":
        return _drawn(uncertain, costs, budget, seed)
    return _greedy(uncertain, worth, costs, budget)


def _drawn(
    uncertain: Sequence[Uncertainty], costs: Sequence[int], budget: int, seed: int
) -> list[Choice]:
    """Return sentences drawn at random; those that no longer fit are passed over."""
    numbers = [number for number, one in enumerate(uncertain) if one.sentence.tokens]
    random.Random(seed).shuffle(numbers)
    chosen = []
    for number in numbers:
        if costs[number] <= budget:
            budget -= costs[number]
            one = uncertain[number]
            chosen.append(Choice(number, one.sentence, one.entropy, 0.0))
    return chosen


Worth = list[tuple[str, float]]


def _by_entropy(one: Uncertainty) -> Worth:
    return list(zip(map(str.lower, one.sentence.tokens), one.shares(), strict=False))


def _by_words(one: Uncertainty) -> Worth:
    return [(token.lower(), 1.0) for token in one.sentence.tokens]


STRATEGIES: Mapping[str, Callable[[Uncertainty], Worth]] = {
    "uncertainty": _by_entropy,
    "diversity": _by_words,
    "random": lambda one: [],
}


def _greedy(
    uncertain: Sequence[Uncertainty], worth: Sequence[Worth], costs: Sequence[int], budget: int
) -> list[Choice]:
    """Take the sentence of the greatest gain for its cost, again and again."""
    seen: Counter[str] = Counter()
    heap = [
        (-_gain(worth[number], seen) / costs[number], number)
        for number, one in enumerate(uncertain)
        if one.sentence.tokens
    ]
    heapq.heapify(heap)
    chosen: list[Choice] = []
    while heap:
        _, number = heapq.heappop(heap)
        if costs[number] > budget:
            continue
        gain = _gain(worth[number], seen)  # never more than when last computed
        if heap and (-gain / costs[number], number) > heap[0]:
            heapq.heappush(heap, (-gain / costs[number], number))
            continue
        budget -= costs[number]
        seen.update(token for token, _ in worth[number])
        one = uncertain[number]
        chosen.append(Choice(number, one.sentence, one.entropy, gain))
    return chosen


def _gain(worth: Sequence[tuple[str, float]], seen: Counter[str]) -> float:
    """Return the gain of a sentence, in which repeated tokens count less, too."""
    total = 0.0
    own: Counter[str] = Counter()
    for token, share in worth:
        total += share * HALVED ** (seen[token] + own[token])
        own[token] += 1
    return total
