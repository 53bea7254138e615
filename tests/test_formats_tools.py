"""What is written for annotation tools is what each of them takes, and comes back the same.

The schemas are those that the tools publish: Label Studio's "Import pre-annotated data" and task
format, Prodigy's annotation interfaces, doccano's JSONL of sequence labelling, Argilla 2's
``Record.from_dict``. All of them count an end as one past the last character.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ner
from ner.cli import main
from ner.errors import DataWarning
from ner.formats import TOOLS, DataError
from ner.formats.kinds import kind_of
from ner.sentence import Sentence, Span

TEXT = "Ada Obi joined \U0001f600 Kestrel."
GOLD = Sentence(
    ("Ada", "Obi", "joined", "\U0001f600", "Kestrel", "."),
    (Span(0, 2, "PER"), Span(4, 5, "ORG")),
    text=TEXT,
    offsets=((0, 3), (4, 7), (8, 14), (15, 16), (17, 24), (24, 25)),
)
GUESSED = replace(GOLD, spans=(Span(0, 2, "PER", 0.9), Span(4, 5, "ORG", 0.25)))
NOTHING = Sentence(("It", "rained"), ())
PLACES = [("PER", 0, 7, "Ada Obi"), ("ORG", 17, 24, "Kestrel")]

# for each key: the type of its value, and whether the tool insists on it
Schema = dict[str, tuple[type | tuple[type, ...], bool]]
TEXTS, NUMBERS, PLACE = (str, True), (float, False), {"start": (int, True), "end": (int, True)}
SCHEMAS: dict[str, Schema] = {
    "task": {"data": (dict, True), "annotations": (list, False), "predictions": (list, False)},
    "annotation": {"result": (list, True)},
    "prediction": {"result": (list, True), "model_version": (str, False), "score": NUMBERS},
    "region": {
        **dict.fromkeys(("id", "from_name", "to_name", "type"), TEXTS),
        "value": (dict, True),
        "score": NUMBERS,
        "meta": (dict, False),
    },
    "value": {**PLACE, "labels": (list, True), "text": (str, False), "score": NUMBERS},
    "prodigy": {
        "text": TEXTS,
        "tokens": (list, False),
        "spans": (list, False),
        "answer": (str, False),
    },
    "prodigy token": {**PLACE, "text": TEXTS, "id": (int, True), "ws": (bool, False)},
    "prodigy span": {
        **PLACE,
        "label": TEXTS,
        "token_start": (int, True),
        "token_end": (int, True),
        "text": (str, False),
        "score": NUMBERS,
    },
    "doccano": {  # other keys become its metadata
        "text": TEXTS,
        "label": (list, True),
        "scores": (list, False),
        "alternatives": (list, False),
    },
    "argilla": {"fields": (dict, True), "suggestions": (dict, False), "responses": (dict, False)},
    "suggestion": {"value": (list, True), "score": (list, False), "agent": (str, False)},
    "response": {"value": (list, True), "user_id": TEXTS},
    "argilla span": {**PLACE, "label": TEXTS},
}


def hold(given: Any, schema: str) -> None:
    """Check an object against what a tool takes."""
    wanted = SCHEMAS[schema]
    assert isinstance(given, dict)
    assert given.keys() <= wanted.keys(), schema
    for key, (kind, needed) in wanted.items():
        assert key in given or not needed, (schema, key)
        assert key not in given or isinstance(given[key], kind), (schema, key)


def written(path: Path, tool: str, *sentences: Sentence, **options: Any) -> list[Any]:
    ner.write(path, sentences, format=tool, **options)
    text = path.read_text(encoding="utf-8")
    if tool in ("labelstudio", "argilla"):
        found = json.loads(text)
        assert isinstance(found, list)
        return found
    return [json.loads(line) for line in text.splitlines()]


def test_label_studio_takes_annotation_as_an_array_of_tasks(tmp_path: Path) -> None:
    tasks = written(tmp_path / "x.json", "labelstudio", GOLD, NOTHING)
    for task in tasks:
        hold(task, "task")
        (annotation,) = task["annotations"]
        hold(annotation, "annotation")
        for region in annotation["result"]:
            hold(region, "region")
            hold(region["value"], "value")
    regions = tasks[0]["annotations"][0]["result"]
    assert len({one["id"] for one in regions}) == 2
    values = [one["value"] for one in regions]
    assert [(*one["labels"], one["start"], one["end"], one["text"]) for one in values] == PLACES


def test_label_studio_takes_guesses_as_predictions(tmp_path: Path) -> None:
    (task,) = written(tmp_path / "x.json", "labelstudio", GUESSED, model_version="news-2")
    hold(task, "task")
    assert task["annotations"] == []
    (prediction,) = task["predictions"]
    hold(prediction, "prediction")
    assert prediction["model_version"] == "news-2"
    assert prediction["score"] == 0.25  # the least, by which its Data Manager sorts
    assert [one["score"] for one in prediction["result"]] == [0.9, 0.25]
    for region in prediction["result"]:
        hold(region, "region")
        hold(region["value"], "value")


@pytest.mark.parametrize("suggested", [True, False])
def test_what_spans_become_can_be_chosen(suggested: bool, tmp_path: Path) -> None:
    one = GOLD if suggested else GUESSED
    (task,) = written(tmp_path / "x.json", "labelstudio", one, suggestions=suggested)
    assert bool(task.get("predictions")) == suggested
    assert bool(task["annotations"]) != suggested
    (example,) = written(tmp_path / "x.jsonl", "prodigy", one, suggestions=suggested)
    assert ("answer" in example) != suggested


def test_prodigy_counts_the_last_token_in(tmp_path: Path) -> None:
    gold, guessed = written(tmp_path / "x.jsonl", "prodigy", GOLD, GUESSED)
    for example in (gold, guessed):
        hold(example, "prodigy")
        for token in example["tokens"]:
            hold(token, "prodigy token")
            assert TEXT[token["start"] : token["end"]] == token["text"]
        for span in example["spans"]:
            hold(span, "prodigy span")
            tokens = example["tokens"]
            assert tokens[span["token_start"]]["start"] == span["start"]
            assert tokens[span["token_end"]]["end"] == span["end"]
    assert gold["answer"] == "accept"
    assert "answer" not in guessed  # its annotators still have to say


def test_doccano(tmp_path: Path) -> None:
    (line,) = written(tmp_path / "x.jsonl", "doccano", GOLD)
    hold(line, "doccano")
    assert line == {"text": TEXT, "label": [[0, 7, "PER"], [17, 24, "ORG"]]}


def test_argilla_takes_suggestions_and_the_responses_of_a_user(tmp_path: Path) -> None:
    gold, guessed, nothing = written(
        tmp_path / "x.json", "argilla", GOLD, GUESSED, NOTHING, user="5f2c"
    )
    for record in (gold, guessed, nothing):
        hold(record, "argilla")
    (response,) = gold["responses"]["spans"]
    hold(response, "response")
    assert response["user_id"] == "5f2c"
    hold(guessed["suggestions"]["spans"], "suggestion")
    assert guessed["suggestions"]["spans"]["score"] == [0.9, 0.25]
    for span in (*response["value"], *guessed["suggestions"]["spans"]["value"]):
        hold(span, "argilla span")
    (asked,) = written(tmp_path / "y.json", "argilla", GOLD)
    assert asked["responses"] == {}  # a response without its user would be refused
    hold(asked["suggestions"]["spans"], "suggestion")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("sentences", [(GOLD, NOTHING), (GUESSED, NOTHING), ()])
def test_what_is_written_comes_back(
    tool: str, sentences: tuple[Sentence, ...], tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    ner.write(path, sentences, format=tool, **({"user": "5f2c"} if tool == "argilla" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found = list(ner.read(path, tokenizer="plain"))
    assert [(one.tokens, one.spans) for one in found] == [
        (one.tokens, one.spans) for one in sentences
    ]
    if tool in ("labelstudio", "argilla", "prodigy"):
        scores = [[x.score for x in one.spans or ()] for one in found]
        assert scores == [[x.score for x in one.spans or ()] for one in sentences]
    assert not sentences or getattr(kind_of(path), "format", None) == "jsonl"


@pytest.mark.parametrize("tool", TOOLS)
def test_convert_writes_for_tools_by_name(tool: str, tmp_path: Path) -> None:
    source, target = tmp_path / "x.conll", tmp_path / "y.json"
    source.write_text("Ada B-PER\nleft O\n")
    assert main(["convert", str(source), str(target), "--to", tool, "--quiet"]) == 0
    assert '"PER"' in target.read_text()


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_take_no_shape_and_no_partial_annotation(tool: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(ValueError, match=f"the {tool} writer has no option 'shape'"):
        ner.write(path, [GOLD], format=tool, shape="tags")
    with pytest.raises(ValueError, match=f"has unannotated tokens, which {tool} cannot express"):
        ner.write(path, [replace(GOLD, unknown=frozenset({2}))], format=tool)
    assert not path.exists()


def test_webanno_tsv_holds_what_inception_asks_for(tmp_path: Path) -> None:
    """The header first, then each sentence with its text, offsets in UTF-16 and end exclusive."""
    path = tmp_path / "x.tsv"
    ner.write(path, [GOLD, NOTHING], format="webanno")
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines[0] == "#FORMAT=WebAnno TSV 3.3"
    assert (
        lines[1] == "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value"
    )
    assert lines[2:5] == ["", "", f"#Text={TEXT}"]
    rows = [line.split("\t") for line in lines if line[:1].isdigit()]
    assert [row[:3] for row in rows[:6]] == [
        ["1-1", "0-3", "Ada"],
        ["1-2", "4-7", "Obi"],
        ["1-3", "8-14", "joined"],
        ["1-4", "15-17", "\U0001f600"],
        ["1-5", "18-25", "Kestrel"],
        ["1-6", "25-26", "."],
    ]
    assert [row[3:5] for row in rows[:2]] == [["*[1]", "PER[1]"]] * 2
    assert all(len(row) == 6 and row[5] == "" for row in rows)


def test_pubtator_holds_what_its_tools_ask_for(tmp_path: Path) -> None:
    """Title and abstract, then six fields a mention, counted over both with one between."""
    path = tmp_path / "x.pubtator"
    ner.write(path, [GOLD])
    title, abstract, *mentions, _, end = path.read_text(encoding="utf-8").split("\n")
    assert (title, abstract, end) == (f"1|t|{TEXT}", "1|a|", "")
    rows = [one.split("\t") for one in mentions]
    assert all(len(row) == 6 for row in rows)
    assert [(row[4], int(row[1]), int(row[2]), row[3]) for row in rows] == PLACES
    path.write_text(path.read_text().replace("\t24\t", "\t23\t"))
    with pytest.raises(DataError, match="should be 'Kestrel'"):
        list(ner.read(path))
