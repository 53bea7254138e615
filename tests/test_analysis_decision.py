"""The decoding that development sentences choose: what it is, and that every engine honours it."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from training_runs import config

import ner
from ner.analysis.alternatives import ClampedEngine
from ner.analysis.calibration import (
    LEAST,
    TEMPERATURES,
    Chooser,
    Lattices,
    choose_decoding,
    fitted,
    gain_of,
)
from ner.evaluation import Score, evaluate
from ner.inference import Decoding, FastEngine, PlainEngine
from ner.inference.decoding import VITERBI
from ner.network import build
from ner.sample import path as sample_path
from ner.sentence import Sentence
from ner.tagger import Tagger
from ner.training import Run, read_settings
from ner.training.corpora import Corpora

SMALL = {
    "embeddings": {
        "words": {"width": 12},
        "characters": {"width": 8},
        **dict.fromkeys(("affixes", "document", "topic"), False),
    },
    "encoder": {"width": 10},
}


@pytest.fixture(scope="module")
def development():
    return tuple(ner.read(sample_path("development")))


@pytest.fixture(scope="module")
def network(development):
    torch.manual_seed(3)
    network = build(development, **SMALL).eval()
    with torch.no_grad():
        network.projection.weight.normal_(0.0, 4.0)
        network.projection.bias[0] = 2.0
    return network


def test_the_temperature_is_where_a_parabola_has_its_least():
    losses = 3.0 + (1.0 / TEMPERATURES - 1.0 / 1.7) ** 2
    assert fitted(losses) == pytest.approx(1.7)


def test_lattices_predict_what_the_engine_predicts(network, development):
    lattices = Lattices(network, development)
    for decoding in (VITERBI, Decoding("posterior", 0.3, 1.4), Decoding(miss_cost=9.0)):
        assert lattices.predict(decoding) == FastEngine(network, decoding).predict(development)
        score = evaluate(development, lattices.predict(decoding)).exact
        assert Score(*lattices.counts(decoding).sum(0).tolist()) == score


def test_spans_counted_at_a_threshold_are_those_of_posterior_decoding(network, development):
    lattices = Lattices(network, development)
    everywhere = np.ones(len(development), bool)
    for cost in (1.0, 8.0):
        way = Decoding("posterior", temperature=1.3, miss_cost=cost)
        spans = lattices.probable(way, 0.1)
        for threshold in (0.1, 0.25, 0.5):
            counts = lattices.counts(replace(way, threshold=threshold)).sum(0)
            assert spans.counts(threshold, everywhere).tolist() == counts[:2].tolist()


def test_the_threshold_is_half_of_the_f1_it_reaches(network, development):
    chooser = Chooser(Lattices(network, development))
    chosen = chooser.fit()
    report = chooser.report(chosen)
    if chosen.decode == "posterior":
        assert chosen.threshold == pytest.approx(max(report.f1 / 2, LEAST), abs=0.02)
    assert report.f1 >= report.best_path
    assert 0.0 <= report.cross_fitted <= 1.0


def test_too_few_entities_choose_nothing(network):
    few = [Sentence(("Ada", "spoke"), ())]
    assert choose_decoding(Lattices(network, few)) == VITERBI


@pytest.mark.parametrize("decode", ["viterbi", "posterior", "greedy"])
def test_every_engine_charges_o_for_misses(network, development, decode):
    found = {}
    for cost in (1.0, 50.0):
        decoding = Decoding(decode, 0.4, 1.2, miss_cost=cost)
        plain = PlainEngine(network, decoding).predict(development)
        assert FastEngine(network, decoding).predict(development) == plain
        opened = [
            replace(s, spans=(), unknown=frozenset(range(len(s))), tags=None) for s in development
        ]
        assert ClampedEngine(Tagger(network), decoding).predict(opened) == plain
        found[cost] = sum(s.end - s.start for spans in plain for s in spans)
    assert found[50.0] > found[1.0]


def test_a_cost_leaves_probabilities_as_they_are(network, development):
    plain = {}
    for cost in (1.0, 3.0):
        found = FastEngine(network, Decoding(miss_cost=cost)).predict(development)
        plain[cost] = {
            (row, s.start, s.end, s.label): s.score for row, own in enumerate(found) for s in own
        }
    both = plain[1.0].keys() & plain[3.0].keys()
    assert both
    assert all(plain[1.0][key] == pytest.approx(plain[3.0][key], abs=1e-6) for key in both)


def test_training_decides_stores_and_reports_it(development, tmp_path):
    train = tuple(ner.read(sample_path("train")))[:200]
    settings = read_settings(
        {**config(epochs=2, batch_size=8), "decoding": "auto"}, output=str(tmp_path / "model")
    )
    run = Run(settings, device="cpu", corpora=Corpora(train, development, ()))
    list(run)
    saved = ner.load(tmp_path / "model")
    assert run.best.decoding == saved.decoding != VITERBI
    known = saved.metrics["decoding"]
    assert known["development"]["f1"] == saved.metrics["development"]["f1"]
    assert "cross-fitted" in (tmp_path / "model" / "README.md").read_text()
    assert saved.config["decoding"] == "auto"
    assert type(run.best).from_json(run.best.as_json()) == run.best


@pytest.mark.parametrize("given", ["auto", None, {"decode": "auto"}])
def test_auto_is_the_default_and_a_setting_of_it_can_be_fixed(given):
    raw = {**config(), "decoding": given}
    assert read_settings(raw).decoding is None
    assert read_settings(config()).decoding is None
    if given != {"decode": "auto"}:
        assert read_settings(raw, ["decoding.decode=viterbi"]).decoding == VITERBI


def test_thresholds_of_labels_are_those_of_every_engine(network, development):
    """With an equal threshold for all labels they change nothing."""
    first, second, *_ = network.labels
    way = Decoding("posterior", 0.3, 1.3, label_thresholds={first: 0.1, second: 0.7})
    fast = FastEngine(network, way).predict(development)
    lattices = Lattices(network, development)
    assert lattices.predict(way) == fast
    for own, plain in zip(fast, PlainEngine(network, way).predict(development), strict=True):
        assert own == plain
    least = {label: way.label_thresholds.get(label, 0.3) for label in network.labels}
    found = [span for spans in fast for span in spans]
    assert all(span.score >= least[span.label] - 1e-6 for span in found)
    assert any(span.score < 0.3 for span in found if span.label == first)
    alike = replace(way, label_thresholds=dict.fromkeys(network.labels, 0.3))
    assert lattices.predict(alike) == lattices.predict(replace(way, label_thresholds={}))
    spans = lattices.probable(way, 0.05)
    everywhere = np.ones(len(development), bool)
    counted = spans.counts(way.thresholds(network.labels), everywhere).tolist()
    assert counted == lattices.counts(way).sum(0)[:2].tolist()


def test_thresholds_of_labels_are_chosen_only_if_they_gain_more_than_chance(
    network, development, monkeypatch
):
    """Thresholds of labels have to gain two standard errors."""
    chooser = Chooser(Lattices(network, development))
    everywhere = np.ones(len(development), bool)
    posterior, labelled = chooser.fit_posterior(everywhere), chooser.fit_labels(everywhere)
    assert labelled.label_thresholds
    assert Decoding.read(asdict(labelled)) == labelled
    base = np.tile([5, 8, 10], (len(development), 1))
    lost = base.copy()
    lost[::2, 0] -= 1  # as many are lost as are found: no gain, some error
    lost[1::2, 0] += 1
    lost[1, 0] += 1  # little more
    monkeypatch.setattr(chooser, "_best_path", base)
    best_path = Decoding(temperature=posterior.temperature)
    another = np.array([1, 1, 0])  # correct span in every sentence
    more = base + another
    for posteriors, labels, expected in (
        (base, base, best_path),
        (base, lost, best_path),
        (more, more + lost - base, posterior),
        (more, more, posterior),
        (more, more + another, labelled),
        (base, more, labelled),
    ):
        found = {"fit_posterior": posteriors, "fit_labels": labels}
        monkeypatch.setattr(chooser, "_crossed", found)
        assert chooser.best() == expected
    assert chooser.report(best_path).cross_fitted == chooser.report(best_path).best_path
    with pytest.raises(ner.errors.ConfigError, match="labels with thresholds"):
        Decoding(label_thresholds={"PER": 2.0})


def test_the_error_of_a_gain_is_that_of_the_bootstrap():
    rng = np.random.default_rng(1)
    units = np.repeat(np.arange(300), 2)
    gold = rng.integers(0, 5, 600)
    first, second = (
        np.stack([rng.binomial(gold, p), rng.binomial(gold, q) + rng.binomial(gold, p), gold], 1)
        for p, q in ((0.7, 0.2), (0.8, 0.25))
    )
    first[:, 1], second[:, 1] = (np.maximum(c[:, 0], c[:, 1]) for c in (first, second))
    gain, error = gain_of(second, first, units)

    def f1(counts):
        correct, predicted, total = counts.sum(0)
        return 2.0 * correct / (predicted + total)

    assert gain == pytest.approx(f1(second) - f1(first))
    gains = []
    for _ in range(2_000):
        weights = np.repeat(rng.multinomial(300, np.full(300, 1 / 300)), 2)[:, None]
        gains.append(f1(weights * second) - f1(weights * first))
    assert error == pytest.approx(np.std(gains), rel=0.1)
    assert gain_of(first, first, units) == (0.0, 0.0)
