"""What annotation tools ask of the server: spans that are given, and Label Studio's protocol."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

import ner
from ner.analysis.alternatives import ClampedEngine
from ner.formats.annotations import task_record
from ner.redaction import Redactor, Replacer, compiled
from ner.sentence import Sentence, Span
from ner.serving import application

TEXT = "Ada Obi joined Kestrel Foods in Accra ."
TOKENS = TEXT.split()
CONFIG = """<View><Labels name="who" toName="doc">
  <Label value="PER"/><Label value="LOC"/></Labels><Text name="doc" value="$body"/></View>"""


@pytest.fixture(scope="module")
def tagger(small_model):
    return ner.load(small_model)


@pytest.fixture(scope="module")
def client(tagger):
    with TestClient(application(tagger, name="news-2"), base_url="http://127.0.0.1") as client:
        yield client


def tag(client, **asked):
    answer = client.post("/tag", json=asked)
    assert answer.status_code == 200, answer.text
    return [
        (one["start"], one["end"], one["label"], one["score"]) for one in answer.json()["spans"]
    ]


def test_given_spans_stay_and_the_others_follow(client, tagger):
    """The oracle is the engine that clamps, which is held against sums over all paths."""
    given = {"start": 8, "end": 14, "label": "PER"}
    found = tag(client, text=TEXT, spans=[given])
    assert (8, 14, "PER") in [one[:3] for one in found]
    free = frozenset(range(len(TOKENS))) - {2}
    sentence = Sentence(tuple(TOKENS), (Span(2, 3, "PER"),), unknown=free)
    (expected,) = ClampedEngine(tagger, tagger.decoding).predict([sentence])
    assert len(found) == len(expected)
    assert [one[3] for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)
    by_tokens = tag(client, tokens=TOKENS, spans=[{"start": 2, "end": 3, "label": "PER"}])
    assert [one[2:] for one in by_tokens] == [one[2:] for one in found]


def test_a_span_that_is_taken_away_stays_away(client):
    before = tag(client, text=TEXT)
    start, end, *_ = before[0]
    after = tag(client, text=TEXT, spans=[{"start": start, "end": end, "label": ""}])
    assert not [one for one in after if one[0] < end and start < one[1]]


def test_a_sentence_that_is_given_as_a_whole_is_the_answer(client):
    spans = [{"start": 0, "end": 7, "label": "ORG"}, {"start": 7 + 1, "end": 39, "label": ""}]
    assert [one[:3] for one in tag(client, text=TEXT, spans=spans)] == [(0, 7, "ORG")]


def test_requests_with_and_without_spans_are_tagged_together(client):
    plain = tag(client, text=TEXT)
    tag(client, text=TEXT, spans=[{"start": 0, "end": 3, "label": "LOC"}])
    assert tag(client, text=TEXT) == plain


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"text": TEXT, "spans": [{"start": 1, "end": 3, "label": "PER"}]}, "begin and end with"),
        ({"text": TEXT, "spans": [{"start": 0, "end": 3, "label": "DRUG"}]}, "expected one of"),
        ({"text": TEXT, "spans": [{"start": 0, "label": "PER"}]}, "end: expected a value"),
        ({"text": TEXT, "spans": [{"start": 0, "end": 7, "label": "PER"}] * 2}, "overlaps"),
        ({"texts": [TEXT], "spans": [{"start": 0, "end": 3, "label": "PER"}]}, "text or tokens"),
    ],
)
def test_spans_that_cannot_be_are_refused(client, asked, message):
    answer = client.post("/tag", json=asked)
    assert answer.status_code == 422
    assert re.search(message, answer.json()["error"]), answer.text


def test_an_exported_model_tags_around_given_spans_too(client, exported_model):
    app = application(ner.load(exported_model))
    with TestClient(app, base_url="http://127.0.0.1") as other:
        spans = [{"start": 8, "end": 14, "label": "PER"}]
        found, expected = (tag(one, text=TEXT, spans=spans) for one in (other, client))
    assert (8, 14, "PER") in [one[:3] for one in found]
    assert [one[:3] for one in found] == [one[:3] for one in expected]
    assert [one[3] for one in found] == pytest.approx([one[3] for one in expected], abs=1e-3)


def test_label_studio_connects_predicts_and_is_told_who_trains(client, tagger):
    """The requests are those of Label Studio's client, ``label_studio.ml.api_connector.MLApi``."""
    assert client.get("/health").status_code == 200
    setup = {"project": "7.1700000000", "schema": CONFIG, "hostname": "", "access_token": ""}
    assert client.post("/setup", json=setup).json() == {"model_version": "news-2"}
    tasks = [{"id": n, "data": {"body": text}} for n, text in enumerate((TEXT, "It rained ."))]
    body = {"tasks": tasks, "project": "7.1700000000", "label_config": CONFIG, "params": {}}
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == 2
    for result, task in zip(results, tasks, strict=True):
        assert result["model_version"] == "news-2"
        assert 0.0 <= result["score"] <= 1.0
        for region in result["result"]:
            assert (region["from_name"], region["to_name"]) == ("who", "doc")
            value = region["value"]
            assert task["data"]["body"][value["start"] : value["end"]] == value["text"]
            assert set(value["labels"]) <= {"PER", "LOC"}
    record = task_record({**tasks[0], "predictions": results[:1]})
    found = [(one["start"], one["end"], one["label"]) for one in record["predictions"]]
    wanted = [one[:3] for one in tag(client, text=TEXT) if one[2] in ("PER", "LOC")]
    assert found == wanted
    for path in ("/train", "/webhook"):
        refused = client.post(path, json={"action": "START_TRAINING"})
        assert refused.status_code == 501
        assert "ner train --init-from" in refused.json()["error"]


def test_regions_of_the_annotator_are_presets(client):
    value = {"start": 8, "end": 14, "text": "joined", "labels": ["LOC"]}
    region = {"id": "a", "from_name": "who", "to_name": "doc", "type": "labels", "value": value}
    body = {
        "tasks": [{"data": {"body": TEXT}}],
        "label_config": CONFIG,
        "params": {"context": {"result": [region]}},
    }
    (result,) = client.post("/predict", json=body).json()["results"]
    given = [one["value"] for one in result["result"]]
    assert (8, 14, ["LOC"]) in [(one["start"], one["end"], one["labels"]) for one in given]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tasks": 3}, "tasks: expected a list"),
        ({"tasks": [{"data": {"other": "x"}}]}, r"tasks\[0\].data.text: expected a text"),
        ({"tasks": [], "label_config": "<View"}, "not XML"),
        ({"tasks": [], "label_config": "<!DOCTYPE x [<!ENTITY a 'b'>]><View/>"}, "declarations"),
        ({"tasks": [], "label_config": "<View/>"}, "expected <Labels>"),
    ],
)
def test_what_is_no_request_of_label_studio_is_refused(client, body, message):
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    assert re.search(message, answer.json()["error"]), answer.text


def test_no_tasks_have_no_predictions(client):
    assert client.post("/predict", json={"tasks": []}).json() == {"results": []}


def test_patterns_of_the_server_are_always_redacted_and_tagged_around(tagger):
    patterns = compiled({"PER": "Kestrel", "X": r"\bin\b"})
    app = application(tagger, patterns=patterns)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.post("/redact", json={"text": TEXT}).json()
        hidden = [(one["start"], one["end"], one["label"]) for one in answer["hidden"]]
        assert (15, 22, "PER") in hidden
        assert any(start <= 29 and end >= 31 and label == "X" for start, end, label in hidden)
        (expected,) = Redactor.of(tagger, Replacer("label"), patterns=patterns).redact([TEXT])
        assert answer["text"] == expected.text
        assert "X" not in {one[2] for one in tag(client, text=TEXT)}  # they are for /redact
