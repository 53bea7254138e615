"""Raw texts in, documents with entities out: the same for both kinds of model."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import ner
from ner.cli import main
from ner.export import write as export
from ner.sentence import Span, in_document
from ner.streaming.tokenizers import tokenized
from ner.tagger import Tagger
from ner.texts import Parts, TaggedText, as_one_document, predict_parts
from ner.tokenizer import tokenize

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


LINE = "Ada Obi joined Kestrel Foods in Accra. It rained in Lima. Obi left."


def places(record):
    return [(one["start"], one["end"], one["label"], round(one["score"], 5)) for one in record]


@pytest.mark.parametrize("split", [True, False])
def test_the_command_the_server_and_python_find_the_same_in_a_text(
    split, tagger, small_model, exported_model, tmp_path, capsys
):
    from fastapi.testclient import TestClient

    from ner.serving import application

    expected = [
        {"start": e.start_char, "end": e.end_char, "label": e.label, "score": e.score}
        for e in tagger.tag(LINE, split=split).entities
    ]
    assert len(tagger.tag(LINE, split=split).sentences) == (3 if split else 1)
    assert expected
    model = small_model if isinstance(tagger, Tagger) else exported_model
    records = tmp_path / "records.jsonl"
    records.write_text(json.dumps({"text": LINE}) + "\n", encoding="utf-8")
    lines = tmp_path / "lines.txt"
    lines.write_text(LINE + "\n", encoding="utf-8")
    for path in (records, lines):
        assert main(["tag", model, str(path), "--quiet", *([] if split else ["--no-split"])]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        record = json.loads(line)
        assert record["text"] == LINE
        assert places(record["spans"]) == places(expected)
        for one in record["spans"]:
            assert one["text"] == LINE[one["start"] : one["end"]]
            tokens = record["tokens"][one["token_start"] : one["token_end"]]
            assert "".join(tokens) == "".join(one["text"].split())
    with TestClient(application(tagger), base_url="http://127.0.0.1") as client:
        for asked in ({"text": LINE}, {"texts": [LINE]}, {"texts": [LINE], "document": True}):
            answer = client.post("/tag", json={**asked, "split": split}).json()
            record = answer if isinstance(answer, dict) else answer[0]
            assert places(record["spans"]) == places(expected)


def test_the_texts_of_a_document_are_split_and_know_each_other(tagger):
    whole = [tokenized(text, tokenize) for text in (LINE, "", "He was in Quito. She was not.")]
    parts = as_one_document(list(map(Parts.of, whole)))
    together = [one for own in parts for one in own.sentences]
    assert [one.position for one in together] == [0, 1, 2, 3, 4]
    assert {id(one.document) for one in together} == {id(together[0].document)}
    found = predict_parts(tagger.predict, parts)
    assert found[1] == ()
    flat = iter(tagger.predict(together))
    for own, spans in zip(parts, found, strict=True):
        for first, one in zip(own.firsts, own.sentences, strict=True):
            for span in next(flat):
                assert replace(span, start=span.start + first, end=span.end + first) in spans
                assert own.whole.tokens[first : first + len(one)] == one.tokens


def test_a_span_that_is_annotated_is_never_split():
    whole = tokenized(LINE, tokenize)
    given = replace(whole, spans=(Span(6, 9, "ORG"), Span(13, 14, "LOC")), unknown=frozenset({0}))
    own = Parts.of(given)
    assert own.firsts == (0, 13)
    assert own.sentences[0].spans == (Span(6, 9, "ORG"),)
    assert own.sentences[1].spans == (Span(0, 1, "LOC"),)
    assert own.sentences[0].unknown == {0}
    assert own.sentences[1].unknown == frozenset()
    assert own.spans(iter([one.spans for one in own.sentences])) == given.spans
