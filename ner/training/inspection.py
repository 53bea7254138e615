"""What the sentences of a run are like, and what of it the user should know before it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from ner.sentence import Sentence
from ner.training.corpora import Corpora

RARE = 10  # examples, under which little can be learnt of a label


@dataclass(frozen=True, slots=True)
class Inspection:
    """Facts of training and development sentences.

    Attributes:
        labels: How many entities of each label there are to train on, the most frequent first.
        tokens: How many tokens there are to train on.
        rare: The labels with fewer than ``RARE`` entities.
        wanted: How many entities development data has; ``None`` where there is none.
        absent: How many development entities there are of each label that training lacks.
        repeated: The share of development sentences that also stand in training.
        seen: The share of development entities whose words, with that label, stand in training.
        declared: How many training sentences were annotated for some labels alone, by labels.
    """

    labels: dict[str, int]
    tokens: int
    rare: tuple[str, ...]
    wanted: int | None
    absent: dict[str, int]
    repeated: float | None
    seen: float | None
    declared: dict[str, int]

    def lines(self) -> list[str]:
        """What there is to say, a line each."""
        entities = sum(self.labels.values())
        counts = ", ".join(f"{label} {count:,}" for label, count in self.labels.items())
        lines = [f"entities {counts}; {1000 * entities / self.tokens:.1f} in 1,000 tokens"]
        if self.repeated is not None and self.seen is not None:
            lines.append(
                f"development: {100 * self.repeated:.1f} % of the sentences and "
                f"{100 * self.seen:.1f} % of the entities also stand in training"
            )
        lines += [
            f"{count:,} sentences declare {labels}: O leaves other labels open there"
            for labels, count in self.declared.items()
        ]
        if self.rare:
            named = ", ".join(f"{label} ({self.labels[label]})" for label in self.rare)
            lines.append(f"warning: fewer than {RARE} entities to learn from: {named}")
        if self.wanted == 0:
            lines.append(
                "warning: development data has no entity: which epoch is the best cannot be told"
            )
        if self.absent:
            named = ", ".join(f"{label} ({count:,})" for label, count in self.absent.items())
            lines.append(
                f"warning: labels of development data that training data lacks: {named}; "
                "their entities cannot be found and count as missed"
            )
        return lines


def inspect(corpora: Corpora) -> Inspection:
    """Look at the sentences of a run."""
    labels, wanted = (
        Counter(span.label for sentence in sentences for span in sentence.spans or ())
        for sentences in (corpora.train, corpora.development)
    )
    declared = Counter(
        ", ".join(sorted(sentence.labels)) or "no label"
        for sentence in corpora.train
        if sentence.labels is not None
    )
    return Inspection(
        labels=dict(labels.most_common()),
        tokens=sum(map(len, corpora.train)),
        rare=tuple(label for label, count in labels.most_common() if count < RARE),
        wanted=wanted.total() if corpora.development else None,
        absent={label: count for label, count in wanted.most_common() if label not in labels},
        repeated=_share(
            [sentence.tokens for sentence in corpora.development],
            {sentence.tokens for sentence in corpora.train},
        ),
        seen=_share(_entities(corpora.development), set(_entities(corpora.train))),
        declared=dict(declared),
    )


def _entities(sentences: Sequence[Sentence]) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (span.label, sentence.tokens[span.start : span.end])
        for sentence in sentences
        for span in sentence.spans or ()
    ]


def _share(items: Sequence[object], known: Set[Any]) -> float | None:
    """The share of items that are known, ``None`` where there are none."""
    return sum(item in known for item in items) / len(items) if items else None
