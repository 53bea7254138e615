"""JSON lines: our own, and those of annotation tools."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences

from ner.formats import DataError, DataWarning
from ner.formats.alignment import Misfits
from ner.formats.jsonl import detect, read, write
from ner.sentence import Document, Sentence, Span, in_document

ADA = Sentence(("Ada", "Obi", "joined", "Kestrel", "."), (Span(0, 2, "PER"), Span(3, 4, "ORG")))
TEXT = "Ada Obi joined Kestrel."


def save(folder: Path, *values: Any, name: str = "x.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))
    return path


RECORDS: dict[str, Any] = {
    "tokens and tags": {
        "tokens": ["Ada", "Obi", "joined", "Kestrel", "."],
        "tags": ["B-PER", "I-PER", "O", "B-ORG", "O"],
    },
    "words and tags of another name": {
        "words": ["Ada", "Obi", "joined", "Kestrel", "."],
        "ner_tags": ["B-PER", "I-PER", "O", "B-ORG", "O"],
    },
    "tags in BIOES": {
        "tokens": ["Ada", "Obi", "joined", "Kestrel", "."],
        "tags": ["B-PER", "E-PER", "O", "S-ORG", "O"],
    },
    "tokens and spans of tokens": {
        "tokens": ["Ada", "Obi", "joined", "Kestrel", "."],
        "spans": [{"start": 0, "end": 2, "label": "PER"}, [3, 4, "ORG"]],
    },
    "tokens and entities": {
        "tokens": ["Ada", "Obi", "joined", "Kestrel", "."],
        "entities": [{"start": 0, "end": 2, "type": "PER"}, {"start": 3, "end": 4, "type": "ORG"}],
    },
    "doccano": {"id": 7, "text": TEXT, "label": [[0, 7, "PER"], [15, 22, "ORG"]]},
    "doccano with relations": {
        "id": 7,
        "text": TEXT,
        "entities": [
            {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 7},
            {"id": 2, "label": "ORG", "start_offset": 15, "end_offset": 22},
        ],
        "relations": [{"id": 1, "from_id": 1, "to_id": 2, "type": "joins"}],
    },
    "prodigy": {
        "text": TEXT,
        "tokens": [
            {"text": "Ada", "start": 0, "end": 3, "id": 0, "ws": True},
            {"text": "Obi", "start": 4, "end": 7, "id": 1, "ws": True},
            {"text": "joined", "start": 8, "end": 14, "id": 2, "ws": True},
            {"text": "Kestrel", "start": 15, "end": 22, "id": 3, "ws": False},
            {"text": ".", "start": 22, "end": 23, "id": 4, "ws": False},
        ],
        "spans": [
            {"start": 0, "end": 7, "token_start": 0, "token_end": 1, "label": "PER"},
            {"start": 15, "end": 22, "token_start": 3, "token_end": 3, "label": "ORG"},
        ],
        "answer": "accept",
    },
    "label studio": {
        "id": 1,
        "data": {"text": TEXT},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "result": [
                    {
                        "type": "labels",
                        "value": {"start": 0, "end": 7, "text": "Ada Obi", "labels": ["PER"]},
                    },
                    {"type": "relation", "from_id": "a", "to_id": "b"},
                    {
                        "type": "labels",
                        "value": {"start": 15, "end": 22, "text": "Kestrel", "labels": ["ORG"]},
                    },
                ]
            },
        ],
    },
    "label studio, short": {
        "text": TEXT,
        "label": [
            {"start": 0, "end": 7, "text": "Ada Obi", "labels": ["PER"]},
            {"start": 15, "end": 22, "text": "Kestrel", "labels": ["ORG"]},
        ],
    },
    "name, span and type": {
        "text": TEXT,
        "entities": [
            {"name": "Ada Obi", "span": [0, 7], "type": "PER"},
            {"name": "Kestrel", "span": [15, 22], "type": "ORG"},
        ],
    },
    "spaCy 2": [TEXT, {"entities": [[0, 7, "PER"], [15, 22, "ORG"]]}],
    "several, beside their classes": {
        "classes": ["PER", "ORG"],
        "annotations": [None, [TEXT, {"entities": [[0, 7, "PER"], [15, 22, "ORG"]]}]],
    },
    "ner tag": {
        "text": TEXT,
        "tokens": ["Ada", "Obi", "joined", "Kestrel", "."],
        "spans": [
            {"start": 0, "end": 7, "label": "PER", "score": 0.98, "token_start": 0, "token_end": 2},
            {"start": 15, "end": 22, "label": "ORG", "token_start": 3, "token_end": 4},
        ],
    },
}


@pytest.mark.parametrize("kind", RECORDS)
def test_what_each_tool_writes_is_the_same_sentence(tmp_path: Path, kind: str) -> None:
    (found,) = read(save(tmp_path, RECORDS[kind]))
    assert found == ADA
    assert found.line == 1


def test_all_kinds_may_stand_in_one_array_however_it_is_laid_out(tmp_path: Path) -> None:
    values = [value for kind, value in RECORDS.items() if kind != "tags in BIOES"]
    for number, indent in enumerate((None, 0, 4)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(values, indent=indent))
        assert list(read(path)) == [ADA] * len(values)


def test_lines_of_an_array_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[\n{"text": "a ] b"},\n\n{\n"text": "c"},\n{"bad": 1}]\n')
    with pytest.raises(DataError, match=r"x.json:6: expected an object with 'tokens' or 'text'"):
        list(read(path))
    found = list(read(path, faults=_Silent(path)))
    assert [one.line for one in found] == [2, 4]


class _Silent:
    """Bad lines that nobody wants to hear of."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def add(self, line: int, message: str) -> None:
        pass


def test_scores_and_places_are_kept(tmp_path: Path) -> None:
    (found,) = read(save(tmp_path, RECORDS["ner tag"]))
    assert found.spans
    assert found.spans[0].score == 0.98
    assert found.text == TEXT
    assert found.offsets == ((0, 3), (4, 7), (8, 14), (15, 22), (22, 23))


def test_a_text_is_a_document_of_its_lines(tmp_path: Path) -> None:
    value = {"id": 3, "text": "Ada came.\n\nShe left Rome.", "label": [[20, 24, "LOC"]]}
    found = list(read(save(tmp_path, value)))
    assert [one.tokens for one in found] == [("Ada", "came", "."), ("She", "left", "Rome", ".")]
    assert [one.spans for one in found] == [(), (Span(2, 3, "LOC"),)]
    assert found[0].document is found[1].document
    assert found[0].document
    assert found[0].document.id == "3"


def test_tokens_that_are_blanks_keep_their_places(tmp_path: Path) -> None:
    """As in Korean corpora of characters: the blank between two words is a token."""
    path = tmp_path / "x.jsonl"
    given = Sentence(("a", " ", "b", " ", "c"), (Span(1, 3, "X"), Span(4, 5, "Y")))
    with path.open("w") as file:
        write(file, [given])
    assert list(read(path)) == [given]


def test_a_label_of_the_whole_text_is_no_annotation_of_spans(tmp_path: Path) -> None:
    (found,) = read(save(tmp_path, {"text": "a", "label": "positive", "entities": None}))
    assert found.spans is None


def test_nobody_annotated_is_not_nothing_found(tmp_path: Path) -> None:
    values = [{"text": "a"}, {"text": "a", "label": []}, {"data": {"text": "a"}, "annotations": []}]
    values += [{"tokens": ["a"]}, {"tokens": ["a"], "tags": ["_"]}, {"tokens": ["a"], "spans": []}]
    found = [one.spans for one in read(save(tmp_path, *values))]
    assert found == [None, (), None, None, None, ()]


def test_tokens_whose_annotation_is_missing(tmp_path: Path) -> None:
    value = {"tokens": ["Ada", "left", "Rome"], "tags": ["B-PER", "O", "_"]}
    (found,) = read(save(tmp_path, value))
    assert found.spans == (Span(0, 1, "PER"),)
    assert found.unknown == {2}


def test_what_prodigy_rejected_is_no_annotation(tmp_path: Path) -> None:
    path = save(tmp_path, {**RECORDS["prodigy"], "answer": "reject"})
    with pytest.warns(DataWarning, match="1 record with the answer 'reject', read as unannot"):
        (found,) = read(path)
    assert found.spans is None


def test_spans_counted_in_utf16_are_understood(tmp_path: Path) -> None:
    value = {
        "text": "🎉🎉 Ada",
        "label": [{"start": 5, "end": 8, "text": "Ada", "labels": ["PER"]}],
    }
    (found,) = read(save(tmp_path, value))
    assert found.spans is not None
    assert [found.tokens[one.start] for one in found.spans] == ["Ada"]


def test_spans_that_do_not_fit_are_told_with_their_line(tmp_path: Path) -> None:
    path = save(tmp_path, {"text": "fine"}, {"text": "Berliner", "label": [[0, 6, "LOC"]]})
    with pytest.warns(DataWarning, match="of 1 span, 1 not on token boundaries") as caught:
        found = list(read(path))
    assert found[1].spans == ()
    assert f"{path}:2: 'Berlin' (0, 6) LOC, nearest tokens 'Berliner'" in str(caught[0].message)
    with pytest.warns(DataWarning, match="read as 'Berliner'"):
        found = list(read(path, align="expand"))
    assert found[1].spans == (Span(0, 1, "LOC"),)
    unfit = Misfits("x")
    assert list(read(path, align="contract", misfits=unfit))[1].spans == ()
    assert unfit.counts.total() == 1


def test_of_nested_tokens_the_outer_span_is_kept_and_the_inner_told(tmp_path: Path) -> None:
    value = {"tokens": ["Bank", "of", "Ghana"], "spans": [[2, 3, "LOC"], [0, 3, "ORG"]]}
    with pytest.warns(DataWarning, match=r"1 overlap a longer span"):
        (found,) = read(save(tmp_path, value))
    assert found.spans == (Span(0, 3, "ORG"),)


BAD = {
    '{"data": {"note": "a", "title": "b"}}': "one of them called 'text', found the data 'note', 't",
    '{"data": {}, "annotations": []}': "found the data nothing",
    "{": "expected one JSON object per line",
    "3": "expected an object, found 3",
    '{"a": 1}': "expected an object with 'tokens' or 'text', found the keys 'a'",
    "{}": "found an empty object",
    '{"tokens": ["a", 3]}': "token 1 should be a word, found 3",
    '{"tokens": ["a"], "tags": []}': "expected 1 tags, one per token, found 0",
    '{"tokens": ["a"], "tags": [1]}': "expected tags such as 'B-PER', found 1",
    '{"tokens": ["a"], "tags": ["PER"]}': "'PER' is not a BIO tag",
    '{"tokens": ["a"], "spans": [[0, 2, "X"]]}': "exceeds the sentence, which has 1 tokens",
    '{"tokens": ["a"], "spans": [[0, 1]]}': "a span should be [start, end, label]",
    '{"text": "a", "label": [[0, 2, "X"]]}': "exceeds the text, which has 1 characters",
    '{"text": "a", "label": [[1, 1, "X"]]}': "exceeds the text",
    '{"text": "ab", "label": [{"start": 0, "end": 1, "label": "X", "text": "b"}]}': "be 'b'",
    '{"text": "ab", "tokens": ["x"], "spans": [[0, 1, "X"]]}': "but the tokens do not match it",
    '{"text": "a", "label": {"X": [[0]]}}': "expected a list of spans under 'label', found {'X'",
    '{"tokens": ["a"], "spans": "X"}': "expected a list of spans under 'spans', found 'X'",
    '{"text": "\\ud800"}': "half of a surrogate pair",
    '{"tokens": ["a"], "unknown": [1]}': "'unknown' should list tokens from 0 to 0",
    '{"tokens": ["a"], "columns": {"pos": []}}': "needs a value per token (1)",
    '{"text":' + "[" * 100_000: "nested too deep",
    "[[{": "never closed",
    '[{"text": "a"}': "never closed",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_lines_are_told_with_their_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('\n{"text": "fine"}\n' + line + "\n" if line[0] != "[" else "\n\n" + line)
    with pytest.raises(DataError) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path}:3: ")
    assert BAD[line] in str(caught.value)


def test_wrong_settings_are_refused_at_the_door(tmp_path: Path) -> None:
    path = save(tmp_path, {"text": "a"})
    with pytest.raises(ValueError, match=r"align must be one of strict, .* got 'loose'"):
        list(read(path, align="loose"))
    with pytest.raises(ValueError, match="no scheme is called 'XYZ'"):
        list(read(path, scheme="XYZ"))
    with pytest.raises(ValueError, match="shape must be one of"):
        write(io.StringIO(), [], shape="round")


def test_the_scheme_of_the_whole_file_counts(tmp_path: Path) -> None:
    rows = [["I-PER", "I-PER", "O"], ["O", "I-LOC", "B-LOC"]]
    path = save(tmp_path, *({"tokens": ["a", "b", "c"], "tags": row} for row in rows))
    assert detect(path).scheme.name == "IOB1"
    found = [one.spans for one in read(path)]
    assert found == [(Span(0, 2, "PER"),), (Span(1, 2, "LOC"), Span(2, 3, "LOC"))]


def test_tags_that_may_not_stand_where_they_stand_are_repaired_and_told(tmp_path: Path) -> None:
    rows = [["B-PER", "I-PER", "O"], ["O", "I-LOC", "O"], ["B-PER", "O", "O"]]
    path = save(tmp_path, *({"tokens": ["a", "b", "c"], "tags": row} for row in rows))
    with pytest.warns(DataWarning, match=r"repaired 1 tag .*line 2 \('I-LOC' after 'O'\)"):
        assert [one.spans for one in read(path)][1] == (Span(1, 2, "LOC"),)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@st.composite
def scored(draw: st.DrawFn) -> Sentence:
    """A sentence of any tokens, with scores and another column."""
    one = draw(sentences(WORDS))
    pos = tuple(draw(WORDS) for _ in one.tokens)
    if one.spans is None:
        return replace(one, columns={"pos": pos})
    scores = st.none() | st.floats(0, 1)
    spans = tuple(replace(span, score=draw(scores)) for span in one.spans)
    return replace(one, spans=spans, columns={"pos": pos})


@given(st.lists(st.tuples(st.integers(0, 2), scored()), max_size=6))
def test_our_own_lines_keep_everything(given: list[tuple[int, Sentence]]) -> None:
    wanted: list[Sentence] = []
    for kind in (0, 1, 2):
        group = [one for number, one in given if number == kind]
        wanted += in_document(group, "the same id") if kind else group
    out = io.StringIO()
    write(out, wanted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(out.getvalue().encode())
        found = list(read(path))
    assert found == wanted
    assert [one.columns for one in found] == [one.columns for one in wanted]
    assert [_scores(one) for one in found] == [_scores(one) for one in wanted]
    assert [_place(one) for one in found] == [_place(one) for one in wanted]


def _scores(sentence: Sentence) -> list[float | None]:
    return [span.score for span in sentence.spans or ()]


def _place(sentence: Sentence) -> tuple[int, tuple[tuple[str, ...], ...]] | None:
    document: Document | None = sentence.document
    return (sentence.position, document.tokens) if document else None


@pytest.mark.parametrize("shape", ["tags", "doccano", "prodigy", "labelstudio"])
@given(sentence=scored())
def test_every_shape_keeps_every_span(shape: str, sentence: Sentence) -> None:
    """Doccano and Label Studio keep no tokens: there, words that any tokenizer keeps."""
    words = tuple(f"w{place}" for place in range(len(sentence)))
    one = replace(sentence, tokens=words, unknown=frozenset(), columns={})
    if shape in ("tags", "doccano"):  # which have no word for "nobody annotated it"
        one = replace(one, spans=one.spans or ())
    if shape == "tags":
        one = replace(one, spans=tuple(replace(span, label="PER") for span in one.spans or ()))
    out = io.StringIO()
    write(out, [one], shape=shape, suggestions=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(out.getvalue().encode())
        assert list(read(path, tokenizer="blanks")) == [one]


def test_a_shape_without_a_word_for_missing_annotation_says_so() -> None:
    partial = Sentence(("a", "b"), (), unknown=frozenset({1}), line=4)
    with pytest.raises(ValueError, match="line 4 has unannotated tokens, which doccano cannot"):
        write(io.StringIO(), [partial], shape="doccano")
    out = io.StringIO()
    write(out, [partial], shape="tags", scheme="BIOES")
    assert json.loads(out.getvalue())["tags"] == ["O", "_"]


def test_a_long_document_is_given_in_parts_and_written_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ner.formats.jsonl.DOCUMENT_TOKENS", 4)
    path, again = tmp_path / "x.jsonl", tmp_path / "y.jsonl"
    with path.open("w") as file:
        write(file, in_document([Sentence(("a", "b"), ())] * 5, "long"))
    found = list(read(path))
    assert [one.position for one in found] == [0, 1, 0, 1, 0]
    assert {one.document.id for one in found if one.document} == {"long"}
    with again.open("w") as file:
        write(file, found)
    monkeypatch.undo()
    assert [one.position for one in read(again)] == [0, 1, 2, 3, 4]


@given(st.text(alphabet='[]{}",:0 \n\\utexoknsa', max_size=60))
def test_any_text_gives_sentences_or_one_clear_error(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_text(text)
        with warnings.catch_warnings(), contextlib.suppress(DataError):
            warnings.simplefilter("ignore", DataWarning)
            list(read(path))


def test_japanese_entities_are_found(shared: Path) -> None:
    """Three of 13,185 spans part a Latin word, and are told; the others fall on tokens."""
    path = shared / "data/stockmark_ja/ner.json"
    with pytest.warns(DataWarning, match="of 13185 spans, 3 not on token boundaries"):
        found = list(read(path))
    assert len({id(one.document) for one in found}) == 5343
    assert sum(len(one.spans or ()) for one in found) == 13182


def test_a_tokenizer_that_does_not_exist_is_no_fault_of_the_lines(tmp_path: Path) -> None:
    path = save(tmp_path, {"text": TEXT}, {"text": TEXT})
    with pytest.raises(ValueError, match="no tokenizer for 'klingon'") as caught:
        list(read(path, tokenizer="klingon"))
    assert not isinstance(caught.value, DataError)
