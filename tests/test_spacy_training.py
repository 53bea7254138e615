"""Training the component by spaCy: updates, labels, partial annotation, what is saved."""

from __future__ import annotations

import copy
import gc
import pickle
import random

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example
from thinc.api import Adam

import ner
from ner.evaluation import evaluate
from ner.formats import DataWarning, write
from ner.network import build
from ner.sentence import Span
from ner.spacy_component.documents import gold, part_of, pieces
from ner.tagger import Tagger

SMALL = {
    "@architectures": "ner_crf.BiLSTMCRF.v1",
    "embeddings": {"characters": {"width": 16}, "affixes": False},
    "encoder": {"width": 16},
}


def example(vocab, sentence, *, missing=()):
    reference = Doc(vocab, words=sentence.tokens)
    ents = [DocSpan(reference, s.start, s.end, s.label) for s in sentence.spans]
    unset = [reference[place : place + 1] for place in missing]
    reference.set_ents(ents, missing=unset, default="outside")
    return Example(Doc(vocab, words=sentence.tokens), reference)


def examples(nlp, sentences):
    return [example(nlp.vocab, sentence) for sentence in sentences]


def small(name="ner_crf", nlp=None, **settings):
    nlp = nlp or spacy.blank("en")
    nlp.add_pipe("ner_crf", name=name, config={"model": SMALL, **settings})
    return nlp


def train(nlp, data, *, steps=25, sgd=None, losses=None):
    sgd = sgd or Adam(0.03, L2=0.0)
    for _ in range(steps):
        nlp.update(data, sgd=sgd, losses=losses)
    return nlp


@pytest.fixture(scope="module")
def data(toy):
    return examples(spacy.blank("en"), toy)


@pytest.fixture(scope="module")
def trained(toy):
    nlp = small()
    data = examples(nlp, toy)
    torch.manual_seed(0)
    nlp.initialize(lambda: data)
    return train(nlp, data)


def states(nlp, name="ner_crf"):
    weights = nlp.get_pipe(name).tagger.network.state_dict()
    return {key: weight.clone() for key, weight in weights.items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


class About(float):
    """A score, equal to those that differ by rounding alone."""

    def __eq__(self, other):
        return abs(float(self) - float(other)) < 1e-6

    __hash__ = None


def ents(nlp, data):
    docs = [nlp(Doc(nlp.vocab, words=[t.text for t in eg.reference])) for eg in data]
    return [[(e.start, e.end, e.label_, About(e._.score)) for e in doc.ents] for doc in docs]


def test_it_learns_a_few_sentences_by_heart(trained, toy):
    data = examples(trained, toy)
    scores = trained.evaluate(data)
    assert scores["ents_f"] == 1.0
    assert set(scores["ents_per_type"]) == {"LOC", "MISC", "ORG", "PER"}
    assert trained.get_pipe("ner_crf").labels == ("LOC", "MISC", "ORG", "PER")
    assert trained.meta["labels"]["ner_crf"] == ["LOC", "MISC", "ORG", "PER"]


def test_the_score_of_spacy_is_that_of_the_toolkit(toy):
    nlp = small()
    data = examples(nlp, toy)
    torch.manual_seed(3)
    nlp.initialize(lambda: data)
    train(nlp, data, steps=6)
    predicted = [[Span(*ent[:3]) for ent in row] for row in ents(nlp, data)]
    exact = evaluate([sentence.spans for sentence in toy], predicted).exact
    assert nlp.evaluate(data)["ents_f"] == pytest.approx(exact.f1)
    assert 0.0 < exact.f1 < 1.0


def test_a_trained_component_is_saved_loaded_and_pickled_whole(trained, data, tmp_path):
    expected = ents(trained, data)
    trained.to_disk(tmp_path / "one")
    loaded = spacy.load(tmp_path / "one")
    assert ents(loaded, data) == expected
    loaded.to_disk(tmp_path / "two")
    weights = ["weights.safetensors", "tagger.json"]
    for name in weights:
        once, twice = (tmp_path / n / "ner_crf" / name for n in ("one", "two"))
        assert once.read_bytes() == twice.read_bytes(), name
    fresh = small().from_bytes(trained.to_bytes())
    assert ents(fresh, data) == expected
    assert trained.to_bytes() == fresh.to_bytes()
    assert ents(pickle.loads(pickle.dumps(trained)), data) == expected


def test_its_folder_is_a_model_directory_which_goes_into_a_pipeline(trained, toy, tmp_path):
    """Three doors to one model: spacy.load, ner.load, and the setting ``model``."""
    trained.to_disk(tmp_path / "pipeline")
    tagger = ner.load(tmp_path / "pipeline" / "ner_crf")
    assert [list(spans) for spans in tagger.predict(toy)] == [list(s.spans) for s in toy]
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": str(tmp_path / "pipeline" / "ner_crf")})
    data = examples(nlp, toy)
    assert ents(nlp, data) == ents(trained, data)


def test_predict_changes_nothing(trained, data):
    doc = data[0].reference.copy()
    before = doc.to_bytes()
    spans = trained.get_pipe("ner_crf").predict([doc, Doc(trained.vocab)])
    assert doc.to_bytes() == before
    assert spans[1] == ()


def test_a_model_directory_is_trained_further_and_given_new_labels(toy, tmp_path):
    network = build([s for s in toy if any(span.label == "LOC" for span in s.spans)])
    Tagger(network.eval()).save(tmp_path / "model")
    nlp = spacy.blank("en")
    component = nlp.add_pipe("ner_crf", config={"model": str(tmp_path / "model")})
    words = network.embeddings["words"].indexer.vocabulary.items
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    assert component.tagger.network.embeddings["words"].indexer.vocabulary.items == words
    assert set(component.labels) == {"LOC", "MISC", "ORG", "PER"}


def test_gradients_come_together_until_the_update_is_finished(toy):
    nlp = small()
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    component = nlp.get_pipe("ner_crf")
    before = states(nlp)
    torch.manual_seed(2)
    component.update(data)
    once = component.tagger.network.projection.weight.grad.clone()
    torch.manual_seed(2)  # for word dropout
    component.update(data)
    twice = component.tagger.network.projection.weight.grad
    np.testing.assert_allclose(twice, 2 * once, atol=1e-5)
    assert same(states(nlp), before)
    component.finish_update(Adam(0.01))
    assert not same(states(nlp), before)
    assert component.tagger.network.projection.weight.grad is None


def test_the_gradient_is_that_of_the_network_itself(toy):
    nlp = small()
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    component = nlp.get_pipe("ner_crf")
    network = component.tagger.network
    torch.manual_seed(5)
    scores, backprop = component.model.begin_update([eg.predicted for eg in data])
    value, gradient = component.get_loss(data, scores)
    backprop(gradient)
    ours = {name: weight.grad.clone() for name, weight in network.named_parameters()}
    network.zero_grad()
    torch.manual_seed(5)
    network.train()
    network.encoder.dropout.share = 0.0
    alone = [part.sentence for eg in data for part in gold(eg, pieces(eg.predicted))]
    whole = network.loss(network.batch(alone))
    whole.backward()
    assert value == pytest.approx(whole.item(), rel=1e-5)
    for name, weight in network.named_parameters():
        np.testing.assert_allclose(ours[name], weight.grad, atol=1e-5, err_msg=name)


def test_updates_leave_nothing_behind_in_memory(toy):
    nlp = small()
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    sgd = Adam(0.03, L2=0.0, use_averages=True)

    def tensors():
        gc.collect()
        return sum(type(one) is torch.Tensor for one in gc.get_objects())

    train(nlp, data, steps=2, sgd=sgd)
    before = tensors()
    train(nlp, data, steps=3, sgd=sgd)
    assert tensors() == before


def test_averaged_weights_are_those_evaluated_and_saved(toy, tmp_path):
    nlp = small()
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    sgd = Adam(0.03, L2=0.0, use_averages=True)
    train(nlp, data, steps=4, sgd=sgd)
    own, own_ents = states(nlp), ents(nlp, data)
    with nlp.use_params(sgd.averages):
        averaged = states(nlp)
        nlp.to_disk(tmp_path / "averaged")
        lent_ents = ents(nlp, data)
    assert not same(averaged, own)
    assert same(states(nlp), own)
    assert ents(nlp, data) == own_ents
    loaded = spacy.load(tmp_path / "averaged")
    assert same(states(loaded), averaged)
    assert ents(loaded, data) == lent_ents


def test_missing_annotation_is_left_open(toy):
    """The loss of a partly annotated sentence is that of its candidates, not of O."""
    nlp = small()
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    partial = example(nlp.vocab, toy[0], missing=[5])
    (part,) = gold(partial, pieces(partial.predicted))
    assert part.sentence.unknown == {5}
    assert part.sentence.spans == toy[0].spans
    component = nlp.get_pipe("ner_crf")
    assert component.predict([partial.predicted]) is not None
    scores, _ = component.model.begin_update([partial.predicted])
    network = component.tagger.network
    chain = network.chain(scores.emissions[0].detach(), scores.lengths)
    paths = [list(network.scheme.encode(toy[0].spans, len(toy[0])))] * len(network.tags)
    numbers = [[network.tags.index(tag) for tag in path] for path in paths]
    for tag, path in enumerate(numbers):
        path[5] = tag
    exact = -chain.log_prob(torch.tensor([numbers]))[0].logsumexp(0).item()
    value, _ = component.get_loss([partial], scores)
    assert value == pytest.approx(exact, rel=1e-5)


def test_documents_without_annotation_teach_nothing(toy):
    nlp = small()
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    bare = [Example(Doc(nlp.vocab, words=s.tokens), Doc(nlp.vocab, words=s.tokens)) for s in toy]
    before, losses = states(nlp), {}
    nlp.update(bare, sgd=Adam(0.1, L2=0.0), losses=losses)
    assert losses["ner_crf"] == pytest.approx(0.0)
    after = states(nlp)
    for name, weight in before.items():
        np.testing.assert_allclose(after[name], weight, atol=1e-6, err_msg=name)


def test_annotation_that_does_not_fit_the_tokens_is_unknown_and_counts_as_missed():
    nlp = spacy.blank("en")
    with pytest.warns(UserWarning, match="W030"):
        misfit = Example.from_dict(
            nlp.make_doc("Hello from India"), {"entities": [(11, 15, "GPE")]}
        )
    (part,) = gold(misfit, pieces(misfit.predicted))
    assert part.sentence.spans == ()
    assert part.sentence.unknown == {2}
    reference = Doc(
        nlp.vocab, words=["Hello", "from", "In", "dia"], spaces=[True, True, False, False]
    )
    reference.set_ents([DocSpan(reference, 2, 3, "GPE")])
    inside = Example(nlp.make_doc("Hello from India"), reference)
    (part,) = gold(inside, pieces(inside.predicted))
    assert part.sentence.unknown == {2}
    small(nlp=nlp)
    with pytest.warns(DataWarning) as told:
        nlp.initialize(lambda: [inside, misfit])
    assert [str(one.message) for one in told] == [
        "ner_crf: entities not aligned with tokens, treated as unknown: 1, e.g. "
        "'In' [11:13] GPE, nearest tokens 'India' [11:16]",
        "ner_crf: runs of tokens without annotation, treated as unknown: 1, e.g. 'India' [11:16]",
    ]
    assert nlp.evaluate([inside])["ents_r"] == 0.0
    strict = small()
    strict.config["initialize"]["components"]["ner_crf"] = {"strict": True}
    with pytest.raises(ValueError, match="entities not aligned with tokens"):
        strict.initialize(lambda: [inside])


def test_an_entity_across_a_sentence_boundary_is_unknown(toy):
    nlp = spacy.blank("en")
    reference = Doc(nlp.vocab, words=["a", "b", "c", "d"])
    reference.set_ents([DocSpan(reference, 1, 3, "X")])
    predicted = Doc(nlp.vocab, words=["a", "b", "c", "d"], sent_starts=[True, False, True, False])
    first, second = gold(Example(predicted, reference), pieces(predicted))
    assert (first.sentence.unknown, second.sentence.unknown) == ({1}, {0})


def test_empty_documents_are_allowed_everywhere(toy):
    nlp = small()
    empty = Example(Doc(nlp.vocab), Doc(nlp.vocab))
    blank = Example(Doc(nlp.vocab, words=[" "]), Doc(nlp.vocab, words=[" "]))
    data = [empty, blank, *examples(nlp, toy)]
    nlp.initialize(lambda: data)
    losses: dict = {}
    nlp.update(data, sgd=Adam(0.01), losses=losses)
    nlp.update([empty, blank], sgd=Adam(0.01), losses=losses)
    assert losses["ner_crf"] > 0.0
    assert nlp.evaluate(data)["ents_f"] is not None
    component = nlp.get_pipe("ner_crf")
    component.set_annotations([empty.predicted], component.predict([empty.predicted]))


def test_a_new_label_leaves_what_was_known_bit_for_bit(trained, data):
    nlp = pickle.loads(pickle.dumps(trained))
    component = nlp.get_pipe("ner_crf")
    before, expected = component.tagger.network, ents(nlp, data)
    assert component.add_label("PER") == 0
    assert component.add_label("EVENT") == 1
    after = component.tagger.network
    assert component.labels == ("LOC", "MISC", "ORG", "PER", "EVENT")
    places = [after.tags.index(tag) for tag in before.tags]
    assert torch.equal(after.projection.weight[places], before.projection.weight)
    moves = after.crf.transitions[places][:, places]
    assert torch.equal(moves, before.crf.transitions)
    assert [[e[:3] for e in row] for row in ents(nlp, data)] == [
        [e[:3] for e in row] for row in expected
    ]
    fresh = Doc(nlp.vocab, words=["The", "Harbour", "Cup", "began"])
    fresh.set_ents([DocSpan(fresh, 1, 3, "EVENT")])
    new = Example(Doc(nlp.vocab, words=[t.text for t in fresh]), fresh)
    train(nlp, [*data, new], steps=20)
    assert nlp.evaluate([new])["ents_f"] == 1.0


def test_a_label_that_is_not_known_is_one_clear_error(trained):
    doc = Doc(trained.vocab, words=["Ada"])
    doc.set_ents([DocSpan(doc, 0, 1, "ANIMAL")])
    with pytest.raises(ValueError, match=r"no label 'ANIMAL'.*add_label"):
        trained.get_pipe("ner_crf").update([Example(Doc(trained.vocab, words=["Ada"]), doc)])


def test_labels_can_be_given(toy):
    nlp = small()
    data = examples(nlp, toy)
    component = nlp.get_pipe("ner_crf")
    component.initialize(lambda: data, nlp=nlp, labels=["PER", "LOC", "ORG", "MISC", "EVENT"])
    assert component.labels == ("EVENT", "LOC", "MISC", "ORG", "PER")
    assert component.label_data == component.labels


def test_initialized_without_examples_it_finds_nothing_and_learns_from_the_first_batch(toy):
    nlp = small()
    nlp.initialize()
    assert nlp("Ada Obi").ents == ()
    data = examples(nlp, toy)
    with pytest.warns(UserWarning, match="initialized without entities"):
        nlp.update(data, sgd=Adam(0.03, L2=0.0))
    train(nlp, data)
    assert nlp.evaluate(data)["ents_f"] == 1.0


def test_saved_before_training_it_is_loaded_untrained(tmp_path, toy):
    nlp = small()
    nlp.get_pipe("ner_crf").add_label("PER")
    nlp.to_disk(tmp_path / "untrained")
    loaded = spacy.load(tmp_path / "untrained")
    assert loaded.get_pipe("ner_crf").labels == ("PER",)
    with pytest.raises(ValueError, match="E109"):
        loaded("Ada")


def test_the_vectors_of_the_pipeline_are_an_embedding(toy, tmp_path):
    nlp = spacy.blank("en")
    nlp.vocab.set_vector("accra", np.array([1.0, 2.0, 3.0], dtype="f"))
    nlp.vocab.set_vector("Quito", np.array([0.5, 0.0, -1.0], dtype="f"))
    nlp.add_pipe("ner_crf", config={"model": {**SMALL, "include_static_vectors": True}})
    data = examples(nlp, toy)
    nlp.initialize(lambda: data)
    train(nlp, data, steps=3)
    nlp.to_disk(tmp_path / "pipeline")
    network = ner.load(tmp_path / "pipeline" / "ner_crf").network
    part = network.embeddings["vectors"]
    (places,) = part.index(["Accra", "Quito", "quito", "never"])
    expected = [[1.0, 2.0, 3.0], [0.5, 0.0, -1.0], [0.0] * 3, [0.0] * 3]
    assert part(torch.from_numpy(places)).tolist() == expected
    assert ents(spacy.load(tmp_path / "pipeline"), data) == ents(nlp, data)


def test_vectors_that_are_not_there_are_one_clear_error(toy):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": {**SMALL, "include_static_vectors": True}})
    data = examples(nlp, toy)
    with pytest.raises(ValueError, match="needs a pipeline with word vectors"):
        nlp.initialize(lambda: data)


def test_rehearsal_pulls_back_to_what_was_known(trained, data):
    nlp = pickle.loads(pickle.dumps(trained))
    sgd = nlp.resume_training()
    component = nlp.get_pipe("ner_crf")
    assert component._rehearsal_model is not None
    drifted = copy.deepcopy(states(nlp))
    drifted["projection.bias"] += 1.0
    component.tagger.network.load_state_dict(drifted)
    sgd.learn_rate = 0.05
    first: dict = {}
    nlp.rehearse(data, sgd=sgd, losses=first)
    for _ in range(20):
        last: dict = {}
        nlp.rehearse(data, sgd=sgd, losses=last)
    assert last["ner_crf"] < first["ner_crf"]


def test_a_frozen_component_stays_and_another_learns(trained, toy, tmp_path):
    trained.to_disk(tmp_path / "one")
    nlp = spacy.blank("en")
    source = spacy.load(tmp_path / "one")
    nlp.add_pipe("ner_crf", source=source)
    small("new", nlp=nlp, spans_key="new")
    data = examples(nlp, toy)
    with nlp.select_pipes(disable=["ner_crf"]):
        nlp.initialize(lambda: data)
    before, fresh = states(nlp), states(nlp, "new")
    nlp.update(data, sgd=Adam(0.03, L2=0.0), exclude=["ner_crf"])
    assert same(states(nlp), before)
    assert not same(states(nlp, "new"), fresh)


def test_the_reader_keeps_tokens_sentences_documents_and_entities(toy, tmp_path):
    path = tmp_path / "toy.conll"
    write(path, toy)
    nlp = spacy.blank("en")
    reader = spacy.registry.readers.get("ner_crf.Corpus.v1")(str(path))
    found = list(reader(nlp))
    assert [len(list(eg.reference.sents)) for eg in found] == [2, 2, 3, 2]
    for eg in found:
        assert [t.text for t in eg.predicted] == [t.text for t in eg.reference]
        assert [t.is_sent_start for t in eg.predicted] == [t.is_sent_start for t in eg.reference]
        assert not eg.predicted.has_annotation("ENT_IOB")
    spans = [s.spans for s in toy]
    parts = [p.sentence.spans for eg in found for p in gold(eg, pieces(eg.predicted))]
    assert [tuple(p) for p in parts] == spans
    assert len(list(spacy.registry.readers.get("ner_crf.Corpus.v1")(str(path), limit=1)(nlp))) == 1


def test_the_reader_gives_sentences_that_know_their_documents(toy, tmp_path):
    path = tmp_path / "toy.conll"
    write(path, toy)
    nlp = spacy.blank("en")
    reader = spacy.registry.readers.get("ner_crf.Corpus.v1")
    whole = [part for eg in reader(str(path))(nlp) for part in gold(eg, pieces(eg.predicted))]
    alone = [
        part
        for eg in reader(str(path), sentences=True)(nlp)
        for part in gold(eg, pieces(eg.predicted))
    ]
    assert len(alone) == len(toy)
    assert [part.sentence for part in alone] == [part.sentence for part in whole]


def test_a_part_of_a_document_leaves_open_what_its_boundary_cuts():
    nlp = spacy.blank("en")
    doc = Doc(
        nlp.vocab, ["Ada", "saw", "New", "York", ".", "Bob"], sent_starts=[1, -1, -1, 1, -1, -1]
    )
    doc.set_ents([DocSpan(doc, 0, 1, "PER"), DocSpan(doc, 2, 4, "LOC")], default="outside")
    parts = [part_of(doc, n, part) for n, part in enumerate(pieces(doc))]
    found = [gold(Example(part.copy(), part), pieces(part)) for part in parts]
    assert [(p.sentence.spans, sorted(p.sentence.unknown)) for (p,) in found] == [
        ((Span(0, 1, "PER"),), [2]),
        ((), [0]),
    ]
    assert [p.sentence.position for (p,) in found] == [0, 1]


def test_batches_are_of_like_length_and_of_every_example_once(toy):
    nlp = spacy.blank("en")
    data = [example(nlp.vocab, sentence) for sentence in toy * 20]
    batch = spacy.registry.batchers.get("ner_crf.batch_by_length.v1")(size=8, noise=0.0)
    random.seed(1)
    found = list(batch(data))
    assert sorted(map(id, data)) == sorted(id(one) for some in found for one in some)
    assert max(map(len, found)) == 8
    lengths = [[len(one.predicted) for one in some] for some in found]
    assert sum(max(some) - min(some) for some in lengths) <= max(map(max, lengths))
    assert sorted(lengths) != lengths
    assert list(map(len, batch(data[:0]))) == []
