"""Every span is accounted for once, and the kinds of error add up."""

import pytest
from evaluation_samples import random_pair

from ner.evaluation import evaluate
from ner.evaluation.errors import KINDS, find_errors
from ner.evaluation.pairs import pair_up
from ner.sentence import Span

PER, ORG = "PER", "ORG"


def kinds(gold, predicted):
    found = find_errors(pair_up([gold], [predicted]))
    return {kind: number for kind, number in found.counts.items() if number}


@pytest.mark.parametrize(
    ("gold", "predicted", "wanted"),
    [
        ([Span(0, 2, PER)], [Span(0, 2, PER)], {"matched": 1}),
        ([Span(0, 2, PER)], [Span(0, 2, ORG)], {"label": 1}),
        ([Span(0, 2, PER)], [Span(0, 3, PER)], {"boundary": 1}),
        ([Span(0, 2, PER)], [Span(1, 3, ORG)], {"both": 1}),
        ([Span(0, 2, PER)], [], {"missed": 1}),
        ([], [Span(0, 2, PER)], {"spurious": 1}),
        ([Span(0, 2, PER)], [Span(2, 3, PER)], {"missed": 1, "spurious": 1}),
        # split in two: the larger part answers it, the other is spurious
        ([Span(0, 3, PER)], [Span(0, 1, PER), Span(1, 3, PER)], {"boundary": 1, "spurious": 1}),
        # merged: the one that is nearest is answered, the other is missed
        ([Span(0, 1, PER), Span(1, 3, ORG)], [Span(0, 3, ORG)], {"boundary": 1, "missed": 1}),
        # the right one is not taken away by one that overlaps
        ([Span(0, 2, PER), Span(0, 3, ORG)], [Span(0, 3, ORG)], {"matched": 1, "missed": 1}),
    ],
)
def test_each_kind_is_told(gold, predicted, wanted):
    assert kinds(gold, predicted) == wanted


def test_kinds_and_confusion_add_up_to_the_spans_of_both_sides():
    for seed in range(300):
        report = evaluate(*random_pair(seed))
        counts, score = report.errors.counts, report.exact
        shared = sum(counts[kind] for kind in ("matched", "label", "boundary", "both"))
        assert counts["matched"] == score.correct
        assert shared + counts["missed"] == score.gold
        assert shared + counts["spurious"] == score.predicted
        names, matrix = report.errors.labels, report.errors.matrix()
        for at, label in enumerate(names):
            assert sum(matrix[at]) == report.labels[label].gold
            assert sum(row[at] for row in matrix) == report.labels[label].predicted
        assert matrix[-1][-1] == 0


def test_every_span_is_in_one_case():
    for seed in range(100):
        gold, predicted = random_pair(seed)
        found = find_errors(pair_up(gold, predicted)).cases
        for side, sentences in (("gold", gold), ("predicted", predicted)):
            held = [(c.sentence, getattr(c, side)) for c in found if getattr(c, side)]
            assert sorted(held) == [(n, s) for n, one in enumerate(sentences) for s in one.spans]


def test_the_side_without_a_span_is_called_none():
    said = find_errors(pair_up([[Span(0, 1, PER)], []], [[], [Span(0, 1, ORG)]])).as_json()
    assert said["counts"] == dict.fromkeys(KINDS, 0) | {"missed": 1, "spurious": 1}
    assert said["confusion"] == {
        "labels": ["ORG", "PER"],
        "columns": ["ORG", "PER", "none"],
        "matrix": [[0, 0, 0], [0, 0, 1], [1, 0, 0]],
    }


def test_of_two_that_overlap_the_one_that_shares_more_is_the_answer():
    found = find_errors(pair_up([[Span(0, 6, PER)]], [[Span(0, 2, PER), Span(2, 6, PER)]]))
    assert [(case.kind, case.predicted) for case in found.cases] == [
        ("spurious", Span(0, 2, PER)),
        ("boundary", Span(2, 6, PER)),
    ]


def test_cases_stand_from_left_to_right():
    gold = [Span(4, 5, PER), Span(6, 9, PER)]
    predicted = [Span(0, 1, PER), Span(2, 3, ORG), Span(6, 8, PER)]
    found = find_errors(pair_up([gold], [predicted])).cases
    assert [(case.gold or case.predicted).start for case in found] == [0, 2, 4, 6]


def test_the_errors_as_text():
    gold = [[Span(0, 2, PER), Span(3, 4, ORG)], [Span(0, 1, ORG)]]
    found = find_errors(pair_up(gold, [[Span(0, 2, ORG), Span(3, 5, ORG)], []]))
    assert [line.rstrip() for line in found.lines()] == [
        "Errors",
        "  matched   0    correct",
        "  label     1    correct boundaries, wrong label",
        "  boundary  1    correct label, wrong boundaries",
        "  both      0    an overlap with wrong label and boundaries",
        "  missed    1    no predicted span overlaps",
        "  spurious  0    no gold span overlaps",
        "",
        "Gold labels (rows) and what was predicted there (columns)",
        "        ORG  PER  none",
        "  ORG     1    0     1",
        "  PER     1    0     0",
        "  none    0    0     0",
    ]
