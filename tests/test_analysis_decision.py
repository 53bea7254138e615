"""The decoding that development sentences choose: what it is, and that every engine honours it."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from training_runs import config

import ner
from ner.analysis.alternatives import ClampedEngine
from ner.analysis.calibration import LEAST, TEMPERATURES, Chooser, Lattices, choose_decoding, fitted
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


def test_thresholds_of_labels_are_kept_only_if_they_are_better_on_other_folds(
    network, development, monkeypatch
):
    chooser = Chooser(Lattices(network, development))
    labelled = chooser.fit_labels()
    assert labelled.label_thresholds
    assert Decoding.read(asdict(labelled)) == labelled
    for better, expected in ((0.9, labelled), (0.1, chooser.fit())):
        folds = {
            True: Score(9, 10, 10) if better > 0.5 else Score(1, 10, 10),
            False: Score(5, 10, 10),
        }
        monkeypatch.setattr(chooser, "_cross_fitted", folds)
        assert chooser.best() == expected
    with pytest.raises(ner.errors.ConfigError, match="labels with thresholds"):
        Decoding(label_thresholds={"PER": 2.0})
