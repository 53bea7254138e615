"""Shapes that other tools export: read right, or one line says what they are and what to do."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import ner
from ner.formats import DataError, DataWarning

TEXT = "Ada Obi joined Kestrel."
FOUND = [("Ada Obi", "PER"), ("Kestrel", "ORG")]
TAGS = [1, 2, 0, 3, 0]
NAMES = ["O", "B-PER", "I-PER", "B-ORG"]
TOKENS = ["Ada", "Obi", "joined", "Kestrel", "."]
CLASS_NAMES = {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"}


def spans(start: str, end: str, label: str) -> list[dict[str, Any]]:
    return [{start: 0, end: 7, label: "PER"}, {start: 15, end: 22, label: "ORG"}]


READ: dict[str, Any] = {
    "LightTag": {"examples": [{"content": TEXT, "annotations": spans("start", "end", "tag")}]},
    "UBIAI": {"documentName": "a", "document": TEXT, "annotation": spans("start", "end", "label")},
    "UBIAI, entities as tokens": {
        "documentName": "a",
        "document": TEXT,
        "tokens": spans("start", "end", "entityLabel"),
    },
    "SageMaker": {
        "source": TEXT,
        "job": {"annotations": {"entities": spans("startOffset", "endOffset", "label")}},
        "job-metadata": {"entities": [{"confidence": 0.9}], "type": "groundtruth/text-span"},
    },
    "AutoML": {
        "annotations": [
            {"text_extraction": {"text_segment": {"end_offset": 7}}, "display_name": "PER"},
            {
                "text_extraction": {"text_segment": {"start_offset": 15, "end_offset": 22}},
                "display_name": "ORG",
            },
        ],
        "text_snippet": {"content": TEXT},
    },
    "Vertex AI": {
        "textContent": TEXT,
        "textSegmentAnnotations": [
            {"endOffset": 7, "displayName": "PER"},
            {"startOffset": 15, "endOffset": 22, "displayName": "ORG"},
        ],
    },
    "Azure": {
        "assets": {
            "utterances": [
                {
                    "text": TEXT,
                    "entities": [
                        {"category": "PER", "offset": 0, "length": 7},
                        {"category": "ORG", "offset": 15, "length": 7},
                    ],
                }
            ]
        }
    },
    "a language model": {
        "text": TEXT,
        "entities": [
            {"text": TEXT[15:22], "type": "ORG"},
            {"text": TEXT[:7], "label": "PER"},
        ],
    },
    "a language model, by label": {
        "text": TEXT,
        "entities": {"PER": [TEXT[:7]], "ORG": TEXT[15:22], "LOC": []},
    },
    "rows of Hugging Face": {
        "features": [{"name": "ner_tags", "type": CLASS_NAMES}],
        "rows": [{"row_idx": 0, "row": {"tokens": TOKENS, "ner_tags": TAGS}}],
    },
    "rows with a table of features": {
        "features": {"ner_tags": CLASS_NAMES},
        "rows": [{"tokens": TOKENS, "ner_tags": TAGS}],
    },
}


def facts(path: Path, **options: Any) -> list[tuple[str, str]]:
    return [
        (" ".join(one.tokens[x.start : x.end]), x.label)
        for one in ner.read(path, tokenizer="plain", **options)
        for x in one.spans or ()
    ]


@pytest.mark.parametrize("kind", READ)
def test_what_tools_export_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(READ[kind]) + "\n")
    assert facts(path) == FOUND


def test_numbers_of_tags_take_their_names(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"tokens": TOKENS, "ner_tags": TAGS}) + "\n")
    with pytest.raises(DataError, match=r"x.jsonl:1: .* for example names: \[O, B-PER, I-PER\]"):
        facts(path)
    assert facts(path, names=NAMES) == FOUND
    with pytest.raises(DataError, match="holds 3, but there are only 3 names"):
        facts(path, names=NAMES[:3])


def test_what_a_loss_passes_over_is_not_annotated(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"tokens": ["a", "b", "c"], "ner_tags": [1, -100, 0]}) + "\n")
    (found,) = ner.read(path, names=NAMES)
    assert found.tokens == ("a", "b", "c")
    assert [one.label for one in found.spans or ()] == ["PER"]
    assert found.unknown == {1}


@pytest.mark.parametrize(
    ("tokens", "tags"),
    [
        (["[CLS]", "Ang", "##ela", "left", "[SEP]"], [-100, 1, -100, 0, -100]),
        (["[CLS]", "Ang", "##ela", "left", "[SEP]", "[PAD]"], [-100, 1, 2, 0, -100, -100]),
        (["<s>", "\u2581Ang", "ela", "\u2581left", "</s>"], [-100, 1, -100, 0, -100]),
        (["<s>", "Ang", "ela", "\u0120left", "</s>"], [-100, 1, -100, 0, -100]),
        (["[CLS]", "Ang", "##ela", "left", "[SEP]"], [-100, "B-PER", -100, "O", -100]),
    ],
)
def test_subwords_are_read_as_words(tokens: list[str], tags: list[Any], tmp_path: Path) -> None:
    """As a training set of a transformer has them, whatever its tokenizer."""
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"tokens": tokens, "labels": tags}) + "\n")
    options = {} if "O" in tags else {"names": NAMES}
    (found,) = ner.read(path, **options)
    assert found.tokens == ("Angela", "left")
    assert found.spans == (ner.Span(0, 1, "PER"),)
    assert not found.unknown


@pytest.mark.parametrize(
    ("preset", "tags", "labels"),
    [
        ("few-nerd", [7, 7, 0], ["person"]),
        ("wikiann", [1, 2, 5], ["PER", "LOC"]),
        ("conll2003", [1, 2, 7], ["PER", "MISC"]),
        ("wnut17", [9, 10, 3], ["person", "creative-work"]),
    ],
)
def test_well_known_datasets_have_a_preset(
    preset: str, tags: list[int], labels: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"tokens": ["a", "b", "c"], "ner_tags": tags}) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        (found,) = ner.read(path, preset=preset)
    assert [one.label for one in found.spans or ()] == labels


def test_kaggle_has_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "ner_dataset.csv"
    table = "Sentence #,Word,POS,Tag\nSentence: 1,Zo\u00eb,NNP,B-per\n,left,VBD,O\n"
    path.write_bytes(table.encode("cp1252"))
    (found,) = ner.read(path, preset="kaggle")
    assert found.tokens == ("Zo\u00eb", "left")


@pytest.mark.parametrize(
    ("unit", "start", "end"),
    [
        ("characters", 2, 5),
        ("utf-16", 3, 6),
        ("bytes", 5, 8),
        ("inclusive", 2, 4),
        ("utf-16 inclusive", 3, 5),
    ],
)
@pytest.mark.parametrize("quotes", [True, False])
def test_label_studio_may_count_in_any_unit(
    unit: str, start: int, end: int, quotes: bool, tmp_path: Path
) -> None:
    """Recognised by what the regions quote; else as the option says."""
    value = {"start": start, "end": end, "labels": ["PER"], **({"text": "Ada"} if quotes else {})}
    result = [{"id": "1", "type": "labels", "value": value}]
    task = {"data": {"text": "\U0001f600 Ada left"}, "annotations": [{"result": result}]}
    path = tmp_path / "x.json"
    path.write_text(json.dumps([task]))
    options = {} if quotes else {"offsets": unit}
    (found,) = ner.read(path, tokenizer="blanks", **options)
    assert found.spans == (ner.Span(1, 2, "PER"),)


REFUSED: dict[str, tuple[str, str, str]] = {
    "subwords": ("x.jsonl", '{"input_ids": [101, 102], "labels": [-100, 1]}', "write the words"),
    "TACRED": ("x.json", '[{"token": ["Ada"], "subj_type": "PERSON"}]', "this is TACRED"),
    "Datasaur": ("x.json", '{"spanLabels": []}', "export it as CoNLL"),
    "text elsewhere": ("x.jsonl", '{"source-ref": "s3://x/a.txt"}', "in another file"),
    "Azure documents": ("x.json", '{"assets": {"documents": []}}', "project of Azure Language"),
    "two jobs": (
        "x.jsonl",
        '{"source": "a", "p": {"annotations": {"entities": []}}, '
        '"q": {"annotations": {"entities": []}}}',
        "several labelling jobs",
    ),
    "OpenNLP": ("x.txt", "<START:person> Ada Obi <END> left .\n", "training data of OpenNLP"),
    "GATE": ("x.xml", '<?xml version="1.0"?>\n<GateDocument version="3">', "this is GATE XML"),
    "LTF": ("x.xml", '<!DOCTYPE LCTL_TEXT SYSTEM "x">\n<LCTL_TEXT>', "this is LTF"),
    "LAF": ("x.xml", '<?xml version="1.0"?>\n<LCTL_ANNOTATIONS>', "this is LAF"),
    "ACE": ("x.apf.xml", '<!DOCTYPE source_file SYSTEM "apf"><source_file URI="x">', "ACE APF"),
    "NIF": ("x.ttl", "@prefix nif: <http://x#> .\n", "RDF in Turtle"),
    "NAF": ("x.xml", '<NAF version="v3">', "this is NAF XML"),
    "FoLiA": ("x.xml", '<FoLiA xmlns="x">', "folia2columns"),
    "Knowtator": ("x.xml", '<annotations textSource="a.txt">', "Knowtator XML"),
    "Comprehend": ("x.csv", "File,Line,Begin Offset,End Offset,Type\n", "Amazon Comprehend"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_named_in_one_line(kind: str, tmp_path: Path) -> None:
    name, content, message = REFUSED[kind]
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        list(ner.read(path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:1: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["<START> O\n<END> O\n", "@prefix O\nPREFIX O\n", "PREFIX\tO\n"])
def test_tokens_that_look_like_other_files_are_tokens(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text(text)
    (found,) = ner.read(path)
    assert len(found.tokens) == len(text.split()) // 2
