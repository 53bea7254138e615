"""What to annotate next: sentences that would teach most, and not all of them the same.

Each token is worth the uncertainty of its tag, shared out so that the tokens of a sentence are
worth the entropy of the tagger's distribution over its tag sequences (Settles and Craven 2008).
A token like one that has been chosen already is worth half as much, and again half as much the
next time, so that copies of a sentence are not chosen together. That makes the worth of a set a
monotone submodular function, and taking the best sentence again and again comes within 1 - 1/e
of the best set (Nemhauser et al. 1978).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ner.sentence import Sentence

HALVED = 0.5  # what is left of the worth of a token each time one like it is chosen


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How unsure a tagger is of a sentence.

    Attributes:
        sentence: The sentence.
        entropy: Of the distribution over tag sequences, in nats.
        tokens: The entropy of the tag of each token, in nats.
    """

    sentence: Sentence
    entropy: float
    tokens: tuple[float, ...]

    def shares(self) -> tuple[float, ...]:
        """The entropy of the sentence, shared out over its tokens."""
        total = sum(self.tokens)
        return tuple(self.entropy * own / total for own in self.tokens) if total > 0 else ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen sentence.

    Attributes:
        number: Which sentence, counted from 0.
        sentence: The sentence.
        entropy: Of its tag sequences, in nats.
        gain: What it adds to those chosen before it.
    """

    number: int
    sentence: Sentence
    entropy: float
    gain: float

    def as_json(self) -> dict[str, Any]:
        """The choice as JSON holds it."""
        return {
            "sentence": self.number,
            "line": self.sentence.line or None,
            "tokens": list(self.sentence.tokens),
            "entropy": self.entropy,
            "gain": self.gain,
        }


COSTS: Mapping[str, Callable[[Sentence], int]] = {
    "sentences": lambda sentence: 1,
    "tokens": len,
}


def choose_sentences(
    uncertain: Sequence[Uncertainty], budget: int, *, unit: str = "sentences"
) -> list[Choice]:
    """Choose sentences to annotate, the most useful first.

    Args:
        uncertain: The sentences to choose from; those without a token are never chosen.
        budget: How much may be chosen.
        unit: What the budget counts, ``sentences`` or ``tokens``; gains are weighed against it.

    Raises:
        ValueError: The budget is below 1, or there is no such unit.
    """
    if budget < 1:
        raise ValueError(f"a budget is at least 1, got {budget}")
    if unit not in COSTS:
        raise ValueError(f"a budget counts {' or '.join(COSTS)}, got {unit!r}")
    worth = [
        list(zip(map(str.lower, one.sentence.tokens), one.shares(), strict=False))
        for one in uncertain
    ]
    costs = [COSTS[unit](one.sentence) for one in uncertain]
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
        gain = _gain(worth[number], seen)  # never more than when it was last looked at
        if heap and (-gain / costs[number], number) > heap[0]:
            heapq.heappush(heap, (-gain / costs[number], number))
            continue
        budget -= costs[number]
        seen.update(token for token, _ in worth[number])
        one = uncertain[number]
        chosen.append(Choice(number, one.sentence, one.entropy, gain))
    return chosen


def _gain(worth: Sequence[tuple[str, float]], seen: Counter[str]) -> float:
    """What a sentence adds; a token that is in it twice is worth less the second time too."""
    total = 0.0
    own: Counter[str] = Counter()
    for token, share in worth:
        total += share * HALVED ** (seen[token] + own[token])
        own[token] += 1
    return total
