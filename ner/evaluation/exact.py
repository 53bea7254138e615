"""Exact spans: right is what has the gold span's start, end and label (CoNLL-2003)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ner.evaluation.pairs import Pair
from ner.evaluation.score import Score
from ner.sentence import Span

Form = tuple[str, tuple[str, ...]]


def label_scores(pairs: Iterable[Pair]) -> dict[str, Score]:
    """The score of each label that occurs on either side, labels in alphabetical order."""
    correct: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    for pair in pairs:
        if not pair.gold and not pair.predicted:
            continue
        gold.update(span.label for span in pair.gold)
        predicted.update(span.label for span in pair.predicted)
        correct.update(span.label for span in set(pair.gold).intersection(pair.predicted))
    return {
        label: Score(correct[label], predicted[label], gold[label])
        for label in sorted(gold.keys() | predicted.keys())
    }


def surface_score(pairs: Iterable[Pair]) -> Score:
    """The surface score of the WNUT 2017 shared task: each form of a label counts once.

    Correct are the different forms of correctly placed entities (Derczynski et al. 2017).
    """
    correct: set[Form] = set()
    predicted: set[Form] = set()
    gold: set[Form] = set()
    for pair in pairs:
        gold.update(_forms(pair, pair.gold))
        predicted.update(_forms(pair, pair.predicted))
        correct.update(_forms(pair, set(pair.gold).intersection(pair.predicted)))
    return Score(len(correct), len(predicted), len(gold))


def _forms(pair: Pair, spans: Iterable[Span]) -> Iterable[Form]:
    return ((span.label, pair.tokens[span.start : span.end]) for span in spans)
