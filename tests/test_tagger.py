"""The tagger: what it finds, what it stores, and that it can be copied, pickled and shared."""

import pickle
import subprocess
import sys
from copy import deepcopy
from itertools import product

import pytest
import torch

from ner.inference import Decoding, FastEngine, PlainEngine
from ner.network import build
from ner.sentence import Sentence
from ner.tagger import ModelError, Tagger, load

SMALL = {
    "embeddings": {"words": {"width": 12}, "characters": {"width": 8}, "document": {"width": 6}},
    "encoder": {"width": 10},
}


@pytest.fixture
def tagger(toy):
    torch.manual_seed(3)
    network = build(toy, **SMALL).eval()
    with torch.no_grad():
        network.projection.weight.normal_(0.0, 2.0)
    return Tagger(network)


def test_lists_of_tokens_are_sentences(tagger, toy):
    sentences = [Sentence(sentence.tokens) for sentence in toy]
    found = tagger.predict([list(sentence.tokens) for sentence in toy])
    assert found == tagger.predict(sentences) == PlainEngine(tagger.network).predict(sentences)
    assert any(found)


@pytest.mark.parametrize("ask", ["predict", "alternatives"])
def test_a_text_is_refused_and_not_read_by_characters(tagger, ask):
    more = {"alternatives": (2,)}.get(ask, ())
    with pytest.raises(TypeError, match="got the string 'Obi left'"):
        getattr(tagger, ask)(["Obi left"], *more)


def test_to_load_and_tag_takes_no_compiler(tagger, tmp_path):
    """Whose import takes longer than torch itself."""
    tagger.save(tmp_path / "model")
    code = (
        "import sys, ner; ner.load(sys.argv[1]).predict([['Ada'], ['a', 'b']]);"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model")], check=True)


def test_nothing_is_found_in_nothing(tagger):
    assert tagger.predict([]) == []
    assert tagger.predict([[]]) == [()]


def test_the_engine_stays_until_it_no_longer_fits(tagger, toy):
    first = tagger.engine()
    assert isinstance(first, FastEngine)
    assert tagger.engine() is first
    tagger.decoding = Decoding("posterior")
    second = tagger.engine()
    assert second is not first
    assert second.decoding.decode == "posterior"
    tagger.network = tagger.network.double()
    assert isinstance(tagger.engine(), PlainEngine)


def test_how_it_decodes_is_stored_with_it(tagger, toy, tmp_path):
    tagger.decoding = Decoding("posterior", threshold=0.3, temperature=1.5, min_score=0.35)
    tagger.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.decoding == tagger.decoding
    assert again.predict(toy) == tagger.predict(toy)


def test_a_model_that_says_nothing_of_decoding_is_read(tagger, toy, tmp_path, monkeypatch):
    monkeypatch.setattr("ner.tagger.asdict", lambda decoding: {})
    tagger.save(tmp_path / "model")
    assert load(tmp_path / "model").decoding == Decoding()
    monkeypatch.setattr("ner.tagger.asdict", lambda decoding: {"temperature": -1.0})
    tagger.save(tmp_path / "odd")
    with pytest.raises(ModelError, match="temperature"):
        load(tmp_path / "odd")


@pytest.mark.parametrize("copied", [deepcopy, lambda tagger: pickle.loads(pickle.dumps(tagger))])
def test_a_used_tagger_can_be_copied(tagger, toy, copied):
    found = tagger.predict(toy)
    assert copied(tagger).predict(toy) == found


def test_a_stream_of_tokens_is_tagged_as_a_sentence(tagger, toy):
    tokens = [token for sentence in toy for token in sentence.tokens]
    pieces = list(tagger.stream(iter(tokens)))
    assert pieces == [(tuple(tokens), tagger.predict([tokens])[0])]
    tagger.network.double()
    assert list(tagger.stream(iter(tokens))) == [(tuple(tokens), tagger.predict([tokens])[0])]


def test_alternatives_are_all_readings_in_order(tagger):
    """Of two tokens every reading can be listed: their probabilities sum to one."""
    sentence = Sentence(("Obi", "said"))
    readings = tagger.alternatives([sentence, ()], 10_000)
    assert readings[1][0].spans == ()
    probabilities = [reading.probability for reading in readings[0]]
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-6)
    assert probabilities == sorted(probabilities, reverse=True)
    labels = len(tagger.labels)
    assert len(probabilities) == len(list(product(range(labels + 1), repeat=2))) + labels
    assert readings[0][0].spans == tagger.predict([sentence])[0]
    for span in tagger.predict([sentence])[0]:
        total = sum(r.probability for r in readings[0] if span in r.spans)
        assert total == pytest.approx(span.score, abs=1e-6)
    with pytest.raises(ValueError, match="at least 1"):
        tagger.alternatives([sentence], 0)
