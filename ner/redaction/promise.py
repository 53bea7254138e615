"""The share of entity tokens covered at each cost of a miss, with a conservative bound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ner.analysis.calibration import Lattices
from ner.crf.core.scores import Doubles, Integers
from ner.errors import ConfigError
from ner.evaluation.pairs import Pair, pair_up
from ner.evaluation.score import percent, ratio
from ner.inference.decoding import Decoding


@dataclass(frozen=True, slots=True)
class Coverage:
    """The share that is hidden of what should be.

    Attributes:
        tokens: Entity tokens of the gold annotation.
        covered: Those in some predicted span.
        hidden: All tokens in predicted spans.
        entities: Gold entities.
        whole: Those whose every token is covered.
        documents: Documents (sentences, where no document is known).
        tight: Those without an entity token in the open.
    """

    tokens: int
    covered: int
    hidden: int
    entities: int
    whole: int
    documents: int
    tight: int

    def as_json(self) -> dict[str, Any]:
        """The counts, and the shares, ``None`` where undefined."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        return {
            **counts,
            "token_coverage": ratio(self.covered, self.tokens),
            "token_precision": ratio(self.covered, self.hidden),
            "entity_coverage": ratio(self.whole, self.entities),
            "documents_without_leak": ratio(self.tight, self.documents),
        }

    def lines(self) -> list[str]:
        """The shares as text."""
        known = self.as_json()
        return [
            "Redaction",
            f"  entity tokens covered {percent(known['token_coverage'])} of {self.tokens:,}, "
            f"entities covered whole {percent(known['entity_coverage'])} of {self.entities:,}",
            f"  documents without a leak {percent(known['documents_without_leak'])} of "
            f"{self.documents:,}; of the tokens hidden {percent(known['token_precision'])} "
            "are of entities",
        ]


def token_counts(pair: Pair) -> tuple[int, int, int]:
    """Return a sentence's entity tokens, those of them covered, and all tokens covered."""
    gold = {at for span in pair.gold for at in range(span.start, span.end)}
    found = {at for span in pair.predicted for at in range(span.start, span.end)}
    return len(gold), len(gold & found), len(found)


def coverage(pairs: Iterable[Pair]) -> Coverage:
    """Return what predicted spans cover of gold ones."""
    totals, entities, whole = [0, 0, 0], 0, 0
    leaking: dict[object, bool] = {}
    for number, pair in enumerate(pairs):
        counts = token_counts(pair)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        found = {at for span in pair.predicted for at in range(span.start, span.end)}
        entities += len(pair.gold)
        whole += sum(found.issuperset(range(span.start, span.end)) for span in pair.gold)
        document = None if pair.sentence is None else pair.sentence.document
        key = number if document is None else ("document", id(document))
        leaking[key] = leaking.get(key, False) or counts[1] < counts[0]
    tokens, covered, hidden = totals
    tight = sum(not leak for leak in leaking.values())
    return Coverage(tokens, covered, hidden, entities, whole, len(leaking), tight)


COSTS = tuple(2.0**power for power in range(17))  # of a miss
LEVEL = 0.95  # of each bound, one-sided
FEW = 10  # documents with a miss, of which the design effect is not estimated


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The outcome of a cost of a miss on development sentences.

    Attributes:
        miss_cost: The cost, in false alarms.
        coverage: The share of entity tokens in some predicted span.
        lower: What their share is at least, by `LEVEL`.
        upper: What it is at most, by `LEVEL`.
        precision: The share of covered tokens that are of entities; ``None`` if none is covered.
    """

    miss_cost: float
    coverage: float
    lower: float
    upper: float
    precision: float | None


def redacting(decoding: Decoding, miss_cost: float) -> Decoding:
    """Return the decoding that redaction covers tokens by: the best path, O charged for misses."""
    return replace(decoding, decode="viterbi", min_score=0.0, miss_cost=miss_cost)


def operating_points(lattices: Lattices, decoding: Decoding) -> list[OperatingPoint]:
    """Return the points of all costs, lowest first.

    Raises:
        ValueError: No sentence is annotated, or there is no entity.
    """
    rows = [n for n, s in enumerate(lattices.sentences) if s.spans is not None]
    gold = [lattices.sentences[n] for n in rows]
    counts = []
    for cost in COSTS:
        found = lattices.predict(redacting(decoding, cost))
        pairs = pair_up(gold, [found[n] for n in rows])
        counts.append(np.array([token_counts(pair) for pair in pairs], np.float64))
    units = np.unique(lattices.units[rows], return_inverse=True)[1]
    totals = _summed(units, counts[0][:, 0])
    if not totals.sum():
        raise ValueError("coverage needs entities to measure, the sentences have none")
    missed = [_summed(units, own[:, 0] - own[:, 1]) for own in counts]
    effect = design_effect(totals, missed)
    return [
        OperatingPoint(
            cost,
            1.0 - float(miss.sum() / totals.sum()),
            *bounds(float(miss.sum()), float(totals.sum()), effect),
            ratio(float(own[:, 1].sum()), float(own[:, 2].sum())),
        )
        for cost, miss, own in zip(COSTS, missed, counts, strict=True)
    ]


def _summed(units: Integers, counts: Doubles) -> Doubles:
    return np.bincount(units, counts).astype(np.float64)


def design_effect(totals: Doubles, missed: list[Doubles]) -> float:
    """Return by how much misses that come together widen intervals, at least 1 (Kish 1965).

    It is the greatest found at any cost where misses are spread over at least `FEW` documents;
    where there is none such, that of documents which are missed as a whole.

    Args:
        totals: The entity tokens of each document.
        missed: For each cost, the missed ones of each document.
    """
    count, units = totals.sum(), int((totals > 0).sum())
    effects = []
    for miss in missed:
        share = miss.sum() / count
        if (miss > 0).sum() < FEW or share >= 1.0:
            continue
        spread = ((miss - share * totals) ** 2).sum() * units / max(units - 1, 1)
        effects.append(spread / (count * share * (1.0 - share)))
    return max(1.0, *effects) if effects else float((totals**2).sum() / count)


def bounds(missed: float, total: float, effect: float) -> tuple[float, float]:
    """Return the least and the greatest coverage that the misses leave likely.

    They are those of Clopper and Pearson (1934) for as many independent tokens as the
    design effect leaves, each at `LEVEL`.
    """
    count = max(1, math.floor(total / effect))
    most = min(count, math.ceil(missed / effect - 1e-9))
    least = max(0, math.floor(missed / effect + 1e-9))
    return 1.0 - _greatest(most, count), 1.0 - _least(least, count)


def _greatest(misses: int, count: int) -> float:
    """The greatest rate at which so few misses are seen with a probability of 1 - `LEVEL`."""
    if misses >= count:
        return 1.0
    return _root(lambda rate: _at_most(misses, count, rate) - (1.0 - LEVEL))


def _least(misses: int, count: int) -> float:
    """The least rate at which so many misses are seen with a probability of 1 - `LEVEL`."""
    if misses == 0:
        return 0.0
    return _root(lambda rate: _at_most(misses - 1, count, rate) - LEVEL)


def _root(falling: Any) -> float:
    """Return the rate at which a falling function is 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if falling(middle) > 0.0 else (low, middle)
    return high


def _at_most(misses: int, count: int, rate: float) -> float:
    """The probability of at most so many misses, of a binomial distribution."""
    if rate <= 0.0 or rate >= 1.0:
        return float(rate <= 0.0 or misses >= count)
    x = np.arange(misses + 1)
    choose = np.append(0.0, np.log((count - x[1:] + 1) / x[1:]).cumsum())
    logs = choose + x * math.log(rate) + (count - x) * math.log1p(-rate)
    return float(np.exp(logs).sum())


def promising(points: list[OperatingPoint], wanted: float) -> OperatingPoint:
    """Return the lowest cost whose bound reaches the wanted coverage.

    Costs are gone through from the highest down, as long as all reach it, so that many looks
    make the promise no weaker (fixed-sequence testing).

    Raises:
        ConfigError: The highest does not reach it.
    """
    chosen = None
    for point in reversed(points):
        if point.lower < wanted:
            break
        chosen = point
    if chosen is None:
        best = max((point.lower for point in points), default=0.0)
        raise ConfigError(
            f"a coverage of {wanted} cannot be promised; at most {best:.4f} can: more development "
            "sentences, or a better model, would allow more"
        )
    return chosen


def as_json(points: list[OperatingPoint]) -> dict[str, Any]:
    """Points as a model keeps them."""
    return {"level": LEVEL, "points": [asdict(point) for point in points]}


def stored(metrics: Mapping[str, Any]) -> list[OperatingPoint]:
    """Return the points a model keeps.

    Raises:
        ConfigError: It keeps none.
    """
    try:
        return [OperatingPoint(**point) for point in metrics["redaction"]["points"]]
    except (KeyError, TypeError):
        raise ConfigError(
            "the model does not know its coverage; give --development FILE to measure it"
        ) from None
