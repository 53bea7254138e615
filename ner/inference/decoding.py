"""Choose spans from the distribution of a network, and compute their probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ner.errors import ConfigError

Chain = TypeVar("Chain")  # ner.crf.LinearChain or ner.crf.core.scores.ChainScores
WAYS = ("viterbi", "posterior", "greedy")  # to choose tags; the names of ``ner.crf.DECODERS``


@dataclass(frozen=True, slots=True)
class Decoding:
    """Settings of a tagger that need no training; they are stored with the model.

    Attributes:
        decode: ``viterbi``, the most probable tag sequence, or ``posterior``, the most probable
            spans: those above the threshold.
        threshold: Of ``posterior``: the least probability of a span.
        temperature: What all scores are divided by before probabilities are taken; fitted on
            development data by ``ner.analysis.calibration``. The best tag sequence is the same
            at every temperature.
        min_score: Spans less probable than this are dropped.
        miss_cost: What missing an entity costs in false alarms: its logarithm is taken from the
            score of O at every token before spans are chosen, so that above 1 more tokens are
            found to be of entities. The probabilities of spans stay what they are.

    Raises:
        ConfigError: A setting is out of its range.
    """

    decode: str = "viterbi"
    threshold: float = 0.5
    temperature: float = 1.0
    min_score: float = 0.0
    miss_cost: float = 1.0

    def __post_init__(self) -> None:
        if self.decode not in WAYS:
            raise ConfigError(
                f"must be one of {', '.join(WAYS)}, got {self.decode!r}", key="decode"
            )
        ranges = {
            "threshold": ("above 0 and at most 1", 0.0 < _number(self.threshold) <= 1.0),
            "temperature": ("from 1e-9 to 1e9", 1e-9 <= _number(self.temperature) <= 1e9),
            "min_score": ("from 0 to 1", 0.0 <= _number(self.min_score) <= 1.0),
            "miss_cost": ("above 0", 0.0 < _number(self.miss_cost) < float("inf")),
        }
        for name, (wanted, fits) in ranges.items():
            if not fits:
                raise ConfigError(f"must be {wanted}, got {getattr(self, name)!r}", key=name)

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Decoding:
        """The settings a model directory holds, where it holds any.

        Raises:
            ConfigError: They are not such settings.
        """
        if not set(settings) <= set(cls.__slots__):
            raise ConfigError(f"decoding: expected {', '.join(cls.__slots__)}, got {settings!r}")
        return cls(**settings)

    def tempered(self, chain: Chain) -> Chain:
        """The distribution from which probabilities are taken."""
        if self.temperature == 1.0:
            return chain
        scores = ("emissions", "transitions", "start", "end")
        hot = {name: getattr(chain, name) / self.temperature for name in scores}
        return replace(chain, **hot)  # type: ignore[type-var]  # a dataclass, of either kind

    def biased(self, chain: Chain, outside: int = 0) -> Chain:
        """Return a tempered distribution as spans are chosen from it: O is charged for misses."""
        if self.miss_cost == 1.0:
            return chain
        emissions = chain.emissions + 0.0  # type: ignore[attr-defined]  # a copy
        emissions[:, :, outside] -= math.log(self.miss_cost)
        return replace(chain, emissions=emissions)  # type: ignore[type-var]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


VITERBI = Decoding()
