"""JSON as many tools write it: each shape gives the same sentences, or an error names its key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ner.formats import DataError, DataWarning
from ner.formats.jsonl import read
from ner.sentence import Sentence, Span

TEXT = "Ada Obi joined Kestrel."
TOKENS = ["Ada", "Obi", "joined", "Kestrel", "."]
ADA = Sentence(tuple(TOKENS), (Span(0, 2, "PER"), Span(3, 4, "ORG")))
PLACES = [
    {"start": 0, "end": 7, "label": "PER"},
    {"start": 15, "end": 22, "label": "ORG"},
]


def region(start: int, end: int, label: str, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]}
    return {"id": label, "type": "labels", "value": value, **more}


def hyper(start: int, end: int, label: str) -> dict[str, Any]:
    value = {
        "start": "/div[1]/text()[1]",
        "end": "/div[1]/text()[1]",
        "startOffset": start + 9,
        "endOffset": end + 9,
        "globalOffsets": {"start": start, "end": end},
        "hypertextlabels": [label],
    }
    return {"id": label, "type": "hypertextlabels", "value": value}


RECORDS: dict[str, Any] = {
    **{
        f"spans under {key}": {"text": TEXT, key: PLACES}
        for key in (
            *("ents", "annotations", "annotation", "entity_mentions", "ner", "mentions", "tags"),
            "named_entities",
        )
    },
    "PubAnnotation": {
        "text": TEXT,
        "denotations": [
            {"id": "T1", "span": {"begin": 0, "end": 7}, "obj": "PER"},
            {"id": "T2", "span": {"begin": 15, "end": 22}, "obj": "ORG"},
        ],
    },
    "Presidio": {
        "full_text": TEXT,
        "spans": [
            {
                "entity_type": one["label"],
                "start_position": one["start"],
                "end_position": one["end"],
            }
            for one in PLACES
        ],
    },
    "a document of BioC, as PubTator 3 exports it": {
        "PubTator3": [
            {
                "id": "1",
                "infons": {},
                "passages": [
                    {
                        "offset": 5,
                        "text": TEXT,
                        "annotations": [
                            {
                                "infons": {"type": one["label"]},
                                "locations": [
                                    {
                                        "offset": 5 + one["start"],
                                        "length": one["end"] - one["start"],
                                    }
                                ],
                            }
                            for one in PLACES
                        ],
                    }
                ],
            }
        ]
    },
    "offsets under labels": {"text": TEXT, "entities": {"PER": [[0, 7]], "ORG": [[15, 22]]}},
    "annotations in an object": {"text": TEXT, "annotations": {"entities": PLACES}},
    "an empty list does not win": {"text": TEXT, "spans": [], "entities": PLACES},
    "two lists that agree": {
        "text": TEXT,
        "label": [[0, 7, "PER"], [15, 22, "ORG"]],
        "ents": PLACES,
    },
    "labels first": {"text": TEXT, "annotation": [["PER", 0, 7], ["ORG", 15, 22]]},
    "offset and length": {
        "text": TEXT,
        "entities": [
            {"offset": 0, "length": 7, "type": "PER"},
            {"offset": 15, "length": 7, "type": "ORG"},
        ],
    },
    "old doccano": {
        "id": 1,
        "text": TEXT,
        "annotations": [
            {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 7, "user": 1},
            {"id": 2, "label": "ORG", "start_offset": 15, "end_offset": 22, "user": 1},
        ],
    },
    "tags beside a text": {
        "text": " ".join(TOKENS),
        "tags": ["B-PER", "I-PER", "O", "B-ORG", "O"],
    },
    "prodigy by tokens": {
        "tokens": [{"text": token, "id": place} for place, token in enumerate(TOKENS)],
        "spans": [
            {"token_start": 0, "token_end": 1, "label": "PER"},
            {"token_start": 3, "token_end": 3, "label": "ORG"},
        ],
    },
    "our own by tokens": {
        "tokens": TOKENS,
        "spans": [
            {"token_start": 0, "token_end": 2, "label": "PER"},
            {"token_start": 3, "token_end": 4, "label": "ORG"},
        ],
    },
    "GLiNER": {"tokenized_text": TOKENS, "ner": [[0, 1, "PER"], [3, 3, "ORG"]]},
    "SciERC": {
        "doc_key": "d",
        "sentences": [TOKENS],
        "ner": [[[0, 1, "PER"], [3, 3, "ORG"]]],
    },
    "OneIE": {
        "sentence": TEXT,
        "tokens": TOKENS,
        "entity_mentions": [
            {"id": "a", "entity_type": "PER", "start": 0, "end": 2},
            {"id": "b", "entity_type": "ORG", "start": 3, "end": 4},
        ],
    },
    "CLUENER": {
        "text": TEXT,
        "label": {"PER": {"Ada Obi": [[0, 6]]}, "ORG": {"Kestrel": [[15, 21]]}},
    },
    "Dataturks": {
        "content": TEXT,
        "annotation": [
            {"label": ["PER"], "points": [{"start": 0, "end": 6, "text": "Ada Obi"}]},
            {"label": ["ORG"], "points": [{"start": 15, "end": 21, "text": "Kestrel"}]},
        ],
    },
    "Rasa": {
        "rasa_nlu_data": {
            "common_examples": [
                {
                    "text": TEXT,
                    "intent": "x",
                    "entities": [
                        {"start": 0, "end": 7, "value": "ada", "entity": "PER"},
                        {"start": 15, "end": 22, "value": "k", "entity": "ORG"},
                    ],
                }
            ]
        }
    },
    "spaCy 2, for training": {
        "id": 0,
        "paragraphs": [
            {
                "raw": TEXT,
                "sentences": [
                    {
                        "tokens": [
                            {"orth": token, "ner": tag}
                            for token, tag in zip(
                                TOKENS, ["B-PER", "L-PER", "O", "U-ORG", "O"], strict=True
                            )
                        ]
                    }
                ],
            }
        ],
    },
    "spaCy 3, Doc.to_json": {
        "text": TEXT,
        "ents": PLACES,
        "tokens": [
            {"id": place, "start": start, "end": end}
            for place, (start, end) in enumerate([(0, 3), (4, 7), (8, 14), (15, 22), (22, 23)])
        ],
    },
    "UIMA CAS": {
        "%TYPES": {},
        "%FEATURE_STRUCTURES": [
            {"%ID": 1, "%TYPE": "uima.cas.Sofa", "sofaString": TEXT},
            {"%ID": 2, "%TYPE": "x.type.Token", "begin": 0, "end": 3},
            {"%ID": 3, "%TYPE": "x.type.NamedEntity", "begin": 0, "end": 7, "value": "PER"},
            {"%ID": 4, "%TYPE": "x.type.NamedEntity", "begin": 15, "end": 22, "value": "ORG"},
        ],
    },
    "CoreNLP": {
        "sentences": [
            {
                "index": 0,
                "tokens": [{"word": token} for token in TOKENS],
                "entitymentions": [
                    {"tokenBegin": 0, "tokenEnd": 2, "ner": "PER"},
                    {"tokenBegin": 3, "tokenEnd": 4, "ner": "ORG"},
                ],
            }
        ]
    },
    "Argilla 2": {
        "id": "a",
        "fields": {"text": TEXT},
        "suggestions": {},
        "responses": {"span": [{"value": PLACES, "user_id": "u"}]},
    },
    "hypertext of Label Studio": {
        "data": {"text": TEXT},
        "annotations": [{"result": [hyper(0, 7, "PER"), hyper(15, 22, "ORG")]}],
    },
    "Label Studio with other results": {
        "data": {"text": TEXT},
        "annotations": [
            {
                "result": [
                    region(0, 7, "PER"),
                    {"id": "c", "type": "choices", "value": {"choices": ["a"]}},
                    {
                        "id": "PER",
                        "type": "textarea",
                        "value": {"start": 0, "end": 7, "text": ["x"]},
                    },
                    region(15, 22, "ORG"),
                ]
            }
        ],
    },
}


def save(folder: Path, *values: Any) -> Path:
    path = folder / "x.json"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@pytest.mark.parametrize("kind", RECORDS)
def test_what_each_tool_writes_is_the_same_sentence(tmp_path: Path, kind: str) -> None:
    found = list(read(save(tmp_path, RECORDS[kind]), tokenizer="plain"))
    assert found == [ADA]


@pytest.mark.parametrize(
    "words",
    [
        [{"id": 1, "text": "Ada", "ner": "B-PER"}, {"id": 2, "text": "Obi", "ner": "E-PER"}],
        [["Ada", "NNP", "B-PER"], ["Obi", "NNP", "E-PER"]],
    ],
    ids=["Stanza", "lists"],
)
def test_a_list_of_words_with_their_tags_is_a_sentence(tmp_path: Path, words: list[Any]) -> None:
    (found,) = read(save(tmp_path, [words]))
    assert (found.tokens, found.spans) == (("Ada", "Obi"), (Span(0, 2, "PER"),))


PREDICTED = {
    "Label Studio": {
        "data": {"text": TEXT},
        "predictions": [{"result": [region(0, 7, "PER", score=0.5), region(15, 22, "ORG")]}],
    },
    "Argilla 1": {"text": TEXT, "prediction": [["PER", 0, 7, 0.5], ["ORG", 15, 22, 0.5]]},
}


@pytest.mark.parametrize("kind", PREDICTED)
def test_predictions_are_read_where_nobody_annotated_and_told(tmp_path: Path, kind: str) -> None:
    with pytest.warns(DataWarning, match="1 record with only predictions"):
        assert list(read(save(tmp_path, PREDICTED[kind]), tokenizer="plain")) == [ADA]


WRONG: dict[str, Any] = {
    "'spans' and 'entities' both hold annotation, and disagree": {
        "text": TEXT,
        "spans": PLACES[:1],
        "entities": PLACES[1:],
    },
    "tags and spans disagree": {
        "tokens": TOKENS,
        "tags": ["O"] * 5,
        "spans": [[0, 2, "PER"]],
    },
    "'tags' and 'ner_tags' both hold tags, and disagree": {
        "tokens": TOKENS,
        "tags": ["O"] * 5,
        "ner_tags": ["B-PER", "O", "O", "O", "O"],
    },
    "'my_spans' looks like annotation": {"text": TEXT, "my_spans": PLACES},
    "'meta.found' looks like annotation": {"text": TEXT, "meta": {"found": PLACES}},
    "'tracks[0].denotations' looks like annotation": {
        "text": TEXT,
        "tracks": [{"project": "a", "denotations": PLACES}],
    },
    "'spans.responses[0]' looks like annotation": {"text": TEXT, "spans.responses": [PLACES]},
    "'label' should hold a list, found a list as text": {"text": TEXT, "label": '[[0, 7, "PER"]]'},
    "'tags' should hold a list, found a list as text": {"tokens": ["a", "b"], "tags": "B-PER O"},
    "'data' holds the pieces of one text, as in Dialogflow and Snips": {
        "data": [{"text": "fly to "}, {"text": "Lagos", "entity": "city"}]
    },
    "(its label is 7, not a name)": {
        "text": TEXT,
        "annotations": [{"start_offset": 0, "end_offset": 7, "label": 7}],
    },
    "found ['Ada', 'left']; write one object per sentence": {
        "tokens": [["Ada", "left"], ["Bo"]],
        "tags": [["B-PER", "O"], ["B-PER"]],
    },
    "'gold' looks like annotation": {"tokens": ["a", "b"], "gold": ["B-PER", "O"]},
    "'tags' holds 2 tags for a text of 4 words": {"text": TEXT, "tags": ["B-PER", "O"]},
    "'labels' holds words, not spans": {"text": TEXT, "labels": ["sports"]},
    "if ends include the last token, set offsets: inclusive": {
        "tokens": TOKENS,
        "entities": [{"start": 3, "end": 3, "type": "ORG"}],
    },
    "the region 'a' of type 'labels' has no label": {
        "data": {"text": TEXT},
        "annotations": [
            {"result": [{"id": "a", "type": "labels", "value": {"start": 0, "end": 3}}]}
        ],
    },
    "is of type 'paragraphlabels' and has no label; supported are": {
        "data": {"text": TEXT},
        "annotations": [
            {
                "result": [
                    {"id": "a", "type": "paragraphlabels", "value": {"start": "0", "end": "0"}}
                ]
            }
        ],
    },
    "only regions with globalOffsets are supported": {
        "data": {"text": TEXT},
        "annotations": [
            {
                "result": [
                    {
                        "id": "a",
                        "type": "hypertextlabels",
                        "value": {
                            "start": "/p[1]/text()[1]",
                            "end": "/p[2]/text()[1]",
                            "startOffset": 0,
                            "endOffset": 3,
                            "hypertextlabels": ["X"],
                        },
                    }
                ]
            }
        ],
    },
    "which is what is read; found custom.Span": {
        "%FEATURE_STRUCTURES": [
            {"%TYPE": "uima.cas.Sofa", "sofaString": TEXT},
            {"%TYPE": "custom.Span", "begin": 0, "end": 7, "label": "PER"},
        ]
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_annotation_that_is_not_understood_is_an_error_that_names_it(
    tmp_path: Path, message: str
) -> None:
    path = save(tmp_path, {"text": "fine"}, WRONG[message])
    with pytest.raises(DataError) as caught:
        list(read(path, tokenizer="plain"))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)


def test_the_key_of_the_annotation_can_be_chosen(tmp_path: Path) -> None:
    both = {"text": TEXT, "spans": PLACES[:1], "mine": PLACES}
    path = save(tmp_path, both)
    assert list(read(path, tokenizer="plain", annotation="mine")) == [ADA]
    tags = {"tokens": TOKENS, "tags": ["O"] * 5, "gold": ["B-PER", "I-PER", "O", "B-ORG", "O"]}
    assert list(read(save(tmp_path, tags), annotation="gold")) == [ADA]


def test_an_entity_that_the_text_does_not_hold_is_told(tmp_path: Path) -> None:
    named = [{"text": "Ada Oby", "label": "PER"}, {"text": "Kestrel", "label": "ORG"}]
    with pytest.warns(DataWarning, match="1 record with entities that are not in its text"):
        (found,) = read(save(tmp_path, {"text": TEXT, "entities": named}), tokenizer="plain")
    assert found.spans == (Span(3, 4, "ORG"),)


def test_a_tag_of_the_whole_text_is_told_and_no_annotation(tmp_path: Path) -> None:
    path = save(tmp_path, {"text": TEXT, "tags": ["sports", "news"]})
    with pytest.warns(DataWarning, match="1 record whose 'tags' are not tags of tokens"):
        (found,) = read(path, tokenizer="plain")
    assert found.spans is None


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "a",\n "text": "b"}',
        '{"text": "a", "spans": [], "spans": [[0, 1, "X"]]}',
        '[{"text": "a", "x": {"y": 1, "y": 2}}]',
        '{"text" : "a", "text" : "b"}',
        '{"text"  :"a", "text"\t:"b"}',
        '{"tokens": [":"], "tags": ["O"], "tags": ["B-X"]}',
        '["a", {"entities": [], "entities": []}]',
    ],
)
def test_a_key_that_stands_twice_is_an_error_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"\n{text}\n")
    with pytest.raises(DataError, match=f"{path}:2: .*occurs twice in one object"):
        list(read(path, tokenizer="plain"))


@pytest.mark.parametrize(
    "laid_out",
    [
        "{}{}",
        "{} {}",
        "{}\n\n{}",
        "[{}]\n[{}]",
        "[\n{}\n,\n{}\n]",
    ],
)
@pytest.mark.parametrize("indent", [None, 0, 2])
def test_however_records_are_laid_out_they_are_the_same(
    tmp_path: Path, laid_out: str, indent: int | None
) -> None:
    record = json.dumps({"text": TEXT, "ents": PLACES, "x": {"y": ["}", "{", '"']}}, indent=indent)
    path = tmp_path / "x.jsonl"
    path.write_text(laid_out.replace("{}", record))
    assert list(read(path, tokenizer="plain")) == [ADA, ADA]


def test_a_record_that_is_cut_off_does_not_take_others_with_it(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    good = json.dumps({"text": TEXT, "ents": PLACES})
    for broken in ('{"text": "a"', '{"text": "a", ', '{"text": "a", "ents": [{"start": 0,', "{"):
        path.write_text(f"{good}\n{broken}\n{good}\n")
        found = []
        with pytest.raises(DataError) as caught:
            found.extend(read(path, tokenizer="plain"))
        assert str(caught.value).startswith(f"{path}:2: expected one JSON object per line")
        assert "\n" not in str(caught.value)
