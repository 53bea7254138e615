"""Counts and figures: by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.evaluation.score import Average, Score, harmonic, macro, ratio, weighted


def test_figures_by_hand():
    score = Score(correct=2, predicted=4, gold=3)
    assert (score.precision, score.recall) == (0.5, 2 / 3)
    assert score.f1 == pytest.approx(4 / 7)
    assert score.as_json() == {
        "precision": 0.5,
        "recall": 2 / 3,
        "f1": score.f1,
        "correct": 2,
        "predicted": 4,
        "gold": 3,
    }


def test_nothing_to_divide_by_is_zero_to_compare_and_null_to_programs():
    empty, silent, invented = Score(), Score(gold=2), Score(predicted=2)
    assert [s.precision for s in (empty, silent, invented)] == [0.0, 0.0, 0.0]
    assert [s.recall for s in (empty, silent, invented)] == [0.0, 0.0, 0.0]
    assert [s.f1 for s in (empty, silent, invented)] == [0.0, 0.0, 0.0]
    figures = ("precision", "recall", "f1")
    assert [[s.as_json()[f] for f in figures] for s in (empty, silent, invented)] == [
        [None, None, None],
        [None, 0.0, 0.0],
        [0.0, None, 0.0],
    ]
    assert ratio(0, 0) is None
    assert ratio(3, 4) == 0.75
    assert harmonic(0.0, 0.0) == 0.0


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_counts_that_cannot_be_are_refused(correct, predicted, gold):
    if correct <= min(predicted, gold):
        score = Score(correct, predicted, gold)
        assert 0.0 <= min(score.precision, score.recall) <= score.f1 + 1e-12
        assert score.f1 <= max(score.precision, score.recall) + 1e-12
        return
    with pytest.raises(ValueError, match=f"correct={correct}, predicted={predicted}, gold={gold}"):
        Score(correct, predicted, gold)


def test_negative_counts_are_refused():
    for counts in ((-1, 0, 0), (0, -1, 0), (0, 0, -1)):
        with pytest.raises(ValueError, match="expected 0 <= correct"):
            Score(*counts)


def test_scores_add_up_and_nothing_else_does():
    scores = [Score(1, 2, 4), Score(3, 5, 9)]
    assert sum(scores) == scores[0] + scores[1] == Score(4, 7, 13)
    for other in (1, "a", None):
        with pytest.raises(TypeError):
            scores[0] + other
    with pytest.raises(TypeError):
        1 + scores[0]


def test_means_over_labels_by_hand():
    labels = {"A": Score(1, 1, 2), "B": Score(3, 4, 6), "C": Score()}
    a, b = labels["A"], labels["B"]
    assert macro(labels) == Average(
        (1 + 0.75 + 0) / 3, (0.5 + 0.5 + 0) / 3, pytest.approx((a.f1 + b.f1) / 3), 8
    )
    assert weighted(labels) == Average(
        (2 * 1 + 6 * 0.75) / 8, 0.5, pytest.approx((2 * a.f1 + 6 * b.f1) / 8), 8
    )
    assert macro({}) == weighted({}) == Average(0.0, 0.0, 0.0, 0)
    assert weighted({"A": Score(0, 3, 0)}) == Average(0.0, 0.0, 0.0, 0)
    assert macro(labels).as_json()["gold"] == 8
    assert not math.isnan(macro({}).as_json()["f1"])
    with pytest.raises(AttributeError):
        a.correct = 2
