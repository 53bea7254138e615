"""The share of entity tokens covered at each cost of a miss, with conservative bounds."""

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
    """Counts of the gold annotation that predicted spans cover.

    Attributes:
        tokens: Entity tokens of the gold annotation.
        covered: Entity tokens in some predicted span.
        hidden: All tokens in predicted spans.
        entities: Gold entities.
        whole: Gold entities with every token covered.
        documents: Documents; sentences, if documents are unknown.
        tight: Documents with every entity token covered.
    """

    tokens: int
    covered: int
    hidden: int
    entities: int
    whole: int
    documents: int
    tight: int

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the shares; a share is ``None`` if undefined."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        return {
            **counts,
            "token_coverage": ratio(self.covered, self.tokens),
            "token_precision": ratio(self.covered, self.hidden),
            "entity_coverage": ratio(self.whole, self.entities),
            "documents_without_leak": ratio(self.tight, self.documents),
        }

    def lines(self) -> list[str]:
        """Return the shares as lines of text."""
        known = self.as_json()
        return [
            "Redaction",
            f"  entity tokens covered: {percent(known['token_coverage'])} of {self.tokens:,}",
            f"  entities covered completely: {percent(known['entity_coverage'])} of "
            f"{self.entities:,}",
            f"  documents without a leak: {percent(known['documents_without_leak'])} of "
            f"{self.documents:,}",
            f"  redacted tokens that belong to entities: {percent(known['token_precision'])} of "
            f"{self.hidden:,}",
        ]


def token_counts(pair: Pair) -> tuple[int, int, int]:
    """Return the number of entity tokens, of covered entity tokens, and of covered tokens."""
    gold = {at for span in pair.gold for at in range(span.start, span.end)}
    found = {at for span in pair.predicted for at in range(span.start, span.end)}
    return len(gold), len(gold & found), len(found)


def coverage(pairs: Iterable[Pair]) -> Coverage:
    """Count what predicted spans cover of the gold annotation."""
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


COSTS = tuple(2.0**power for power in range(17))  # values of miss_cost to measure
LEVEL = 0.95  # confidence of each bound, one-sided
FEW = 10  # minimum number of documents with a miss to estimate the design effect


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The result of a cost of a miss on development sentences.

    Attributes:
        miss_cost: The cost of a miss, in false alarms.
        coverage: The share of entity tokens in some predicted span.
        lower: The lower confidence bound of the coverage.
        upper: The upper confidence bound of the coverage.
        precision: The share of covered tokens in entities; ``None`` if no token is covered.
    """

    miss_cost: float
    coverage: float
    lower: float
    upper: float
    precision: float | None


def redacting(decoding: Decoding, miss_cost: float) -> Decoding:
    """Return the decoding for redaction: the best path, with O charged for misses."""
    return replace(decoding, decode="viterbi", min_score=0.0, miss_cost=miss_cost)


def operating_points(lattices: Lattices, decoding: Decoding) -> list[OperatingPoint]:
    """Return the operating points of all costs, lowest first.

    Raises:
        ValueError: The annotated sentences contain no entities.
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
        raise ValueError("cannot measure coverage: the sentences contain no entities")
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
    """Return the design effect of misses that cluster in documents, at least 1 (Kish 1965).

    The maximum over all costs at which at least `FEW` documents have a miss; if there are no such
    costs, the design effect of documents that are covered or missed as a whole.

    Args:
        totals: The entity tokens of each document.
        missed: For each cost, the missed entity tokens of each document.
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
    """Return the lower and the upper bound of the coverage.

    The exact binomial bounds of Clopper and Pearson (1934), one-sided at `LEVEL`, for the effective
    sample size total / effect.
    """
    count = max(1, math.floor(total / effect))
    most = min(count, math.ceil(missed / effect - 1e-9))
    least = max(0, math.floor(missed / effect + 1e-9))
    return 1.0 - _greatest(most, count), 1.0 - _least(least, count)


def _greatest(misses: int, count: int) -> float:
    """Return the rate r with P(X <= misses | count, r) = 1 - `LEVEL`."""
    if misses >= count:
        return 1.0
    return _root(lambda rate: _at_most(misses, count, rate) - (1.0 - LEVEL))


def _least(misses: int, count: int) -> float:
    """Return the rate r with P(X >= misses | count, r) = 1 - `LEVEL`."""
    if misses == 0:
        return 0.0
    return _root(lambda rate: _at_most(misses - 1, count, rate) - LEVEL)


def _root(falling: Any) -> float:
    """Return the zero of a decreasing function on [0, 1], by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if falling(middle) > 0.0 else (low, middle)
    return high


def _at_most(misses: int, count: int, rate: float) -> float:
    """Return P(X <= misses) of a binomial distribution."""
    if rate <= 0.0 or rate >= 1.0:
        return float(rate <= 0.0 or misses >= count)
    x = np.arange(misses + 1)
    choose = np.append(0.0, np.log((count - x[1:] + 1) / x[1:]).cumsum())
    logs = choose + x * math.log(rate) + (count - x) * math.log1p(-rate)
    return float(np.exp(logs).sum())


def promising(points: list[OperatingPoint], wanted: float) -> OperatingPoint:
    """Return the operating point with the lowest cost whose lower bound reaches a coverage.

    Costs are tested from the highest down until one fails (fixed-sequence testing), so that
    testing several costs does not weaken the bound.

    Raises:
        ConfigError: The highest cost does not reach it.
    """
    chosen = None
    for point in reversed(points):
        if point.lower < wanted:
            break
        chosen = point
    if chosen is None:
        best = max((point.lower for point in points), default=0.0)
        raise ConfigError(
            f"a coverage of {wanted} cannot be promised; the highest that can is {best:.4f}. Use "
            "more development sentences or a better model"
        )
    return chosen


def as_json(points: list[OperatingPoint]) -> dict[str, Any]:
    """Return operating points as JSON values."""
    return {"level": LEVEL, "points": [asdict(point) for point in points]}


def stored(metrics: Mapping[str, Any]) -> list[OperatingPoint]:
    """Return the operating points stored with a model.

    Raises:
        ConfigError: The model has none.
    """
    try:
        return [OperatingPoint(**point) for point in metrics["redaction"]["points"]]
    except (KeyError, TypeError):
        raise ConfigError(
            "the model has no measured coverage; pass --development FILE to measure it"
        ) from None
