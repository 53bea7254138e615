"""Annotation that stands where it is not looked for is an error or a warning, never nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import ner
from ner.formats import DataError, DataWarning
from ner.formats.frames import from_dataframe, from_dataset
from ner.sentence import Span

CONLLU = (
    "1\tAda\t_\tPROPN\t_\t_\t0\t_\t_\tname=B-PER\n2\tleft\t_\tVERB\t_\t_\t1\t_\t_\tx=1|name=O\n\n"
)


def test_tags_under_another_key_of_misc(tmp_path: Path) -> None:
    path = tmp_path / "x.conllu"
    path.write_text(CONLLU)
    with pytest.raises(DataError, match=r"x.conllu:1: .*; set entities, for .* entities: name"):
        list(ner.read(path))
    (found,) = ner.read(path, entities="name")
    assert found.spans == (Span(0, 1, "PER"),)


def test_a_docbin_whose_spans_stand_in_groups(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import Doc, DocBin
    from spacy.tokens import Span as SpacySpan

    doc = Doc(spacy.blank("xx").vocab, ["Ada", "Obi", "left"])
    doc.spans["sc"] = [SpacySpan(doc, 0, 2, "PER"), SpacySpan(doc, 0, 1, "GIVEN")]
    path = tmp_path / "x.spacy"
    path.write_bytes(DocBin(docs=[doc]).to_bytes())
    with pytest.raises(DataError, match=r"x.spacy: .* in 'sc'; set spans_key"):
        list(ner.read(path))
    (found,) = ner.read(path, spans_key="sc")
    assert found.spans == (Span(0, 2, "PER"),)
    with pytest.raises(DataError, match=r"doc.spans has no group 'x'; its groups: 'sc'"):
        list(ner.read(path, spans_key="x"))


def test_sentences_of_a_table_in_turns_are_told() -> None:
    pandas = pytest.importorskip("pandas")
    columns = {
        "sentence": [1, 2, 1, 2],
        "token": ["Ada", "Rome", "left", "grows"],
        "tag": ["B-PER", "B-LOC", "O", "O"],
    }
    frame = pandas.DataFrame(columns)
    with pytest.warns(DataWarning, match="2 values of the sentence column recur"):
        from_dataframe(frame)
    found = from_dataframe(frame.sort_values("sentence", kind="stable"))
    assert [one.tokens for one in found] == [("Ada", "left"), ("Rome", "grows")]


def test_words_that_pandas_took_for_missing_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(io.StringIO("sentence,token,tag\n1,NA,B-X\n1,left,O\n"))
    with pytest.raises(DataError, match=r"row 0: .*keep_default_na=False"):
        from_dataframe(frame)


def test_a_dataset_of_several_splits_is_refused() -> None:
    rows = {"train": [{"tokens": ["Ada"], "ner_tags": ["B-PER"]}], "test": []}
    with pytest.raises(DataError, match=r"expected one split of a dataset, .*'train', 'test'"):
        from_dataset(rows)  # type: ignore[arg-type]
