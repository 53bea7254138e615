"""The component in a pipeline: what it does to documents, whatever trained its tagger."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
import threading
from itertools import count, islice

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.tokens import Span as DocSpan
from spacy.training import Example

import ner
from ner.batch import batched
from ner.network import build
from ner.sentence import Sentence, Span
from ner.spacy_component import NerCrf
from ner.tagger import Tagger

TEXT = "Ada Obi joined Kestrel Foods in Accra . Lin Ho rested in Lima ."
LABELS = ("LOC", "MISC", "ORG", "PER")


def learn(sentences, *, epochs=60, scheme="BIOES"):
    """A tagger that knows these sentences by heart, in a second."""
    torch.manual_seed(0)
    network = build(
        sentences,
        scheme=scheme,
        embeddings={"characters": {"width": 16}, "affixes": False},
        encoder={"width": 16, "dropout": 0.0},
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.03)
    batch = network.batch(sentences)
    for _ in range(epochs):
        optimizer.zero_grad()
        network.loss(batch).backward()
        optimizer.step()
    return Tagger(network.eval())


@pytest.fixture(scope="module")
def tagger(toy):
    return learn(toy)


@pytest.fixture(scope="module")
def path(tagger, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spacy") / "model"
    tagger.save(folder)
    return folder


@pytest.fixture
def nlp(path):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": str(path)})
    return nlp


def found(doc):
    return [(ent.start_char, ent.end_char, ent.label_, ent.text) for ent in doc.ents]


class About(float):
    """A score, equal to those that differ by rounding alone."""

    def __eq__(self, other):
        return abs(float(self) - float(other)) < 1e-6

    __hash__ = None


def scored(doc):
    return [(ent.start, ent.end, ent.label_, About(ent._.score)) for ent in doc.ents]


class Recited:
    """Says of the tokens it is shown what it was told to, by way of tags in BIO."""

    def __init__(self, tags):
        self.tags = tags
        self.labels, self.scheme = LABELS, ner.schemes.scheme_named("BIOES")
        self.network = build([Sentence(("x",), (Span(0, 1, "LOC"),))]).eval()

    def predict(self, sentences):
        given = list(sentences)
        assert sum(map(len, given)) == len(self.tags)
        rest = iter(self.tags)
        rows = [[next(rest) for _ in range(len(sentence))] for sentence in given]
        return [
            tuple(
                Span(span.start, span.end, span.label, 0.5)
                for span in ner.schemes.scheme_named("BIO").decode(row)
            )
            for row in rows
        ]


def cases(shared, name):
    lines = (shared / "cases" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_every_case_of_white_space_and_offsets_gives_its_entities(shared):
    blank = spacy.blank("en")
    for case in cases(shared, "spacy.jsonl"):
        component = NerCrf(blank.vocab)
        component.tagger = Recited(case["model_tags_for_non_space_tokens"])
        doc = blank(case["text"])
        if [token.text for token in doc] != case["tokens"]:
            doc = Doc(blank.vocab, words=case["tokens"], spaces=_spaces(case))
        assert component(doc) is doc
        assert doc.text == case["text"], case["name"]
        assert [list(ent) for ent in found(doc)] == case["expect_ents"], case["name"]
        assert not len(doc) or doc.has_annotation("ENT_IOB"), case["name"]


def _spaces(case):
    place, spaces = 0, []
    for token in case["tokens"]:
        place = case["text"].index(token, place) + len(token)
        spaces.append(case["text"][place : place + 1] == " ")
        place += spaces[-1]
    return spaces


def test_it_finds_what_the_tagger_finds_with_its_scores(nlp, tagger):
    doc = nlp(TEXT)
    expected = tagger.predict([tuple(token.text for token in doc)])[0]
    assert [Span(e.start, e.end, e.label_) for e in doc.ents] == list(expected)
    assert [e._.score for e in doc.ents] == pytest.approx([span.score for span in expected])
    assert len(doc.ents) == 5
    assert all(0.0 < ent._.score <= 1.0 for ent in doc.ents)


def test_the_score_is_the_exact_probability_of_the_span(nlp, tagger):
    doc = nlp("Ada Obi rested")
    network = tagger.network
    chain = network(network.batch([Sentence(("Ada", "Obi", "rested"))]))
    tags = network.tags
    paths = torch.cartesian_prod(*[torch.arange(len(tags))] * 3)
    weight = chain.log_prob(paths.unsqueeze(0))[0].exp().tolist()
    spells = [network.scheme.decode([tags[t] for t in path]) for path in paths.tolist()]
    for ent in doc.ents:
        span = Span(ent.start, ent.end, ent.label_)
        exact = sum(w for w, spans in zip(weight, spells, strict=True) if span in spans)
        assert ent._.score == pytest.approx(exact, abs=1e-6)
    assert doc.ents


def test_documents_without_tokens_and_of_white_space_alone(nlp):
    for text in ("", " ", "\n\n\t \r\n"):
        doc = nlp(text)
        assert (doc.text, doc.ents) == (text, ())
    assert [len(doc.ents) for doc in nlp.pipe(["", TEXT, " "])] == [0, 5, 0]


def test_tokens_with_inner_white_space_are_tokens(nlp):
    doc = nlp.get_pipe("ner_crf")(Doc(nlp.vocab, words=["New York", "a\nb", " ", "Accra"]))
    assert all(not ent.text[:1].isspace() and not ent.text[-1:].isspace() for ent in doc.ents)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60) | st.text(" \n\u00a0\u200dAccra Ada\ufeff\u2028", max_size=30))
def test_any_text_keeps_its_characters_and_its_entities_have_theirs(text):
    nlp = _any_model()
    doc = nlp(text)
    assert doc.text == text
    for ent in doc.ents:
        assert text[ent.start_char : ent.end_char] == ent.text
        assert not ent[0].is_space
        assert not ent[-1].is_space


_ANY: list = []


def _any_model():
    """A pipeline whose untrained tagger finds many odd entities."""
    if not _ANY:
        torch.manual_seed(1)
        words = Sentence(("Ada", "joined", "Accra"), (Span(0, 1, "PER"), Span(2, 3, "LOC")))
        nlp = spacy.blank("en")
        nlp.add_pipe("ner_crf").tagger = Tagger(build([words]).eval())
        _ANY.append(nlp)
    return _ANY[0]


def test_entities_set_before_are_kept_and_decoded_around(nlp):
    ruler = nlp.add_pipe("entity_ruler", before="ner_crf")
    ruler.add_patterns([{"label": "GPE", "pattern": "Foods"}])
    doc = nlp(TEXT)
    labels = [(ent.text, ent.label_) for ent in doc.ents]
    assert ("Foods", "GPE") in labels
    assert ("Kestrel Foods", "ORG") not in labels
    assert ("Ada Obi", "PER") in labels
    assert all(token.ent_iob for token in doc)


def test_overwriting_forgets_entities_set_before(path):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "GPE", "pattern": "Accra"}])
    nlp.add_pipe("ner_crf", config={"model": str(path), "overwrite_ents": True})
    assert "GPE" not in {ent.label_ for ent in nlp(TEXT).ents}


@pytest.mark.parametrize("scheme", ["BIOES", "BIO"])
def test_around_a_given_entity_the_best_path_that_keeps_it_is_found(scheme, toy):
    """The oracle is brute force over all sequences of tags that keep to what was set."""
    tagger = learn(toy, epochs=3, scheme=scheme)
    nlp = spacy.blank("en")
    component = nlp.add_pipe("ner_crf")
    component.tagger = tagger
    network, words = tagger.network, ("Ada", "Obi", "joined")
    chain = network(network.batch([Sentence(words)]))
    paths = torch.cartesian_prod(*[torch.arange(len(network.tags))] * 3)
    log_probs = chain.log_prob(paths.unsqueeze(0))[0].detach()
    given = Span(1, 2, "LOC" if scheme == "BIOES" else "GPE")
    fixed = network.tags.index("S-LOC" if scheme == "BIOES" else "O")
    log_probs[paths[:, 1] != fixed] = -torch.inf
    best = [network.tags[t] for t in paths[log_probs.argmax()].tolist()]
    free = [span for span in network.scheme.decode(best) if span != given]
    doc = Doc(nlp.vocab, words=words)
    doc.set_ents([DocSpan(doc, 1, 2, given.label)], default="missing")
    component(doc)
    after = [Span(e.start, e.end, e.label_) for e in doc.ents]
    assert sorted(after) == sorted([given, *free])
    spells = [network.scheme.decode([network.tags[t] for t in path]) for path in paths.tolist()]
    weight = (log_probs - log_probs.logsumexp(0)).exp().tolist()
    for ent in doc.ents:
        span = Span(ent.start, ent.end, ent.label_)
        if span in free:
            exact = sum(w for w, spans in zip(weight, spells, strict=True) if span in spans)
            assert ent._.score == pytest.approx(exact, abs=1e-6)


def test_long_documents_are_tagged_to_their_end_around_given_entities_too(nlp):
    words = TEXT.split() * 700
    free = nlp(Doc(nlp.vocab, words=words))
    doc = Doc(nlp.vocab, words=words)
    doc.set_ents([DocSpan(doc, 4, 5, "GPE")], default="missing")
    doc = nlp(doc)
    assert "GPE" in {ent.label_ for ent in doc.ents[:4]}
    beyond = [
        [(e.start, e.end, e.label_) for e in one.ents if e.start >= 14] for one in (doc, free)
    ]
    assert beyond[0] == beyond[1], "a given entity changes what is far from it"
    assert len(beyond[0]) == 5 * 699


def test_blocked_tokens_stay_without_entity(nlp):
    doc = nlp.make_doc(TEXT)
    doc.set_ents([], blocked=[doc[6:7]], default="missing")
    nlp.get_pipe("ner_crf")(doc)
    assert "Accra" not in {ent.text for ent in doc.ents}
    assert doc[6].ent_iob == 3
    assert doc[6].ent_type_ == ""


def test_a_document_all_of_whose_tokens_are_given_stays_as_it_is(nlp):
    doc = nlp.make_doc("Ada Obi")
    doc.set_ents([DocSpan(doc, 0, 2, "GPE")])
    assert [(e.text, e.label_) for e in nlp.get_pipe("ner_crf")(doc).ents] == [("Ada Obi", "GPE")]


def test_given_entities_across_a_sentence_boundary_are_kept(nlp):
    doc = Doc(nlp.vocab, words=TEXT.split(), sent_starts=[n in (0, 4) for n in range(14)])
    doc.set_ents([DocSpan(doc, 3, 5, "ORG")], default="missing")
    assert ("Kestrel Foods", "ORG") in [(e.text, e.label_) for e in nlp(doc).ents]


def test_a_ruler_afterwards_and_a_second_component(nlp, toy, tmp_path):
    other = learn([Sentence(("It", "rained", "."), (Span(1, 2, "WEATHER"),))])
    other.save(tmp_path / "weather")
    nlp.add_pipe("ner_crf", name="weather", config={"model": str(tmp_path / "weather")})
    ruler = nlp.add_pipe("entity_ruler", config={"overwrite_ents": True})
    ruler.add_patterns([{"label": "GPE", "pattern": "Accra"}])
    doc = nlp(TEXT + " It rained .")
    labels = {(ent.text, ent.label_) for ent in doc.ents}
    assert {("Ada Obi", "PER"), ("Accra", "GPE")} <= labels
    assert all(token.ent_iob for token in doc)
    assert nlp.pipe_labels["weather"] == ["WEATHER"]


def test_spans_go_to_a_group_with_their_scores(path):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": str(path), "spans_key": "crf"})
    doc = nlp(TEXT)
    group = doc.spans["crf"]
    assert [(s.start, s.end, s.label_) for s in group] == [e[:3] for e in scored(doc)]
    np.testing.assert_allclose(group.attrs["scores"], [ent._.score for ent in doc.ents])
    again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    np.testing.assert_allclose(again.spans["crf"].attrs["scores"], group.attrs["scores"])


@pytest.mark.parametrize("alternatives", [0, 2])
def test_the_group_has_the_entities_that_are_kept_too(path, alternatives):
    """They are certain: the others are the most probable given these."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "Kestrel Foods"}])
    config = {"model": str(path), "spans_key": "crf", "alternatives": alternatives}
    nlp.add_pipe("ner_crf", config=config)
    doc = nlp(TEXT)
    group = doc.spans["crf"]
    ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    assert [(s.start, s.end, s.label_) for s in group] == ents
    own = [1.0 if ent.text == "Kestrel Foods" else ent._.score for ent in doc.ents]
    np.testing.assert_allclose(group.attrs["scores"], own)
    assert [ent._.score for ent in doc.ents if ent.text == "Kestrel Foods"] == [None]


def test_alternatives_are_the_other_spans_that_an_entity_may_be(path, nlp):
    several = spacy.blank("en")
    several.add_pipe("ner_crf", config={"model": str(path), "alternatives": 3})
    text = "\nAda Kestrel \t joined Lima Bank in Foods Quito and The Ghana ."
    doc, plain = several(text), nlp(text)
    assert scored(doc) == scored(plain)
    assert all(ent._.alternatives == [] for ent in plain.ents)
    rivals = [(ent, *rival) for ent in doc.ents for rival in ent._.alternatives]
    assert rivals
    for ent, other, score in rivals:
        assert other.start < ent.end
        assert other.end > ent.start
        assert (other.start, other.end, other.label) != (ent.start, ent.end, ent.label)
        assert not other[0].is_space
        assert not other[-1].is_space
        assert 0.0 < score <= 1.0 - ent._.score + 1e-6, "they exclude one another"
    for ent in doc.ents:
        scores = [score for _, score in ent._.alternatives]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) <= 3
    again = Doc(several.vocab).from_bytes(doc.to_bytes())
    for one, other in zip(doc.ents, again.ents, strict=True):
        assert [(s.text, s.label_, p) for s, p in one._.alternatives] == [
            (s.text, s.label_, p) for s, p in other._.alternatives
        ]


def test_alternatives_keep_to_what_is_given(path):
    nlp = spacy.blank("en")
    component = nlp.add_pipe("ner_crf", config={"model": str(path), "alternatives": 9})
    doc = nlp.make_doc(TEXT)
    doc.set_ents([DocSpan(doc, 6, 7, "LOC")], default="missing")
    for ent in component(doc).ents:
        assert all(other.end <= 6 or other.start >= 7 for other, _ in ent._.alternatives)


def test_min_score_leaves_out_the_improbable(path, nlp):
    scores = sorted(ent._.score for ent in nlp(TEXT).ents)
    strict = spacy.blank("en")
    strict.add_pipe("ner_crf", config={"model": str(path), "min_score": scores[2]})
    assert [e._.score for e in strict(TEXT).ents] == [
        ent._.score for ent in nlp(TEXT).ents if ent._.score >= scores[2]
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_score": 3}, "min_score must be from 0 to 1, got 3"),
        ({"alternatives": -1}, "alternatives must be at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(path, settings, said):
    with pytest.raises(ValueError, match=said):
        spacy.blank("en").add_pipe("ner_crf", config={"model": str(path), **settings})


def test_entities_do_not_cross_sentences_unless_they_are_not_to_be_used(nlp, path):
    words, starts = TEXT.split(), [n in (0, 1) for n in range(14)]
    doc = nlp(Doc(nlp.vocab, words=words, sent_starts=starts))
    assert all(ent.start >= 1 or ent.end <= 1 for ent in doc.ents)
    assert list(doc.ents) == sorted(doc.ents, key=lambda ent: ent.start)
    whole = spacy.blank("en")
    whole.add_pipe("ner_crf", config={"model": str(path), "use_sents": False})
    assert "Ada Obi" in {
        ent.text for ent in whole(Doc(whole.vocab, words=words, sent_starts=starts)).ents
    }


def test_pipe_is_lazy_and_in_order_and_takes_tuples(nlp):
    pulled = []
    texts = ((f"{number} Accra", pulled.append(number))[0] for number in count())
    docs = list(islice(nlp.pipe(texts, batch_size=4), 10))
    assert [doc[0].text for doc in docs] == [str(number) for number in range(10)]
    assert len(pulled) <= 24
    ((doc, context),) = nlp.pipe([("Ghana beat Peru", {"id": 1})], as_tuples=True)
    assert doc.ents
    assert context == {"id": 1}


def test_two_processes_after_a_warm_call_find_the_same(nlp):
    """Threads of OpenMP do not outlive a fork; a torch component that minds it not hangs here."""
    nlp("warm up")
    texts = [f"{TEXT} {number}" for number in range(60)]
    assert torch.get_num_threads() >= 1
    alone = [scored(doc) for doc in nlp.pipe(texts)]
    together = [scored(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=20)]
    assert [[e[:3] for e in doc] for doc in together] == [[e[:3] for e in doc] for doc in alone]
    np.testing.assert_allclose(
        [e[3] for doc in together for e in doc], [e[3] for doc in alone for e in doc], atol=1e-6
    )


def _work(nlp, texts, results):
    results.put([scored(doc) for doc in nlp.pipe(texts)])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_two_processes_of_pipe_begun_in_any_way_find_the_same(nlp, method, monkeypatch):
    from spacy import language

    monkeypatch.setattr(language, "mp", multiprocessing.get_context(method))
    texts = [f"{TEXT} {number}" for number in range(30)]
    alone = [scored(doc) for doc in nlp.pipe(texts)]
    assert [scored(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=10)] == alone


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_a_pipeline_can_be_sent_to_a_process_that_begins_anew(nlp, method):
    context = multiprocessing.get_context(method)
    results = context.SimpleQueue()
    process = context.Process(target=_work, args=(nlp, [TEXT], results))
    process.start()
    (there,) = results.get()
    process.join()
    assert [e[:3] for e in there] == [e[:3] for e in scored(nlp(TEXT))]


def test_eight_threads_find_what_one_finds(nlp):
    texts = [f"{TEXT} {number}" for number in range(40)]
    alone = [scored(nlp(text)) for text in texts]
    results: dict = {}

    def work(number):
        results[number] = [scored(nlp(text)) for text in texts]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[number] for number in range(8)] == [alone] * 8


def test_a_network_left_in_training_mode_still_predicts_without_dropout(nlp):
    nlp.get_pipe("ner_crf").tagger.network.train()
    assert scored(nlp(TEXT)) == scored(nlp(TEXT))


def test_pickled_saved_and_moved_pipelines_find_the_same(nlp, path, tmp_path):
    expected = scored(nlp(TEXT))
    assert scored(pickle.loads(pickle.dumps(nlp))(TEXT)) == expected
    nlp.to_disk(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    hidden = path.with_name("hidden")
    path.rename(hidden)
    try:
        assert scored(spacy.load(tmp_path / "there")(TEXT)) == expected
    finally:
        hidden.rename(path)
    blank = spacy.blank("en")
    blank.add_pipe("ner_crf")
    assert scored(blank.from_bytes(nlp.to_bytes())(TEXT)) == expected


def test_what_is_excluded_is_neither_written_nor_read(nlp, tmp_path):
    component, expected = nlp.get_pipe("ner_crf"), scored(nlp(TEXT))
    component.to_disk(tmp_path / "cfg", exclude=["model"])
    assert [file.name for file in (tmp_path / "cfg").iterdir()] == ["cfg"]
    component.to_disk(tmp_path / "model", exclude=["cfg"])
    assert not (tmp_path / "model" / "cfg").exists()
    component.from_disk(tmp_path / "cfg", exclude=["model"])
    component.from_bytes(component.to_bytes(exclude=["model"]))
    assert scored(nlp(TEXT)) == expected
    nlp.to_disk(tmp_path / "pipeline")
    assert not spacy.load(tmp_path / "pipeline", exclude=["ner_crf"]).pipe_names
    assert not (spacy.load(tmp_path / "pipeline", disable=["ner_crf"]))(TEXT).ents


def test_the_folder_of_the_component_is_a_model_directory(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    shutil.copytree(tmp_path / "pipeline" / "ner_crf", tmp_path / "model")
    tokens = tuple(TEXT.split())
    (spans,) = ner.load(tmp_path / "model").predict([tokens])
    assert [(s.start, s.end, s.label) for s in spans] == [e[:3] for e in scored(nlp(TEXT))]


def test_a_missing_model_directory_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"model directory .* does not exist"):
        spacy.blank("en").add_pipe("ner_crf", config={"model": str(tmp_path / "nowhere")})


def test_a_component_without_a_model_says_so():
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf")
    with pytest.raises(ValueError, match="E109"):
        nlp("Accra")


def test_disabled_it_does_nothing(nlp):
    with nlp.select_pipes(disable=["ner_crf"]):
        assert not nlp(TEXT).ents
    assert nlp(TEXT).ents


def test_it_works_in_a_memory_zone(nlp):
    expected = [e[:3] for e in scored(nlp(TEXT))]
    for texts in batched([TEXT] * 12, 4):
        with nlp.memory_zone():
            assert [[e[:3] for e in scored(doc)] for doc in nlp.pipe(texts)] == [expected] * 4
    assert [e[:3] for e in scored(nlp(TEXT))] == expected


def test_a_component_with_a_tagger_scores_examples(nlp):
    doc = nlp(TEXT)
    gold = {"entities": [(0, 7, "PER"), (15, 28, "ORG"), (32, 37, "PER")]}
    scores = nlp.evaluate([Example.from_dict(nlp.make_doc(TEXT), gold)])
    correct = len({(e.start_char, e.end_char, e.label_) for e in doc.ents} & set(gold["entities"]))
    assert scores["ents_p"] == pytest.approx(correct / len(doc.ents))
    assert scores["ents_r"] == pytest.approx(correct / 3)


@pytest.mark.parametrize("mode", ["default", "strict"])
def test_scores_of_seqeval_are_those_that_seqeval_computes(path, toy, mode):
    """The oracle is seqeval on tags; some entities are moved so that not all are found."""
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    scorer = {"@scorers": "ner_crf.seqeval.v1", "mode": mode}
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": str(path), "scorer": scorer})
    examples, rows = [], []
    for number, sentence in enumerate(toy):
        reference = Doc(nlp.vocab, words=sentence.tokens)
        ents = [DocSpan(reference, s.start, s.end, s.label) for s in sentence.spans]
        reference.set_ents(ents[number % 2 :])
        examples.append(Example(Doc(nlp.vocab, words=sentence.tokens), reference))
        pair = (reference, nlp(Doc(nlp.vocab, words=sentence.tokens)))
        rows.append([_bio(doc) for doc in pair])
    options = {"mode": "strict", "scheme": IOB2} if mode == "strict" else {}
    gold, predicted = zip(*rows, strict=True)
    exact = classification_report(
        list(gold), list(predicted), output_dict=True, zero_division=0, **options
    )
    found = nlp.evaluate(examples)
    assert found["ents_f"] == pytest.approx(exact["micro avg"]["f1-score"])
    assert 0.0 < found["ents_f"] < 1.0
    assert found["ents_macro_r"] == pytest.approx(exact["macro avg"]["recall"])
    labels = {label for label in exact if not label.endswith("avg")}
    assert found["ents_per_type"].keys() == labels
    for label, row in found["ents_per_type"].items():
        assert row["p"] == pytest.approx(exact[label]["precision"])
    bare = Example(Doc(nlp.vocab, words=["Ada"]), Doc(nlp.vocab, words=["Ada"]))
    assert nlp.get_pipe("ner_crf").score([bare])["ents_f"] is None


def _bio(doc):
    return [f"{t.ent_iob_}-{t.ent_type_}" if t.ent_type_ else "O" for t in doc]
