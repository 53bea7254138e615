"""Everything that can be said of predictions; what takes time is computed when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ner.evaluation.exact import label_scores
from ner.evaluation.pairs import Annotated, Pair, pair_up
from ner.evaluation.score import Average, Score, macro, weighted


@dataclass(frozen=True, eq=False)
class Report:
    """How good predictions are.

    Attributes:
        pairs: The gold and predicted spans of each sentence.
        labels: The score of each label that occurs on either side.
        scheme: The scheme the gold tags were read in, where that is known.
    """

    pairs: tuple[Pair, ...]
    labels: dict[str, Score]
    scheme: str | None = None

    @cached_property
    def exact(self) -> Score:
        """The score over all labels (the micro average)."""
        return sum(self.labels.values(), Score())

    @property
    def micro(self) -> Score:
        """The score over all labels: another name of ``exact``."""
        return self.exact

    @cached_property
    def macro(self) -> Average:
        """The mean over labels, each counting the same."""
        return macro(self.labels)

    @cached_property
    def weighted(self) -> Average:
        """The mean over labels, each counting as often as it occurs."""
        return weighted(self.labels)

    @property
    def sentences(self) -> int:
        """How many sentences were scored."""
        return len(self.pairs)

    @cached_property
    def tokens(self) -> int:
        """How many tokens they have, where the tokens are known."""
        return sum(len(pair.tokens) for pair in self.pairs)

    def as_json(self) -> dict[str, Any]:
        """The scores as JSON holds them: fractions, ``None`` where undefined."""
        return {
            "scheme": self.scheme,
            "sentences": self.sentences,
            "tokens": self.tokens,
            "exact": self.exact.as_json(),
            "labels": {label: score.as_json() for label, score in self.labels.items()},
            "macro": self.macro.as_json(),
            "weighted": self.weighted.as_json(),
        }


def evaluate(
    gold: Iterable[Annotated], predicted: Iterable[Annotated], *, scheme: str | None = None
) -> Report:
    """Score predictions against gold annotation, by exact spans.

    Args:
        gold: Sentences, or the spans of each.
        predicted: The same sentences as somebody predicted them, or the spans of each.
        scheme: The scheme of the tags both were read from, to be told in the report.

    Raises:
        ValueError: The two are not the same sentences, or one has no annotation.
    """
    pairs = pair_up(gold, predicted)
    return Report(pairs, label_scores(pairs), scheme)
