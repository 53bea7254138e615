"""Against forgetting: what a model knew is asked of it again while it learns new labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ner.batch import Batch
from ner.evaluation import Score, evaluate
from ner.schemes import OUTSIDE
from ner.scorer import Scorer
from ner.sentence import Sentence
from ner.tagger import Tagger

_LEAST = 1e-12  # below any probability that has a gradient worth the name


class Distillation:
    """The old model's marginals as soft targets of the new one (Li and Hoiem 2017 for images).

    Where the annotation of the new sentences has no entity, the old model's distribution over its
    tags is what the new one's should be, once the tags of new labels are counted as O.

    Args:
        old: The network that is started from; it is left as it is.
        new: The network that is trained, with all labels of the old one and more.
        weight: Of this loss beside that of the annotation.
    """

    def __init__(self, old: Scorer, new: Scorer, weight: float) -> None:
        self.old = old.eval().requires_grad_(False)
        self.new = new
        self.weight = weight
        self._outside = new.tags.index(OUTSIDE)
        known = [tag if tag in old.tags else OUTSIDE for tag in new.tags]
        places = torch.tensor([old.tags.index(tag) for tag in known])
        device = next(new.parameters()).device
        self._onto = torch.nn.functional.one_hot(places, len(old.tags)).float().to(device)

    def loss(self, batch: Batch) -> Tensor:
        """The weighted cross-entropy of the new marginals, a mean over sentences of sums."""
        wanted = self.old(batch).marginals().float()  # (batch, length, old tags), 0 at padding
        found = self.new(batch).marginals().float() @ self._onto
        entropies = -(wanted * found.clamp_min(_LEAST).log()).sum(2)
        free = torch.ones_like(entropies) if batch.tags is None else batch.tags == self._outside
        loss: Tensor = (entropies * free).sum() * (self.weight / len(batch.lengths))
        return loss


def as_partial_annotation(sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """The sentences, with O no longer saying that no entity of an old label stands there.

    Sentences that do not declare their labels declare those that some sentence has.
    """
    labels = frozenset(span.label for sentence in sentences for span in sentence.spans or ())
    return tuple(s if s.labels is not None else replace(s, labels=labels) for s in sentences)


def forgetting_report(
    old: Tagger, sentences: Sequence[Sentence], predicted: Iterable[Sequence[Any]]
) -> dict[str, Any] | None:
    """F1 on the labels of an old model before and after, where the sentences have such entities.

    Args:
        old: The old model.
        sentences: Annotated sentences.
        predicted: What the new model finds in them.
    """
    before = evaluate(sentences, old.predict(sentences)).labels
    after = evaluate(sentences, list(predicted)).labels
    labels = [label for label in old.network.labels if label in before and before[label].gold]
    if not labels:
        return None
    first, last = (
        sum((scores.get(label, Score()) for label in labels), Score()).f1
        for scores in (before, after)
    )
    return {"labels": labels, "before": first, "after": last, "drop": first - last}
