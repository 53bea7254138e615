"""An ensemble in a pipeline of spaCy does all that a single network does there."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys

import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example

import ner
from ner.cli import main
from ner.network import Ensemble, build
from ner.sentence import Sentence, Span
from ner.spacy_component.documents import gold, pieces
from ner.tagger import Tagger

TEXT = "Ada Obi joined Kestrel Foods in Accra . Lin Ho rested in Lima ."
SMALL = {"characters": {"width": 16}, "affixes": False}


@pytest.fixture
def ensemble(toy):
    """Two members that read different things and know the sentences by heart."""
    torch.manual_seed(0)
    own = [{}, {"embeddings": {"affixes": {"width": 4}}}]
    made = build(toy, members=own, embeddings=SMALL, encoder={"width": 16, "dropout": 0.0})
    optimizer = torch.optim.Adam(made.parameters(), 0.03)
    batch = made.batch(toy)
    for _ in range(60):
        optimizer.zero_grad()
        made.loss(batch).backward()
        optimizer.step()
    return Tagger(made.eval())


@pytest.fixture
def path(ensemble, tmp_path):
    ensemble.save(tmp_path / "model")
    return str(tmp_path / "model")


def pipeline(path, **settings):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": path, **settings})
    return nlp


def scored(doc):
    return [(e.start, e.end, e.label_, e._.score and round(e._.score, 4)) for e in doc.ents]


def examples(nlp, sentences):
    made = []
    for sentence in sentences:
        reference = Doc(nlp.vocab, words=sentence.tokens)
        reference.set_ents([DocSpan(reference, s.start, s.end, s.label) for s in sentence.spans])
        made.append(Example(Doc(nlp.vocab, words=sentence.tokens), reference))
    return made


def test_around_a_given_entity_the_best_path_of_the_mean_that_keeps_it_is_found(toy):
    """The oracle is brute force over all sequences of tags that keep to what was set."""
    network = build(toy, members=2, embeddings=SMALL, encoder={"width": 8}).eval()
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf").tagger = Tagger(network)
    words, given = ("Ada", "Obi", "joined"), Span(1, 2, "LOC")
    paths = torch.tensor(list(itertools.product(range(len(network.tags)), repeat=3)))
    chain = network(network.batch([Sentence(words)]))
    log_probs = chain.log_prob(paths.unsqueeze(0))[0].detach()
    log_probs[paths[:, 1] != network.tags.index("S-LOC")] = -torch.inf
    best = [network.tags[tag] for tag in paths[log_probs.argmax()].tolist()]
    doc = Doc(nlp.vocab, words=words)
    doc.set_ents([DocSpan(doc, 1, 2, "LOC")], default="missing")
    found = {Span(e.start, e.end, e.label_) for e in nlp(doc).ents}
    assert found == {given, *network.scheme.decode(best)}


def test_the_alternatives_of_an_ensemble_are_those_of_its_mean(path, ensemble):
    doc = pipeline(path, alternatives=2)(TEXT)
    assert scored(doc) == scored(pipeline(path)(TEXT))
    (ent, *_) = doc.ents
    chain = ensemble.network(ensemble.network.batch([Sentence(tuple(t.text for t in doc))]))
    for span, score in ent._.alternatives:
        label = ensemble.labels.index(span.label_)
        places = (torch.tensor([n]) for n in (0, span.start, span.end, label))
        exact = chain.span_probability(*places, ensemble.network.span_tags)
        assert score == pytest.approx(exact.item(), abs=1e-6)


def test_each_member_learns_by_itself_from_spacys_updates(path, toy):
    """Their gradients are those of `ner train`: of the mean of the members' own losses."""
    nlp = pipeline(path)
    network, losses = nlp.get_pipe("ner_crf").tagger.network, {}
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    torch.manual_seed(0)  # some words are hidden at random
    nlp.get_pipe("ner_crf").update(data, losses=losses)
    own = {name: w.grad.clone() for name, w in network.named_parameters() if w.grad is not None}
    network.train().zero_grad()
    alone = [part.sentence for eg in data for part in gold(eg, pieces(eg.predicted))]
    torch.manual_seed(0)
    loss = network.loss(network.batch(alone))
    loss.backward()
    assert losses["ner_crf"] == pytest.approx(loss.item(), rel=1e-5)
    for name, weight in network.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(own[name], weight.grad, atol=1e-6, rtol=1e-4)


def test_an_ensemble_is_given_labels_and_rehearses(path, toy):
    nlp = pipeline(path)
    component, data = nlp.get_pipe("ner_crf"), examples(nlp, toy)
    before = scored(nlp(TEXT))
    component.add_label("EVENT")
    assert isinstance(component.tagger.network, Ensemble)
    assert [ent[:3] for ent in scored(nlp(TEXT))] == [ent[:3] for ent in before]
    optimizer = nlp.resume_training()
    for _ in range(3):
        nlp.update(data, sgd=optimizer, drop=0.2)
    first = nlp.rehearse(data, sgd=None)
    assert first["ner_crf"] > 0.0
    assert not component.tagger.network.training


def test_a_network_of_two_members_goes_all_the_way_into_a_package(tmp_path, monkeypatch):
    """The quick configuration as an ensemble: trained, behind a ruler, in processes, packaged."""
    model, text = tmp_path / "quick", "Angela Merkel met Tim Cook in Berlin ."
    overrides = ["model.members=2", "training.epochs=2", "model.encoder.width=16"]
    command = ["train", "configs/quick.yaml", "--output", str(model), "--quiet"]
    assert main([*command, *(word for one in overrides for word in ("--set", one))]) == 0
    assert isinstance(ner.load(model).network, Ensemble)
    nlp = spacy.blank("en")
    pattern = {"label": "PER", "pattern": [{"LOWER": "tim"}, {"LOWER": "cook"}]}
    nlp.add_pipe("entity_ruler").add_patterns([pattern])
    nlp.add_pipe("ner_crf", config={"model": str(model), "alternatives": 2, "spans_key": "crf"})
    doc = nlp(text)
    ents = scored(doc)
    assert (3, 5, "PER", None) in ents
    assert [(s.start, s.end, s.label_) for s in doc.spans["crf"]] == [ent[:3] for ent in ents]
    others = [scored(doc) for doc in nlp.pipe([text] * 4, n_process=2, batch_size=1)]
    assert others == [ents] * 4
    again = spacy.blank("en")
    again.add_pipe("entity_ruler")
    again.add_pipe("ner_crf")
    assert scored(again.from_bytes(nlp.to_bytes())(text)) == ents
    nlp.to_disk(tmp_path / "pipeline")
    packed = "-m spacy package pipeline . --name two --version 1.0.0 --build none"
    for where, arguments in ((".", packed), ("en_two-1.0.0", "setup.py --quiet bdist_wheel")):
        command = [sys.executable, *arguments.split()]
        subprocess.run(command, cwd=tmp_path / where, check=True, capture_output=True)
    (wheel,) = (tmp_path / "en_two-1.0.0" / "dist").glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    assert scored(spacy.load("en_two")(text)) == ents
