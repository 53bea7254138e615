"""Settings of a tagger that are fitted on development data, after training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ner.batch import group_by_length
from ner.config import ConfigError
from ner.crf import LinearChain
from ner.evaluation.score import Score
from ner.inference import Decoding, engine_for
from ner.scorer import Scorer
from ner.sentence import Sentence

THRESHOLDS = (0.02, 0.05, *(number / 20 for number in range(2, 20)), 0.98)
COLDEST, HOTTEST, ROUNDS = 0.2, 5.0, 24  # of the search for a temperature


@torch.inference_mode()
def fit_temperature(network: Scorer, sentences: Sequence[Sentence]) -> float:
    """The temperature under which the gold annotation is most probable (Guo et al. 2017).

    The loss is convex in the inverse of the temperature, so a golden section finds its least.

    Args:
        network: A network in evaluation mode.
        sentences: Annotated sentences that it was not trained on.

    Raises:
        ValueError: No sentence is fully annotated or none has an entity, or the network has no such
            label.
    """
    known = [s for s in sentences if len(s) and s.spans is not None and not s.unknown]
    if not known:
        raise ValueError("a temperature needs annotated sentences, there are none")
    if not any(s.spans for s in known):
        raise ValueError("a temperature needs entities to fit, the sentences have none")
    device = network.device
    chains: list[tuple[LinearChain, Tensor]] = []
    for group in group_by_length(list(map(len, known)), sentences=256, tokens=8192):
        batch = network.batch([known[number] for number in group]).to(device)
        if batch.tags is not None:
            chains.append((network(batch), batch.tags))

    def loss(log_inverse: float) -> float:
        decoding = Decoding(temperature=math.exp(-log_inverse))
        return -sum(float(decoding.tempered(c).log_prob(tags).sum()) for c, tags in chains)

    inverse = _least(loss, -math.log(HOTTEST), -math.log(COLDEST))
    return math.exp(-inverse)


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one valley is least, by golden section."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(ROUNDS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return (low + high) / 2.0


def thresholds(
    network: Scorer, decoding: Decoding, sentences: Sequence[Sentence]
) -> list[tuple[Decoding, Score]]:
    """Exact-match scores of posterior decoding at each of some thresholds, lowest first."""
    known = [sentence for sentence in sentences if sentence.spans is not None]
    found = []
    for threshold in THRESHOLDS:
        chosen = replace(decoding, decode="posterior", threshold=threshold, min_score=0.0)
        predicted = engine_for(network, chosen).predict(known)
        correct = sum(
            len(set(gold.spans or ()) & set(own))
            for gold, own in zip(known, predicted, strict=True)
        )
        gold = sum(len(sentence.spans or ()) for sentence in known)
        found.append((chosen, Score(correct, sum(map(len, predicted)), gold)))
    return found


def reaching(
    found: Sequence[tuple[Decoding, Score]], *, recall: float | None, precision: float | None
) -> tuple[Decoding, Score]:
    """The decoding that reaches a recall at the best precision, or the other way round.

    Raises:
        ConfigError: None reaches it.
    """
    name, wanted = ("recall", recall) if recall is not None else ("precision", precision)
    ordered = list(reversed(found)) if recall is not None else list(found)
    for decoding, score in ordered:
        value = getattr(score, name)
        if value is not None and wanted is not None and value >= wanted:
            return decoding, score
    best = max((getattr(score, name) or 0.0 for _, score in found), default=0.0)
    raise ConfigError(f"no threshold reaches a {name} of {wanted}; the most is {best:.4f}")
