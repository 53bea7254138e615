"""The component of an exported model in a pipeline, with torch installed and without."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys

import pytest
import spacy
from spacy.training import Example

import ner
from ner.spacy_component.tagging import ExportedNer

TEXT = "Ada Obi joined Kestrel Foods in Accra . Lin Ho rested in Lima ."


def scored(doc):
    return [(e.start, e.end, e.label_, pytest.approx(e._.score, abs=1e-3)) for e in doc.ents]


def pipeline(path, **settings):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": path, **settings})
    return nlp


@pytest.fixture
def nlp(exported_model):
    return pipeline(exported_model)


def test_it_finds_what_the_component_of_the_trained_model_finds(nlp, small_model):
    trained = pipeline(small_model)
    doc = nlp(TEXT)
    assert doc.ents
    assert scored(doc) == scored(trained(TEXT))
    assert isinstance(nlp.get_pipe("ner_crf"), ExportedNer)
    assert nlp.pipe_labels["ner_crf"] == trained.pipe_labels["ner_crf"]
    assert [len(doc.ents) for doc in nlp.pipe(["", TEXT, " "])] == [0, len(doc.ents), 0]


def test_it_tags_around_entities_and_gives_alternatives(exported_model, small_model):
    found = []
    for path in (exported_model, small_model):
        nlp = pipeline(path, alternatives=3, spans_key="crf")
        ruler = nlp.add_pipe("entity_ruler", before="ner_crf")
        ruler.add_patterns(
            [{"label": "LOC", "pattern": "Obi"}, {"label": "GPE", "pattern": "Lima"}]
        )
        doc = nlp(TEXT)
        assert {("Obi", "LOC"), ("Lima", "GPE")} <= {(e.text, e.label_) for e in doc.ents}
        assert len(doc.spans["crf"]) == len(doc.ents)
        own = [e for e in doc.ents if e._.score is not None]
        found.append([(e.start, e.end, [o[0].text for o in e._.alternatives]) for e in own])
    assert found[0] == found[1]
    assert any(others for *_, others in found[0])


def test_training_it_is_refused_and_excluding_it_is_not(nlp):
    component = nlp.get_pipe("ner_crf")
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": [(0, 7, "PER")]})
    for train in (
        lambda: nlp.update([example]),
        lambda: nlp.initialize(lambda: [example]),
        lambda: nlp.rehearse([example]),
        lambda: component.add_label("NEW"),
    ):
        with pytest.raises(ValueError, match="ner_crf is an exported model, which cannot be train"):
            train()
    assert component.add_label(component.labels[0]) == 0
    expected = scored(nlp(TEXT))
    nlp.add_pipe("textcat_multilabel").add_label("NEWS")
    labelled = Example.from_dict(nlp.make_doc(TEXT), {"cats": {"NEWS": 1.0}})
    with nlp.select_pipes(disable="ner_crf"):
        optimizer = nlp.initialize(lambda: [labelled])
    nlp.update([labelled], sgd=optimizer, exclude=["ner_crf"])
    with nlp.use_params(optimizer.averages or {("a", "b"): 1}):
        assert scored(nlp(TEXT)) == expected
    assert nlp.evaluate([example])["ents_r"] is not None


def test_saved_moved_pickled_and_packed_pipelines_find_the_same(exported_model, tmp_path):
    folder = shutil.copytree(exported_model, tmp_path / "model")
    nlp = pipeline(str(folder), min_score=0.01)
    expected = scored(nlp(TEXT))
    shutil.rmtree(folder)  # the pipeline has what it needs
    assert scored(pickle.loads(pickle.dumps(nlp))(TEXT)) == expected
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    assert scored(again(TEXT)) == expected
    assert isinstance(again.get_pipe("ner_crf"), ExportedNer)
    assert again.get_pipe("ner_crf").min_score == 0.01
    assert ner.load(tmp_path / "saved" / "ner_crf").labels == again.get_pipe("ner_crf").labels
    again.to_disk(tmp_path / "saved")
    assert scored(spacy.load(tmp_path / "saved")(TEXT)) == expected
    blank = spacy.blank("en")
    blank.add_pipe("ner_crf")
    assert scored(blank.from_bytes(again.to_bytes())(TEXT)) == expected
    bare = nlp.to_bytes(exclude=["ner_crf"])
    assert scored(again.from_bytes(bare, exclude=["ner_crf"])(TEXT)) == expected


def test_two_processes_find_the_same(nlp):
    texts = [f"{TEXT} {number}" for number in range(20)]
    alone = [scored(doc) for doc in nlp.pipe(texts)]
    assert [scored(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=10)] == alone


def test_what_it_cannot_do_is_said(exported_model, small_model):
    with pytest.raises(ValueError, match="device cuda: exported models run on the CPU"):
        pipeline(exported_model, device="cuda")
    with pytest.raises(ValueError, match="min_score must be from 0 to 1"):
        pipeline(exported_model, min_score=3)
    with pytest.raises(ValueError, match="E109"):
        ExportedNer(spacy.blank("en").vocab, None, "empty", **settings())(spacy.blank("en")("Ada"))
    damaged = ExportedNer(spacy.blank("en").vocab, None, "damaged", **settings())
    with pytest.raises(ValueError, match="not an exported model"):
        damaged.from_disk(small_model)


def settings():
    names = ("overwrite_ents", "spans_key", "min_score", "alternatives", "use_sents", "device")
    return dict(zip(names, (False, None, 0.0, 0, True, None), strict=True))


def test_without_torch_a_pipeline_tags_is_saved_and_loaded(exported_model, tmp_path):
    code = f"""
import sys
sys.modules["torch"] = None  # importing it fails, as where it is not installed
import spacy
nlp = spacy.blank("en")
nlp.add_pipe("entity_ruler").add_patterns([{{"label": "LOC", "pattern": "Obi"}}])
nlp.add_pipe("ner_crf", config={{"model": {exported_model!r}, "alternatives": 2}})
nlp.add_pipe("ner_redact")
doc = nlp({TEXT!r})
nlp.to_disk({str(tmp_path / "saved")!r})
again = spacy.load({str(tmp_path / "saved")!r})
assert [str(e) for e in again({TEXT!r}).ents] == [str(e) for e in doc.ents], doc.ents
assert doc._.redacted != doc.text and len(doc.ents) > 1
assert not any(name.startswith("torch.") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
