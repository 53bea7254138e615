"""A model directory is tagged with by numpy as by torch, and only where torch would accept it."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_transformers import transformer_settings

import ner
from ner import native, stored
from ner import network as networks
from ner.inference import FastEngine, PlainEngine
from ner.inference.cpu_network import StoredEngine
from ner.network import Ensemble, build
from ner.sentence import Sentence, in_document
from ner.tagger import Tagger

if native.kernels is None:
    pytest.skip("ner._native was not built", allow_module_level=True)

TABLE = {"words": ["Ada", "obi", "2-1"], "rows": [0, 1, 0], "vectors": np.eye(2, 5).tolist()}
FEW = {"words": {"width": 12}, "characters": {"width": 8}, "affixes": False, "document": False}
NETWORKS = {
    "default": {},
    "topic": {"embeddings": {"topic": {}}},
    "pairs": {"embeddings": {"pairs": {"min_count": 1}}},
    "columns": {"embeddings": {"columns": {}, "document": False}},
    "gazetteers": {"embeddings": {"gazetteers": {}}},
    "vectors": {"embeddings": {"vectors": {"table": TABLE}}},
    "pretrained": {"embeddings": {"pretrained": {"projection": 3}}},
    "text vectors": {"embeddings": {"text_vectors": {"kind": "pretrained"}}},
    "two tables": {"embeddings": {"pretrained": {}, "words2": {"kind": "words", "width": 3}}},
    "window": {"embeddings": {"characters": {"window": 5, "width": 7}}},
    "rare words": {"embeddings": {"words": {"rare_dropout": 0.3}}},
    "one way": {"encoder": {"bidirectional": False, "width": 9}},
    "three layers": {"encoder": {"layers": 3, "width": 9}},
    "BIO": {"scheme": "BIO", "crf": False},
}


@pytest.fixture(scope="module")
def corpus(toy):
    """The toy sentences with a column, and unknown, long and empty ones."""
    words = [word for sentence in toy for word in sentence.tokens]
    words += ["Zzyzx", "3.14", "ünï", "x" * 40]
    random = np.random.default_rng(0)
    more = [Sentence(tuple(random.choice(words, n).tolist())) for n in (0, 1, 2, 30, 90)]
    return [
        Sentence(
            one.tokens,
            one.spans,
            columns={"pos": tuple("NV"[len(t) % 2] for t in one.tokens)},
            document=one.document,
            position=one.position,
        )
        for one in (*toy, *in_document(more))
    ]


@pytest.fixture(scope="module", params=[{}, {"projection": 2}], ids=["kept", "projected"])
def referring(request, tmp_path_factory):
    """Settings of a network that refers to a file of vectors."""
    own = transformer_settings("referenced", tmp_path_factory)
    return {"embeddings": {"text_vectors": {"kind": "referenced", **own, **request.param}}}


def test_a_network_that_refers_to_a_file_is_tagged_with_by_numpy(corpus, referring, tmp_path):
    test_numpy_finds_what_torch_finds(corpus, referring, tmp_path)
    test_it_expects_the_weights_that_torch_expects(corpus, referring)


def random_network(corpus, settings, seed=0):
    torch.manual_seed(seed)
    network = build(corpus[:-5], **settings).eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.randn_like(weights) * 0.5)
        for part in network.modules():
            if getattr(part, "padding_idx", None) is not None:
                part.weight[part.padding_idx] = 0.0
    return network


def saved(network, path):
    Tagger(network, decoding=ner.tagger.Decoding("posterior", threshold=0.3)).save(path)
    return ner.load(path)


def assert_same(tagger, network, sentences):
    engine = tagger.engine()
    assert isinstance(engine, StoredEngine)
    expected = PlainEngine(network, tagger.decoding).predict(sentences)
    one_by_one = [engine.predict([sentence])[0] for sentence in sentences]
    assert sum(map(len, expected))
    for found in (engine.predict(sentences), one_by_one):
        assert found == expected
        for own, wanted in zip(found, expected, strict=True):
            for a, b in zip(own, wanted, strict=True):
                assert abs(a.score - b.score) < 1e-5


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_numpy_finds_what_torch_finds(corpus, settings, tmp_path):
    network = random_network(corpus, settings)
    tagger = saved(network, tmp_path / "m")
    assert_same(tagger, network, corpus)
    assert (tagger.labels, tagger.scheme) == (network.labels, network.scheme)
    assert tagger.embeddings == tuple(network.named_embeddings())
    assert tagger.columns == (("pos",) if "columns" in tagger.embeddings else ())
    assert repr(tagger) == repr(Tagger(network, decoding=tagger.decoding))


def test_members_alike_or_not_are_averaged(corpus, tmp_path):
    ways = [{}, {}, {"embeddings": FEW}, {"encoder": {"layers": 2, "width": 7}}]
    every = [random_network(corpus, way, seed) for seed, way in enumerate(ways)]
    for members in (every[:2], every):
        network = Ensemble(members).eval()
        assert_same(saved(network, tmp_path / "m"), network, corpus)


@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_it_expects_the_weights_that_torch_expects(corpus, settings):
    for network in (build(corpus, **settings), build(corpus, **settings, members=2)):
        described = json.loads(json.dumps(network.settings()))
        expected = [(n, tuple(tensor.shape)) for n, tensor in networks.plan(described)]
        assert list(stored.shapes_of(described, stored.plan(described))) == expected


@pytest.mark.parametrize(
    "settings",
    [{"embeddings": {"character_lstm": {}}}, {"encoder": False}, {"encoder": {"layers": 9}}],
)
def test_what_numpy_does_not_know_is_left_to_torch(corpus, settings, tmp_path):
    network = build(corpus, **settings).eval()
    assert stored.plan(json.loads(json.dumps(network.settings()))) is None
    tagger = saved(network, tmp_path / "m")
    assert isinstance(tagger.engine(), FastEngine | PlainEngine)
    assert tagger.predict(corpus) == PlainEngine(network, tagger.decoding).predict(corpus)


ODD = [None, True, -1, 0, 1, 2, 1.5, 99, 10**30, "x", "values", "", [], ["a", "a"], [0, 9], {}]


@given(st.data())
def test_what_numpy_accepts_torch_accepts(settings_of_all, data):
    changed = copy.deepcopy(data.draw(st.sampled_from(settings_of_all)))
    place = changed
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(min(len(place), 3))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    change = data.draw(st.sampled_from(["replace", "remove", "rename", "add"]))
    if change in ("replace", "add") or isinstance(place, list):
        place[key] = data.draw(st.sampled_from(ODD))
    else:
        value = place.pop(key)
        if change == "rename":
            place[data.draw(st.sampled_from(["values", "a.b", "", "words9", "pop"]))] = value
    plans = stored.plan(changed)
    if plans is not None:
        expected = [(n, tuple(tensor.shape)) for n, tensor in networks.plan(changed)]
        assert list(stored.shapes_of(changed, plans)) == expected


@pytest.fixture(scope="module")
def settings_of_all(corpus):
    every = [build(corpus, **one) for one in NETWORKS.values()]
    every.append(Ensemble([every[0], build(corpus, embeddings=FEW)]))
    return [json.loads(json.dumps(one.settings())) for one in every]


def test_the_network_is_built_when_it_is_asked_for(corpus, tmp_path):
    network = random_network(corpus, {})
    tagger = saved(network, tmp_path / "m")
    expected = tagger.predict(corpus)
    assert pickle.loads(pickle.dumps(tagger)).predict(corpus) == expected
    with torch.no_grad():
        tagger.network.stacks[0].projection.bias[0] += 100.0
    assert not any(tagger.predict(corpus))
    assert tagger.network.settings() == network.settings()
    assert any(expected)


def test_a_model_directory_is_tagged_with_without_torch(small_model, tmp_path):
    text = tmp_path / "one.txt"
    text.write_text("Ada Obi joined Kestrel Foods in Accra.\n", encoding="utf-8")
    code = f"""
import sys, ner
from ner.cli import main
tagger = ner.load({str(small_model)!r}, device="cpu")
assert tagger.tag("Ada Obi joined Kestrel Foods in Accra.").entities
assert repr(tagger) and tagger.metrics is not None and tagger.columns == ()
assert tagger.redact("Ada Obi left.", "mask").text
assert main(["tag", {str(small_model)!r}, {str(text)!r}, "--device", "cpu", "--quiet"]) == 0
assert main(["redact", {str(small_model)!r}, {str(text)!r}, "--device", "cpu"]) == 0
assert not {{"torch", "spacy"}} & set(sys.modules)
tagger.network
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


NOT_TO_START = {
    "torch", "spacy", "yaml", "onnxruntime", "safetensors.numpy", "tokenizers", "tqdm", "filelock",
    "logging", "tempfile", "secrets", "gzip", "csv", "difflib", "html", "multiprocessing",
    "importlib.metadata", "numpy.random", "numpy.ma", "numpy.testing", "ner.config",
    "ner.runtime", "ner.formats.kinds", "ner.formats.records", "ner.evaluation.report",
    "ner.crf.core.decoding", "ner.crf.core.forward_backward", "ner.crf.core.short_sentence",
}  # fmt: skip


def test_a_line_is_tagged_from_a_cold_start_without_what_takes_long_to_import(small_model):
    code = f"""
import sys
from ner.cli import main
assert main(["tag", {str(small_model)!r}, "-", "--device", "cpu", "--quiet"]) == 0
sys.exit(", ".join({NOT_TO_START!r} & sys.modules.keys()))
"""
    line = "Ada Obi joined Kestrel Foods in Accra.\n"
    done = subprocess.run(
        [sys.executable, "-c", code], input=line, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
    assert "Kestrel" in done.stdout
