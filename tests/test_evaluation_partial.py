"""Partial credit: nervaluate is the oracle."""

from random import Random

import pytest
from evaluation_samples import LABELS, random_pair, random_spans, tags
from nervaluate import Evaluator

from ner.evaluation.pairs import pair_up
from ner.evaluation.partial import MODES, Tally, partial_credit, tally
from ner.sentence import Span

NAMES = {"strict": "strict", "exact": "exact", "partial": "partial", "type": "ent_type"}
COUNTS = ("correct", "incorrect", "partial", "missed", "spurious")
FIGURES = ("precision", "recall", "f1")


def agrees(ours, theirs):
    for name in COUNTS:
        assert getattr(ours, name) == getattr(theirs, name)
    assert [getattr(ours, name) for name in FIGURES] == pytest.approx(
        [getattr(theirs, name) for name in FIGURES], abs=1e-12
    )


@pytest.mark.parametrize("block", range(4))
def test_random_pairs_count_as_nervaluate_counts(block):
    """All five counts and three figures of all four modes, overall and per label."""
    for seed in range(block * 250, (block + 1) * 250):
        gold, predicted = random_pair(seed)
        said = Evaluator(tags(gold), tags(predicted), tags=list(LABELS), loader="list").evaluate()
        ours = partial_credit(pair_up(gold, predicted))
        for mode, name in NAMES.items():
            agrees(ours[mode], said["overall"][name])
            for label, tallies in ours.labels.items():
                agrees(tallies[mode], said["entities"][label][name])


def as_dicts(rows):
    return [
        [{"label": s.label, "start": s.start, "end": s.end - 1} for s in sorted(row)]
        for row in rows
    ]


def test_spans_that_overlap_each_other_count_as_nervaluate_counts_them():
    rng = Random(3)
    for _ in range(300):
        gold, predicted = (
            [
                tuple({*random_spans(rng, 9), *random_spans(rng, 9), Span(0, 1, "PER")})
                for _ in range(3)
            ]
            for _ in range(2)
        )
        said = Evaluator(
            as_dicts(gold), as_dicts(predicted), tags=list(LABELS), loader="dict"
        ).evaluate()
        ours = partial_credit(pair_up(gold, predicted))
        for mode, name in NAMES.items():
            agrees(ours[mode], said["overall"][name])


def test_the_order_of_spans_does_not_matter():
    rng = Random(7)
    for seed in range(100):
        gold, predicted = ([list(s.spans) for s in side] for side in random_pair(seed))
        before = partial_credit(pair_up(gold, predicted)).as_json()
        for row in (*gold, *predicted):
            rng.shuffle(row)
        assert partial_credit(pair_up(gold, predicted)).as_json() == before


def test_a_span_that_touches_a_sliver_of_a_long_one_has_nothing_to_do_with_it():
    long, sliver = Span(0, 300, "PER"), Span(299, 301, "PER")
    assert tally([long], [sliver], MODES["type"]) == Tally(missed=1, spurious=1)
    assert tally([long], [Span(297, 301, "PER")], MODES["type"]) == Tally(correct=1)


def test_the_counts_of_each_mode_add_up_to_all_spans():
    for seed in range(50):
        gold, predicted = random_pair(seed)
        sizes = tuple(sum(len(s.spans) for s in side) for side in (gold, predicted))
        for counted in partial_credit(pair_up(gold, predicted)).overall.values():
            assert (counted.gold, counted.predicted) == sizes


def test_an_overlap_counts_half_in_the_partial_mode_only():
    gold, predicted = [[Span(0, 2, "PER")]], [[Span(0, 3, "PER")]]
    counted = partial_credit(pair_up(gold, predicted))
    assert {mode: counted[mode].f1 for mode in MODES} == {
        "strict": 0.0, "exact": 0.0, "partial": 0.5, "type": 1.0,
    }  # fmt: skip


def test_nothing_to_count_is_null():
    said = partial_credit(pair_up([[]], [[]])).as_json()
    assert said["strict"]["f1"] is None
    assert said["labels"] == {}


def test_the_tallies_as_text_and_as_json():
    """By hand: one of the right place and another label, one half as long, one missed."""
    gold = [[Span(0, 2, "PER"), Span(3, 4, "ORG")], [Span(0, 1, "ORG")]]
    predicted = [[Span(0, 2, "ORG"), Span(3, 5, "ORG")], []]
    found = partial_credit(pair_up(gold, predicted))
    assert [line.rstrip() for line in found.lines()] == [
        "Partial credit (SemEval-2013)",
        "           precision  recall     F1  correct  incorrect  partial  missed  spurious",
        "  strict        0.00    0.00   0.00        0          2        0       1         0"
        "    same boundaries and label",
        "  exact        50.00   33.33  40.00        1          1        0       1         0"
        "    same boundaries, any label",
        "  partial      75.00   50.00  60.00        1          0        1       1         0"
        "    same boundaries; an overlap counts half; any label",
        "  type         50.00   33.33  40.00        1          1        0       1         0"
        "    an overlap of that label",
    ]
    assert found.as_json()["partial"] == {
        "precision": 0.75,
        "recall": 0.5,
        "f1": 0.6,
        "correct": 1,
        "incorrect": 0,
        "partial": 1,
        "missed": 1,
        "spurious": 0,
    }
