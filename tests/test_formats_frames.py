"""Tables in memory: pandas, and rows as Hugging Face datasets have them."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import sentences

from ner.formats import DataError
from ner.formats.frames import from_dataframe, from_dataset, to_dataframe, to_dataset
from ner.sentence import Sentence, Span, in_document

ADA = Sentence(("Ada", "Obi", "left"), (Span(0, 2, "PER"),), {"pos": ("N", "N", "V")})
ROME = Sentence(("Rome", "fell"), (Span(0, 1, "LOC"),), {"pos": ("N", "V")})
NOBODY = Sentence(("no", "one"), None, {"pos": ("D", "N")})
PARTLY = Sentence(
    ("Eve", "or", "Ivo"), (Span(0, 1, "PER"),), {"pos": ("N", "C", "N")}, frozenset({2})
)


class Feature:
    """What a dataset knows of a column of tags."""

    def __init__(self, names: list[str]) -> None:
        self.names = names


class Rows(list[dict[str, Any]]):
    """Rows that know the names of their tags, as a dataset does."""

    features: ClassVar[dict[str, Feature]] = {"ner_tags": Feature(["O", "B-PER", "I-PER", "B-LOC"])}


def test_rows_with_numbered_tags_need_no_package() -> None:
    rows = Rows(
        [
            {"tokens": ["Ada", "Obi", "left"], "ner_tags": [1, 2, 0]},
            {"tokens": ["Rome", "or", "Oslo"], "ner_tags": [3, 0, -100]},
            {"tokens": ["x"], "ner_tags": [-100]},
        ]
    )
    assert from_dataset(rows) == [
        Sentence(("Ada", "Obi", "left"), (Span(0, 2, "PER"),)),
        Sentence(("Rome", "or", "Oslo"), (Span(0, 1, "LOC"),), unknown=frozenset({2})),
        Sentence(("x",)),
    ]
    assert from_dataset(list(rows), names=Rows.features["ner_tags"].names) == from_dataset(rows)


def test_rows_with_tags_by_name() -> None:
    rows = [{"words": ["Ada", "Obi"], "tags": ["B-PER", "E-PER"]}]
    assert from_dataset(rows, tokens="words", tags="tags") == [
        Sentence(("Ada", "Obi"), (Span(0, 2, "PER"),))
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a"]}, "row 1: no column 'ner_tags'; the columns are tokens"),
        ({"tokens": ["a"], "ner_tags": []}, "row 1: expected 1 tags, found 0"),
        ({"tokens": ["a"], "ner_tags": [1]}, "row 1: the tag 1 is a number; pass the names"),
        ({"tokens": ["a"], "ner_tags": ["PER"]}, "row 1: 'PER' is not a BIO tag"),
    ],
)
def test_bad_rows_are_told_with_their_number(row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        from_dataset([{"tokens": ["a"], "ner_tags": ["O"]}, row])


def test_a_number_beyond_the_names_is_refused() -> None:
    with pytest.raises(DataError, match="the tag 7 has no name; there are 1 names"):
        from_dataset([{"tokens": ["a"], "ner_tags": [7]}], names=["O"])


@pytest.mark.parametrize(("name", "to"), [("pandas", to_dataframe), ("datasets", to_dataset)])
def test_a_missing_package_is_told_with_its_extra(
    name: str, to: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"^this needs {name}: .* 'ner-crf\[tables\]'$"):
        to([ADA])


def test_a_dataset_reads_back() -> None:
    pytest.importorskip("datasets")
    given = [ADA, ROME, NOBODY, PARTLY]
    dataset = to_dataset(given, scheme="BIOES")
    assert dataset[1]["tokens"] == ["Rome", "fell"]
    assert dataset.features["ner_tags"].feature.names[:5] == [
        "O",
        "B-LOC",
        "I-LOC",
        "E-LOC",
        "S-LOC",
    ]
    assert from_dataset(dataset) == given


def test_a_table_has_a_row_for_each_token() -> None:
    pytest.importorskip("pandas")
    frame = to_dataframe([*in_document([ADA]), ROME])
    assert frame.to_dict("list") == {
        "sentence": [0, 0, 0, 1, 1],
        "document": [0, 0, 0, -1, -1],
        "token": ["Ada", "Obi", "left", "Rome", "fell"],
        "pos": ["N", "N", "V", "N", "V"],
        "tag": ["B-PER", "I-PER", "O", "B-LOC", "O"],
    }


def test_a_table_reads_back_with_its_documents_and_columns() -> None:
    pytest.importorskip("pandas")
    given = [*in_document([ADA, NOBODY]), *in_document([PARTLY]), ROME]
    found = from_dataframe(to_dataframe(given))
    assert found == given
    assert [one.columns for one in found] == [one.columns for one in given]
    assert found[0].document is found[1].document
    assert found[2].document is not found[1].document
    assert [one.position for one in found] == [0, 1, 0, 0]
    assert found[3].document is None


@settings(max_examples=25, deadline=None)
@given(st.lists(sentences(), max_size=4))
def test_any_sentences_read_back_from_a_table(given: list[Sentence]) -> None:
    pytest.importorskip("pandas")
    assert from_dataframe(to_dataframe(given)) == given


def test_a_sentence_goes_on_where_its_column_is_empty() -> None:
    """As in a well-known table of CoNLL-like data, whose sentences are named once."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "Sentence #": ["Sentence: 1", None, "Sentence: 2"],
            "Word": ["Ada", "left", "Rome"],
            "Tag": ["B-per", "O", "B-geo"],
        }
    )
    found = from_dataframe(frame, sentence="Sentence #", token="Word", tag="Tag")
    assert found == [
        Sentence(("Ada", "left"), (Span(0, 1, "per"),)),
        Sentence(("Rome",), (Span(0, 1, "geo"),)),
    ]


def test_a_table_without_a_column_is_refused() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match="has no column 'token'; it has sentence, tag"):
        from_dataframe(pandas.DataFrame({"sentence": [0], "tag": ["O"]}))


def test_a_table_has_any_index_and_its_documents_any_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "sentence": [0, 0, 1, 2],
            "token": ["Ada", "Obi", "left", "Rome"],
            "tag": ["B-PER", "I-PER", "O", "B-LOC"],
            "document": ["first", "first", "first", None],
        },
        index=["x", "x", "y", "x"],
    )
    one, two, three = from_dataframe(frame)
    assert (one.spans, three.spans) == ((Span(0, 2, "PER"),), (Span(0, 1, "LOC"),))
    assert one.document is two.document
    assert (one.document.id, three.document) == ("first", None)
    frame["document"] = [7.0, 7.0, -1.0, float("nan")]
    assert [s.document and s.document.id for s in from_dataframe(frame)] == ["7", None, None]
    frame.loc["y", "tag"] = "?"
    with pytest.raises(DataError, match="row 2: '\\?' is not a BIO tag"):
        from_dataframe(frame)


def test_a_tag_that_is_not_there_is_one_nobody_has_given() -> None:
    rows = Rows([{"tokens": ["Ada", "Obi", "left"], "ner_tags": [1, None, float("nan")]}])
    (found,) = from_dataset(rows)
    assert found.unknown == {1, 2}
