"""Raw texts in, documents with entities out: the same for both kinds of model."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import ner
from ner.cli import main
from ner.export import write as export
from ner.sentence import in_document
from ner.tagger import Tagger
from ner.texts import TaggedText

TEXT = "Ada Obi joined Kestrel Foods in Accra. It rained in Lima.\n\nThe Harbour Cup\n\nObi left."


@pytest.fixture(scope="module", params=["torch", "exported"])
def tagger(request, small_model):
    return ner.load(
        small_model if request.param == "torch" else request.getfixturevalue("exported_model")
    )


def test_a_text_gives_a_document_whose_entities_stand_in_it(tagger):
    doc = tagger.tag(TEXT)
    assert doc.text == TEXT
    assert doc.tokenizer == "builtin"
    assert [one.text for one in doc.sentences] == [
        "Ada Obi joined Kestrel Foods in Accra.",
        "It rained in Lima.",
        "The Harbour Cup",
        "Obi left.",
    ]
    assert doc.entities
    for one in doc.entities:
        assert TEXT[one.start_char : one.end_char] == one.text
        assert one.label in tagger.labels
        assert 0.0 <= one.score <= 1.0


def test_tag_is_predict_of_the_sentences_as_one_document(tagger):
    doc = tagger.tag(TEXT)
    alone = in_document([replace(one, spans=None) for one in doc.sentences])
    assert [one.spans for one in doc.sentences] == tagger.predict(alone)
    assert len(doc.entities) == sum(len(one.spans) for one in doc.sentences)


def test_a_list_gives_a_list_and_a_stream_a_stream_read_no_further_than_needed(tagger, monkeypatch):
    texts = [TEXT, "", "  \n ", "Lin Ho resigned."]
    assert tagger.tag(texts) == [tagger.tag(text) for text in texts]
    assert tagger.tag([]) == []
    monkeypatch.setattr("ner.texts.BATCH", 1)
    taken = []
    stream = tagger.tag(taken.append(n) or TEXT for n in range(100))
    assert not isinstance(stream, list)
    assert isinstance(next(stream), TaggedText)
    assert len(taken) == 1


def test_the_tokenizer_is_the_models_or_what_the_call_says(tagger, small_model, tmp_path):
    doc = tagger.tag("Ada's cat", tokenizer="spacy")
    assert doc.tokenizer == "spacy"
    with pytest.raises(ner.errors.ConfigError, match="unknown tokenizer 'nltk'"):
        tagger.tag("Ada", tokenizer="nltk")
    german = ner.tagger.load(small_model)
    german.tokenizer = "spacy:de"
    german.save(tmp_path / "german")
    assert ner.load(tmp_path / "german").tag("Ada").tokenizer == "spacy:de"
    export(german, tmp_path / "exported")
    assert ner.load(tmp_path / "exported").tokenizer == "spacy:de"


def test_models_of_0_1_0_use_the_built_in_tokenizer():
    model = Path(__file__).parent / "data" / "releases" / "0.1.0" / "model"
    assert ner.load(model).tag("Ada Obi.").tokenizer == "builtin"


def test_what_is_not_a_text_is_refused(tagger):
    for wrong in (b"Ada", 3, [3], [["Ada", "Obi"]]):
        with pytest.raises(TypeError):
            tagger.tag(wrong)


def test_a_document_reads_well_and_shows_itself_in_a_notebook(tagger):
    text = "Obi <b> " * 50
    doc = tagger.tag(text)
    assert len(repr(doc)) < 400
    html = doc._repr_html_()
    assert "<mark" in html
    assert "&lt;b&gt;" in html
    assert "no entities" in repr(tagger.tag(""))


def test_taggers_read_well(tagger, small_model):
    assert "LOC, MISC, ORG, PER" in repr(tagger)
    assert len(repr(tagger)) < 300
    assert isinstance(ner.load(small_model), Tagger)


def test_an_exported_model_tags_a_text_without_torch_or_spacy(exported_model):
    code = (
        "import sys, ner\n"
        f"doc = ner.load({exported_model!r}).tag('Ada Obi left. She is in Accra.')\n"
        "assert len(doc.sentences) == 2\n"
        "assert not {'torch', 'spacy', 'yaml'} & set(sys.modules), sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_exported_model_is_refused_where_training_is_needed(exported_model, capsys):
    assert main(["calibrate", exported_model, "x.conll"]) == 2
    assert "exported model" in capsys.readouterr().err
