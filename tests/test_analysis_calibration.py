"""Temperatures and thresholds are fitted to development data and stored with the model."""

import json

import numpy as np
import pytest
import torch
from training_runs import config

from ner.analysis.calibration import fit_temperature, reaching, thresholds
from ner.cli import main
from ner.config import dump
from ner.crf import viterbi
from ner.crf.core.forward_backward import LogSpace
from ner.crf.core.spans import span_probability
from ner.evaluation import Score, evaluate
from ner.formats import read, write
from ner.inference import Decoding
from ner.inference.decoding import VITERBI
from ner.inference.plain import spans_of
from ner.inference.span_decoder import SpanDecoder
from ner.native import described
from ner.network import build
from ner.sample import path as sample_path
from ner.sentence import Sentence
from ner.tagger import Tagger, load

SMALL = {
    "embeddings": {
        "words": {"width": 12},
        "characters": {"width": 8},
        **dict.fromkeys(("affixes", "document", "topic"), False),
    },
    "encoder": {"width": 10},
}


@pytest.fixture(scope="module")
def network(toy):
    torch.manual_seed(3)
    network = build(toy, **SMALL).eval()
    with torch.no_grad():
        network.projection.weight.normal_(0.0, 1.0)
    return network


def sampled(network, toy, temperature, count=300):
    """Sentences annotated by drawing from the network's own distribution at a temperature."""
    random = np.random.default_rng(0)
    words = sorted({word for sentence in toy for word in sentence.tokens})
    bare = [Sentence(tuple(random.choice(words, 8).tolist())) for _ in range(count)]
    with torch.inference_mode():
        chain = Decoding(temperature=temperature).tempered(network(network.batch(bare)))
        paths = chain.sample(1, torch.Generator().manual_seed(0)).tags[:, 0].tolist()
    return [
        Sentence(s.tokens, network.scheme.decode([network.tags[tag] for tag in path]))
        for s, path in zip(bare, paths, strict=True)
    ]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_annotation_was_drawn_at_is_found(network, toy, temperature):
    found = fit_temperature(network, sampled(network, toy, temperature))
    assert found == pytest.approx(temperature, rel=0.1)


def test_a_temperature_needs_annotation(network, toy):
    with pytest.raises(ValueError, match="annotated"):
        fit_temperature(network, [Sentence(("Ada",))])


def test_recall_falls_as_the_threshold_rises(network, toy):
    found = thresholds(network, Decoding(), sampled(network, toy, 1.0))
    recalls = [score.recall for _, score in found]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] > recalls[-1]


def test_the_threshold_reaches_what_is_asked_for_and_no_more():
    chosen = [Decoding("posterior", threshold=t) for t in (0.1, 0.5, 0.9)]
    scores = [Score(9, 20, 10), Score(8, 10, 10), Score(5, 5, 10)]
    found = list(zip(chosen, scores, strict=True))
    assert reaching(found, recall=0.8, precision=None) == found[1]
    assert reaching(found, recall=None, precision=0.8) == found[1]
    assert reaching(found, recall=None, precision=0.9) == found[2]
    with pytest.raises(ValueError, match=r"recall of 0\.95; the highest recall is 0\.9"):
        reaching(found, recall=0.95, precision=None)


def test_calibrate_stores_what_it_found(network, toy, tmp_path, capsys):
    model, dev = tmp_path / "model", tmp_path / "dev.conll"
    Tagger(network, config={"training": {"seed": 7}}).save(model, texts={"log.txt": "kept"})
    write(dev, sampled(network, toy, 2.0, 100))
    assert main(["calibrate", str(model), str(dev), "--recall", "0.1", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    again = load(model)
    assert told["temperature"] == again.decoding.temperature > 1.2
    assert told["threshold"] == again.decoding.threshold
    assert told["development"]["recall"] >= 0.1
    assert again.config == {"training": {"seed": 7}}
    assert (model / "log.txt").read_text() == "kept"
    assert main(["calibrate", str(model), str(dev), "--output", str(tmp_path / "other")]) == 0
    assert "temperature" in capsys.readouterr().out
    assert load(tmp_path / "other").decoding.decode == "viterbi"
    assert main(["calibrate", str(model), str(dev), "--precision", "2"]) == 2


def test_calibrate_loses_no_file_that_is_none_of_the_model(network, toy, tmp_path, capsys):
    model, dev = tmp_path / "model", tmp_path / "dev.conll"
    Tagger(network).save(model)
    (model / "notes.bin").write_bytes(b"\xff")
    write(dev, toy)
    assert main(["calibrate", str(model), str(dev)]) == 2
    assert "notes.bin does not belong to the model" in capsys.readouterr().err
    assert (model / "notes.bin").read_bytes() == b"\xff"
    assert main(["calibrate", str(model), str(dev), "--output", str(tmp_path / "other")]) == 0


def test_sentences_without_an_entity_fit_no_temperature(network):
    with pytest.raises(
        ValueError, match="cannot fit a temperature: the sentences contain no entities"
    ):
        fit_temperature(network, [Sentence(("nobody",), ())])


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A tagger that has learnt a little of the bundled corpus."""
    folder = tmp_path_factory.mktemp("learnt")
    settings = config(epochs=3, batch_size=8)
    settings["data"] = {"train": "sample:train"}
    (folder / "config.yaml").write_text(dump(settings), encoding="utf-8")
    model = str(folder / "model")
    assert main(["train", str(folder / "config.yaml"), "--output", model, "--quiet"]) == 0
    return model


@pytest.mark.parametrize(("wanted", "more"), [("recall", -0.02), ("precision", 0.02)])
def test_tagging_reaches_what_calibrate_was_asked_for(learnt, tmp_path, capsys, wanted, more):
    development, model = str(sample_path("development")), str(tmp_path / "model")

    def tagged(directory, *settings):
        path = tmp_path / "tagged.conll"
        files = [development, "--from", "conll", "--to", "conll", "--output", str(path)]
        assert main(["tag", directory, *files, "--quiet", *settings]) == 0
        return evaluate([s.spans for s in gold], [s.spans for s in read(path, tag_column=2)]).exact

    gold = list(read(development))
    before = tagged(learnt)
    asked = getattr(before, wanted) + more
    command = ["calibrate", learnt, development, f"--{wanted}", f"{asked:.4f}", "--output", model]
    assert main([*command, "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    after = tagged(model)
    assert getattr(after, wanted) >= asked - 1e-4
    assert after != before
    assert [after.precision, after.recall, after.f1] == list(told["development"].values())
    assert tagged(model, "--threshold", "1").predicted < after.predicted  # the stored one is used
    assert tagged(learnt) == before  # --output leaves the model as it was
    assert main([*command[:4], "1", "--output", str(tmp_path / "none")]) == 2
    assert f"no threshold reaches a {wanted} of 1.0" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_bench_measures(network, toy, tmp_path, capsys):
    model, file = tmp_path / "model", tmp_path / "dev.conll"
    Tagger(network).save(model)
    write(file, toy)
    assert main(["bench", str(model), str(file), "--rounds", "1", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tokens"] == sum(map(len, toy))
    assert told["tokens_per_second_warm"] > 0
    assert told["latency_ms_median"] <= told["latency_ms_p95"]
    assert main(["bench", str(model), str(file), "--rounds", "0"]) == 2


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_probabilities_are_those_of_the_chain(toy, scheme):
    torch.manual_seed(0)
    network = build(toy, scheme=scheme, **SMALL).eval()
    lengths = np.array([9, 9, 4, 1])
    with torch.inference_mode():
        for scale in (1.0, 30.0):
            emissions = scale * torch.randn(4, 9, len(network.tags))
            chain = network.crf.chain(emissions, torch.from_numpy(lengths))
            expected = [s.score for spans in spans_of(chain, network, VITERBI) for s in spans]
            found = _found(network, chain, lengths)
            own = SpanDecoder(network.scheme, network.labels).probabilities(chain.arrays(), found)
            np.testing.assert_allclose(own, expected, atol=1e-6)


@pytest.mark.parametrize(("emission", "move"), [(2000.0, 0.0), (0.0, 2000.0)])
def test_scores_beyond_float64_have_exact_probabilities_all_the_same(network, emission, move):
    emissions = torch.full((1, 2, len(network.tags)), -emission)
    emissions[:, :, network.tags.index("I-PER")] = emission  # cannot begin a sentence
    with torch.no_grad():
        chain = network.crf.chain(emissions, torch.tensor([2]))
    parts = (chain.transitions + move, chain.start + move, chain.end + move)
    scores = type(chain)(emissions, *parts, chain.lengths).arrays()
    found = _found(network, chain, np.array([2]))
    decoder = SpanDecoder(network.scheme, network.labels)
    messages = LogSpace.of(scores).messages()
    right = span_probability(scores, messages, found, network.span_tags.table())
    assert len(found)
    assert decoder.probabilities(scores, found) == pytest.approx(right.tolist(), abs=1e-6)


def _found(network, chain, lengths):
    from ner.inference.span_decoder import SpanExtractor

    tags = viterbi(chain).tags.numpy()
    inside = np.arange(tags.shape[1]) < lengths[:, None]
    return SpanExtractor(network.scheme, network.tags, network.labels).find(tags[inside], lengths)


def test_bench_compares_with_the_plain_tagger(network, toy, tmp_path, capsys):
    model, file = tmp_path / "model", tmp_path / "toy.conll"
    Tagger(network).save(model)
    write(file, toy)
    arguments = ["bench", str(model), str(file), "--rounds", "1", "--against", "plain"]
    assert main([*arguments, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sentences_that_differ"] == 0
    for way in ("cold", "warm", "with_scores"):
        assert found[f"{way}_times_plain"] > 0.0
    assert found["latency_of_plain"] > 0.0
    assert found["kernels"] == described()
