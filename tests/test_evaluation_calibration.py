"""Scores of spans: scikit-learn is the oracle of the area, simulated scores that of the error."""

from random import Random

import pytest
from sklearn.metrics import roc_auc_score

from ner.evaluation import evaluate
from ner.evaluation.calibration import POINTS, calibrate, thinned
from ner.evaluation.pairs import pair_up
from ner.sentence import Span


def scored(rng, number, truth, digits=2):
    """Sentences of one span each, predicted with a score that is right as often as it says."""
    gold, predicted = [], []
    for _ in range(number):
        score = round(rng.random(), digits)
        right = rng.random() < truth(score)
        gold.append((Span(0, 1, "PER" if right else "ORG"),))
        predicted.append((Span(0, 1, "PER", score),))
    return pair_up(gold, predicted)


def test_the_area_is_that_of_scikit_learn():
    for seed in range(30):
        pairs = scored(Random(seed), 60, lambda score: score, digits=1)
        right = [pair.gold == pair.predicted for pair in pairs]
        said = roc_auc_score(right, [pair.predicted[0].score for pair in pairs])
        assert calibrate(pairs).auc == pytest.approx(said, abs=1e-12)


def test_scores_that_mean_what_they_say_have_no_error():
    honest = calibrate(scored(Random(1), 20_000, lambda score: score))
    assert honest.error < 0.02
    proud = calibrate(scored(Random(1), 20_000, lambda score: score / 2))
    assert proud.error == pytest.approx(0.25, abs=0.02)
    assert proud.brier > honest.brier


def test_bins_are_counted_by_hand():
    pairs = pair_up(
        [(Span(0, 1, "A"), Span(1, 2, "A"), Span(2, 3, "A"), Span(3, 4, "A"))],
        [(Span(0, 1, "A", 1.0), Span(1, 2, "A", 0.9), Span(2, 3, "B", 0.95), Span(3, 4, "A", 0.1))],
    )
    found = calibrate(pairs)
    assert [one.spans for one in found.bins] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.bins[9].score == pytest.approx((1.0 + 0.9 + 0.95) / 3)
    assert found.bins[9].right == pytest.approx(2 / 3)
    assert found.error == pytest.approx((3 * (0.95 - 2 / 3) + 0.9) / 4)
    assert found.brier == pytest.approx((0 + 0.01 + 0.9025 + 0.81) / 4)
    assert found.auc == pytest.approx(1 / 3)  # the wrong one is above two of the right ones


def test_the_curve_is_the_score_of_what_is_left_above_each_threshold():
    pairs = scored(Random(4), 300, lambda score: score)
    found = calibrate(pairs)
    for point in found.curve[::7]:
        kept = [tuple(s for s in pair.predicted if s.score >= point.threshold) for pair in pairs]
        assert evaluate([pair.gold for pair in pairs], kept).exact == point.score
    assert (
        found.curve[-1].score
        == evaluate([pair.gold for pair in pairs], [pair.predicted for pair in pairs]).exact
    )
    assert found.best.score.f1 == max(point.score.f1 for point in found.curve)
    assert 0.0 < found.average_precision < 1.0


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    curve = calibrate(scored(Random(5), 3000, lambda score: score, digits=6)).curve
    few = thinned(curve)
    assert len(few) == POINTS
    assert (few[0], few[-1]) == (curve[0], curve[-1])


def test_spans_without_a_score_are_left_out_and_counted():
    pairs = pair_up([(Span(0, 1, "A"),)], [(Span(0, 1, "A", 0.8), Span(1, 2, "A"))])
    found = calibrate(pairs)
    assert (found.scored, found.unscored, found.auc) == (1, 1, None)
    assert "predicted spans without a score, ignored here: 1" in found.lines()[-1]
    assert calibrate(pair_up([(Span(0, 1, "A"),)], [(Span(0, 1, "A"),)])) is None


def test_a_score_that_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="a score must be a probability"):
        calibrate(pair_up([()], [(Span(0, 1, "A", 1.5),)]))
