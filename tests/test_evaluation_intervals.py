"""Intervals and paired tests: drawing unit by unit is the oracle."""

import numpy as np
import pytest
from evaluation_samples import random_pair

from ner.evaluation import Score, Settings, evaluate
from ner.evaluation.comparison import compare
from ner.evaluation.intervals import (
    bootstrap,
    by_unit,
    count,
    documents,
    figures,
    middle,
    resample,
)
from ner.evaluation.pairs import Pair, pair_up
from ner.sentence import Sentence, Span, in_document


def corpus(seed, sentences=60):
    gold, predicted = [], []
    for number in range(sentences // 4):
        one, other = random_pair(1000 * seed + number)
        gold += in_document(one)
        predicted += other
    return gold, predicted


def draw_one_by_one(pairs, resamples, seed):
    """F1 of samples drawn sentence by sentence."""
    rng = np.random.default_rng(seed)
    counts = count(pairs, ["PER", "LOC", "ORG", "MISC"]).sum(axis=1)
    for _ in range(resamples):
        rows = rng.integers(len(counts), size=len(counts))
        yield Score(*counts[rows].sum(axis=0).tolist()).f1


def test_resamples_are_distributed_as_if_drawn_one_by_one():
    pairs = pair_up(*corpus(1))
    held = bootstrap(pairs, resamples=20_000, seed=1).overall["f1"]
    plain = np.quantile(list(draw_one_by_one(pairs, 5000, 2)), [0.025, 0.975])
    assert [held.low, held.high] == pytest.approx(plain, abs=0.006)


def test_resampled_sums_are_sums_of_whole_units():
    """Every unit holds one span of its own kind, so a sample of n units sums to n."""
    sums = resample(np.eye(7, dtype=np.int64), 200, np.random.default_rng(0))
    assert (sums.sum(axis=1) == 7).all()
    assert sums.std() > 0


def test_an_interval_holds_the_score_and_repeats_with_its_seed():
    gold, predicted = corpus(2)
    report = evaluate(gold, predicted, settings=Settings(resamples=500, seed=3))
    for name in ("precision", "recall", "f1"):
        held = report.intervals.overall[name]
        assert held.low <= getattr(report.exact, name) <= held.high
    again = bootstrap(report.pairs, resamples=500, seed=3)
    assert again == report.intervals
    assert bootstrap(report.pairs, resamples=500, seed=4) != again
    wide = bootstrap(report.pairs, resamples=500, seed=3, level=0.99).overall["f1"]
    assert wide.low < again.overall["f1"].low
    assert wide.high > again.overall["f1"].high


def test_labels_have_the_intervals_they_have_alone():
    gold, predicted = corpus(3)
    pairs = pair_up(gold, predicted)
    alone = [
        Pair(
            tuple(s for s in pair.gold if s.label == "PER"),
            tuple(s for s in pair.predicted if s.label == "PER"),
        )
        for pair in pairs
    ]
    one = bootstrap(pairs, resamples=20_000).labels["PER"]["f1"]
    other = bootstrap(alone, resamples=20_000).overall["f1"]
    assert [one.low, one.high] == pytest.approx([other.low, other.high], abs=0.01)


def test_documents_are_drawn_whole():
    gold, predicted = corpus(4)
    pairs = pair_up(gold, predicted)
    labels = ["PER", "LOC", "ORG", "MISC"]
    summed = by_unit([count(pairs, labels)], pairs, "document")[0]
    assert len(summed) == documents(pairs) == len({id(s.document) for s in gold})
    assert summed.sum() == count(pairs, labels).sum()
    first = [pair for pair in pairs if pair.sentence.document is gold[0].document]
    assert (summed[0] == count(first, labels).sum(axis=0)).all()
    assert bootstrap(pairs, unit="document", resamples=100).units == len(summed)


def test_without_documents_only_sentences_are_drawn():
    gold, predicted = random_pair(1)
    report = evaluate(gold, predicted)
    assert report.document_intervals is None
    assert "document_intervals" not in report.as_json(full=True)
    with pytest.raises(ValueError, match="'sentence' or 'document', got 'token'"):
        bootstrap(report.pairs, unit="token")


def test_few_units_are_said_to_be_few():
    report = evaluate([[Span(0, 1, "PER")]] * 3, [[Span(0, 1, "PER")]] * 3)
    assert "only 3 sentences: the true interval is wider" in report.intervals.lines()[-1]


def test_what_is_never_defined_has_no_interval():
    held = bootstrap(pair_up([[]], [[]]), resamples=50)
    assert held.overall == {"precision": None, "recall": None, "f1": None}
    assert held.as_json()["macro_f1"] is None
    assert "n/a" in "\n".join(held.lines())


@pytest.mark.parametrize("settings", [{"resamples": 0}, {"level": 1.0}, {"level": 0.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        Settings(**settings)


def tagger(rng, gold, skill):
    """Predictions that are right with a probability, sentence by sentence."""
    return [tuple(span for span in row if rng.random() < skill) for row in gold]


def gold_rows(number):
    return [tuple(Span(at, at + 1, "PER") for at in range(3)) for _ in range(number)]


def test_randomisation_swaps_unit_by_unit():
    rng = np.random.default_rng(0)
    gold = gold_rows(40)
    one, other = (pair_up(gold, tagger(rng, gold, skill)) for skill in (0.6, 0.7))
    result = compare(one, other, resamples=20_000)
    counts = [count(pairs, ["PER"])[:, 0] for pairs in (one, other)]
    observed = abs(Score(*counts[1].sum(0)).f1 - Score(*counts[0].sum(0)).f1)
    as_far = 0
    for _ in range(3000):
        swap = rng.random(len(gold)) < 0.5
        a = np.where(swap[:, None], counts[1], counts[0]).sum(axis=0)
        b = np.where(swap[:, None], counts[0], counts[1]).sum(axis=0)
        as_far += abs(Score(*b).f1 - Score(*a).f1) >= observed - 1e-12
    assert result.overall["f1"].randomisation == pytest.approx(as_far / 3000, abs=0.03)
    assert result.overall["f1"].value == pytest.approx(
        Score(*counts[1].sum(0)).f1 - Score(*counts[0].sum(0)).f1
    )


def test_the_same_predictions_do_not_differ():
    gold, predicted = corpus(5)
    pairs = pair_up(gold, predicted)
    result = compare(pairs, pairs, resamples=200)
    assert result.overall["f1"].randomisation == 1.0
    assert result.overall["f1"].bootstrap == 1.0
    assert result.overall["f1"].interval.as_json() == [0.0, 0.0]
    assert result.inside_noise
    assert result.lines()[-1] == "The predictions are the same."


def test_a_large_difference_is_more_than_noise_and_a_small_one_is_not():
    rng = np.random.default_rng(1)
    gold = gold_rows(300)
    bad, good, alike = (pair_up(gold, tagger(rng, gold, skill)) for skill in (0.5, 0.8, 0.5))
    large = compare(bad, good, resamples=1000)
    assert not large.inside_noise
    assert large.overall["f1"].randomisation < 0.01
    assert large.lines()[-1].startswith("B is better in F1 by")
    assert compare(good, bad, resamples=1000).lines()[-1].startswith("A is better")
    small = compare(bad, alike, resamples=1000)
    assert small.inside_noise
    assert "inside the noise" in small.lines()[-1]
    assert small.as_json()["inside_noise"] is True


def test_p_values_of_two_alike_taggers_are_spread_evenly():
    """Under the null hypothesis a p-value below 0.1 comes up in about one case of ten."""
    rng = np.random.default_rng(2)
    gold = gold_rows(80)
    found = []
    for seed in range(200):
        one, other = (pair_up(gold, tagger(rng, gold, 0.7)) for _ in range(2))
        found.append(compare(one, other, resamples=300, seed=seed).overall["f1"])
    for values in ([f.randomisation for f in found], [f.bootstrap for f in found]):
        assert 0.03 < np.mean(np.array(values) < 0.1) < 0.17
        assert 0.35 < np.mean(np.array(values) < 0.5) < 0.65


def test_documents_are_drawn_in_comparisons_where_they_are_known():
    gold, predicted = corpus(6)
    one, other = pair_up(gold, predicted), pair_up(gold, gold)
    assert compare(one, other, resamples=50).unit == "document"
    assert compare(one, other, resamples=50, unit="sentence").units == len(gold)


def test_only_the_same_gold_can_be_compared():
    with pytest.raises(ValueError, match="different gold spans"):
        compare(pair_up([[]], [[]]), pair_up([[Span(0, 1, "X")]], [[]]))


def test_nothing_to_compare_is_no_error():
    for gold in ([], [Sentence((), ())], [Sentence(("a",), ())]):
        pairs = pair_up(gold, gold)
        assert compare(pairs, pairs, resamples=10).inside_noise


def simulated(rng, documents, sentences=6):
    """Counts of spans in documents some of which are harder, (documents, sentences, 3)."""
    hardness = rng.beta(8, 2, size=(documents, 1))
    gold = rng.poisson(1.6, size=(documents, sentences))
    correct = rng.binomial(gold, hardness)
    wrong = rng.binomial(gold, 0.8 * (1 - hardness))
    return np.stack([correct, correct + wrong, gold], axis=-1)


def coverage(simulations, documents, unit, level=0.95):
    """How often the interval of F1 holds the F1 of texts without end."""
    rng = np.random.default_rng(12)
    truth = figures(simulated(rng, 500_000).sum(axis=(0, 1)))["f1"]
    held = 0
    for _ in range(simulations):
        counts = simulated(rng, documents)
        units = counts.sum(axis=1) if unit == "document" else counts.reshape(-1, 3)
        found = middle(figures(resample(units, 1000, rng))["f1"], level)
        held += found.low <= truth <= found.high
    return held / simulations


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    assert 0.88 <= coverage(120, 80, "document") <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("documents", [60, 230])
def test_intervals_cover_the_truth_as_often_as_they_say(documents):
    """Of 2,000 simulated corpora, 93 to 97 % have the true F1 in their 95 % interval."""
    found = coverage(2000, documents, "document")
    print(f"{documents} documents: {100 * found:.1f} %")
    assert 0.93 <= found <= 0.97


@pytest.mark.slow
def test_drawing_the_sentences_of_documents_promises_too_much():
    """Sentences of a document are alike: drawn one by one they make the interval too narrow."""
    found = coverage(1000, 230, "sentence")
    print(f"drawing sentences: {100 * found:.1f} %")
    assert found < 0.9
