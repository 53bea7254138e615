"""A tok2vec inside the component, of its own or shared with others by a listener."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example
from thinc.api import Model

import ner
from ner.sentence import Sentence
from ner.spacy_component.documents import gold

WIDTH = 12
CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "pretrained_vectors": None,
    "width": WIDTH,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "*"}
TEXT = "Ada Obi joined Kestrel \t Foods in Accra ."


def pipeline(tok2vec):
    """A pipeline in which little but the tok2vec knows one word from another."""
    nlp = spacy.blank("en")
    if tok2vec == LISTENER:
        nlp.add_pipe("tok2vec", config={"model": CNN})
        nlp.add_pipe("tagger")
    model = {
        "@architectures": "ner_crf.BiLSTMCRF.v1",
        "embeddings": {"words": {"width": 1}, "characters": False, "affixes": False},
        "encoder": {"width": 8},
        "tok2vec": tok2vec,
    }
    nlp.add_pipe("ner_crf", config={"model": model})
    return nlp


def examples(nlp, sentences):
    blank = Example(Doc(nlp.vocab, words=[" "]), Doc(nlp.vocab, words=[" "]))
    found = [Example(Doc(nlp.vocab), Doc(nlp.vocab)), blank]
    for sentence in sentences:
        reference = Doc(nlp.vocab, words=sentence.tokens, tags=["X"] * len(sentence))
        reference.set_ents([DocSpan(reference, s.start, s.end, s.label) for s in sentence.spans])
        found.append(Example(Doc(nlp.vocab, words=sentence.tokens), reference))
    return found


def ents(nlp):
    doc = nlp(TEXT)
    return [(e.text, e.label_, round(e._.score, 5)) for e in doc.ents]


@pytest.fixture(scope="module", params=[LISTENER, CNN], ids=["listener", "own"])
def trained(request, toy, tmp_path_factory):
    """A pipeline trained until it knows the sentences by heart, saved, and its folder."""
    nlp = pipeline(request.param)
    data = examples(nlp, toy)
    sgd = nlp.initialize(lambda: data)
    sgd.learn_rate = 0.02
    vectors = "tok2vec" if request.param == LISTENER else "ner_crf"
    layer = nlp.get_pipe(vectors).model
    before = (layer if request.param == LISTENER else layer.layers[0]).to_bytes()
    for _ in range(60):
        nlp.update(data, sgd=sgd)
    after = (layer if request.param == LISTENER else layer.layers[0]).to_bytes()
    assert before != after, "the gradient does not reach the tok2vec"
    folder = tmp_path_factory.mktemp("listener") / "pipeline"
    nlp.to_disk(folder)
    return nlp, data, folder


def test_it_learns_through_the_tok2vec_and_is_saved_and_pickled_with_it(trained):
    nlp, data, folder = trained
    assert nlp.evaluate(data)["ents_f"] == 1.0
    loaded = spacy.load(folder)
    assert ents(loaded) == ents(nlp)
    assert ents(pickle.loads(pickle.dumps(loaded))) == ents(nlp)
    again = spacy.blank("en").from_config(loaded.config).from_bytes(loaded.to_bytes())
    assert ents(again) == ents(nlp)


def test_a_listener_is_replaced_by_what_it_listens_to_and_sourced(trained):
    nlp, _, folder = trained
    loaded = spacy.load(folder)
    if "tok2vec" in loaded.pipe_names:
        loaded.replace_listeners("tok2vec", "ner_crf", ["model.tok2vec"])
    other = spacy.blank("en")
    other.add_pipe("ner_crf", source=loaded)
    assert ents(other) == ents(nlp)


def test_outside_spacy_its_model_asks_for_vectors(trained):
    _, _, folder = trained
    tagger = ner.load(folder / "ner_crf")
    with pytest.raises(ValueError, match="this model needs the vectors of each sentence"):
        tagger.predict([["Ada"]])
    given = Sentence(("Ada",), vectors=np.zeros((1, WIDTH), np.float32))
    assert len(tagger.predict([given])) == 1
    assert len(tagger.alternatives([given], 2)[0]) == 2


def test_the_fast_and_the_clamping_road_read_the_same_vectors(trained):
    nlp, _, folder = trained
    rivalled = spacy.load(folder)
    rivalled.get_pipe("ner_crf").alternatives = 2
    assert ents(rivalled) == [
        (text, label, pytest.approx(score, abs=1e-4)) for text, label, score in ents(nlp)
    ]


def test_the_gradient_of_the_vectors_is_that_of_the_networks_loss(toy):
    """A tok2vec that gives fixed vectors and keeps what comes back."""
    torch.manual_seed(0)
    nlp = pipeline(None)
    component = nlp.get_pipe("ner_crf")
    rng, back = np.random.default_rng(0), []

    def forward(model, docs, is_train):
        return [table[: len(doc)] for doc in docs], back.append

    table = rng.normal(size=(20, WIDTH)).astype("f")
    component.model.layers.append(Model("fixed", forward, dims={"nO": WIDTH}))
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    network = component.tagger.network
    torch.manual_seed(5)
    scores, backprop = component.model.begin_update([eg.predicted for eg in data])
    _, gradient = component.get_loss(data, scores)
    backprop(gradient)
    torch.manual_seed(5)
    network.train()
    network.encoder.dropout.share = 0.0
    rows = zip(data, scores.pieces, strict=True)
    batch = network.batch([part.sentence for eg, row in rows for part in gold(eg, row)])
    (vectors,) = (tensors[0] for tensors in batch.contexts if tensors[0].is_floating_point())
    network.loss(batch)  # the same numbers are drawn for word dropout
    vectors.requires_grad_()
    torch.manual_seed(5)
    network.loss(batch).backward()
    expected = [np.zeros((0, WIDTH)), np.zeros((1, WIDTH))]
    expected += [own[: len(s)] for own, s in zip(vectors.grad.numpy(), toy, strict=True)]
    assert np.abs(expected[2]).max() > 1e-4
    for one, other in zip(back[0], expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
