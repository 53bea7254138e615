"""The settings of decoding: how spans are chosen, and how probabilities are calibrated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ner.errors import ConfigError

Chain = TypeVar("Chain")  # ner.crf.LinearChain or ner.crf.core.scores.ChainScores
WAYS = ("viterbi", "posterior", "greedy")  # the keys of ``ner.crf.DECODERS``


@dataclass(frozen=True, slots=True)
class Decoding:
    """The settings of a tagger that can change after training; they are stored with the model.

    Attributes:
        decode: ``viterbi``, the most probable tag sequence, or ``posterior``, the most probable
            spans: those above the threshold.
        threshold: The minimum probability of a span for ``posterior``.
        temperature: The divisor of all scores before probabilities are computed; fitted on
            development data by ``ner.analysis.calibration``. The best tag sequence is the same
            at every temperature.
        min_score: Spans less probable than this are dropped.
        miss_cost: The cost of a missed entity, in false alarms. Its logarithm is subtracted from
            the score of O at every token before spans are chosen, so that values above 1 find
            more entity tokens. The probabilities of spans do not change.
        label_thresholds: The thresholds of labels that differ from ``threshold``.

    Raises:
        ConfigError: A setting is out of its range.
    """

    decode: str = "viterbi"
    threshold: float = 0.5
    temperature: float = 1.0
    min_score: float = 0.0
    miss_cost: float = 1.0
    label_thresholds: dict[str, float] = field(default_factory=dict, hash=False)

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
            "label_thresholds": ("labels with thresholds", self._labels_fit()),
        }
        for name, (wanted, fits) in ranges.items():
            if not fits:
                raise ConfigError(f"must be {wanted}, got {getattr(self, name)!r}", key=name)

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> Decoding:
        """Return the settings stored in a model directory.

        Raises:
            ConfigError: A setting is unknown or out of its range.
        """
        if not set(settings) <= set(cls.__slots__):
            unknown = ", ".join(sorted(map(str, set(settings) - set(cls.__slots__))))
            known = ", ".join(cls.__slots__)
            raise ConfigError(f"decoding: unknown setting {unknown}; expected {known}")
        return cls(**settings)

    def _labels_fit(self) -> bool:
        given: Any = self.label_thresholds  # from a file
        return isinstance(given, dict) and all(
            isinstance(label, str) and 0.0 < _number(one) <= 1.0 for label, one in given.items()
        )

    def thresholds(self, labels: Sequence[str]) -> list[float]:
        """Return the threshold of each label."""
        return [self.label_thresholds.get(label, self.threshold) for label in labels]

    def tempered(self, chain: Chain) -> Chain:
        """Return the distribution with all scores divided by the temperature."""
        if self.temperature == 1.0:
            return chain
        scores = ("emissions", "transitions", "start", "end")
        hot = {name: getattr(chain, name) / self.temperature for name in scores}
        return replace(chain, **hot)  # type: ignore[type-var]  # either kind is a dataclass

    def biased(self, chain: Chain, outside: int = 0) -> Chain:
        """Return the distribution that spans are chosen from: O is charged for misses."""
        if self.miss_cost == 1.0:
            return chain
        emissions = chain.emissions + 0.0  # type: ignore[attr-defined]  # a copy
        emissions[:, :, outside] -= math.log(self.miss_cost)
        return replace(chain, emissions=emissions)  # type: ignore[type-var]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


VITERBI = Decoding()
