"""spaCy's DocBin."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin
from spacy.tokens import Span as SpacySpan
from strategies import sentences

from ner.formats import DataError
from ner.formats.docbin import read, write
from ner.sentence import Sentence, Span, in_document

VOCAB = spacy.blank("xx").vocab


def save(folder: Path, *docs: Doc) -> Path:
    path = folder / "x.spacy"
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def ada() -> Doc:
    doc = Doc(
        VOCAB,
        ["Ada", "Obi", "left", ".", "Rome", "fell", "."],
        [True, True, False, True, True, False, False],
    )
    doc.ents = [SpacySpan(doc, 0, 2, "PER"), SpacySpan(doc, 4, 5, "LOC")]
    return doc


def test_a_document_without_sentences_is_one_sentence(tmp_path: Path) -> None:
    (found,) = read(save(tmp_path, ada()))
    assert found == Sentence(
        ("Ada", "Obi", "left", ".", "Rome", "fell", "."), (Span(0, 2, "PER"), Span(4, 5, "LOC"))
    )
    assert found.text == "Ada Obi left. Rome fell."
    assert found.document is None


def test_sentences_of_a_document_belong_together(tmp_path: Path) -> None:
    doc = ada()
    for token in doc:
        token.is_sent_start = token.i in (0, 4)
    found = list(read(save(tmp_path, doc)))
    assert [one.tokens for one in found] == [("Ada", "Obi", "left", "."), ("Rome", "fell", ".")]
    assert [one.spans for one in found] == [(Span(0, 2, "PER"),), (Span(0, 1, "LOC"),)]
    assert found[1].text == "Rome fell."
    assert found[1].offsets == ((0, 4), (5, 9), (9, 10))
    assert found[0].document is found[1].document
    assert found[0].document is not None


def test_annotation_nobody_made_and_annotation_that_is_missing(tmp_path: Path) -> None:
    bare = Doc(VOCAB, ["Ada", "left"])
    partly = Doc(VOCAB, ["Ada", "left", "Rome"])
    partly.set_ents([SpacySpan(partly, 0, 1, "PER")], missing=[partly[2:3]], default="outside")
    empty = Doc(VOCAB, ["No", "entity"])
    empty.set_ents([], default="outside")
    found = list(read(save(tmp_path, bare, partly, empty)))
    assert [one.spans for one in found] == [None, (Span(0, 1, "PER"),), ()]
    assert [one.unknown for one in found] == [frozenset(), {2}, frozenset()]


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), sentences(WORDS)), max_size=5))
def test_what_is_written_reads_back(given: list[tuple[bool, Sentence]]) -> None:
    wanted = [one for inside, one in given if not inside]
    wanted += in_document((one for inside, one in given if inside), "an id")
    out = io.BytesIO()
    write(out, wanted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.spacy"
        path.write_bytes(out.getvalue())
        found = list(read(path))
    assert found == wanted
    assert [one.document and one.document.id for one in found] == [
        one.document and one.document.id for one in wanted
    ]


def test_spacy_reads_the_text_and_the_entities(tmp_path: Path) -> None:
    path = tmp_path / "x.spacy"
    given = Sentence(
        ("Ada", "left", "Rome", "."),
        (Span(2, 3, "LOC"),),
        text="Ada left Rome.",
        offsets=((0, 3), (4, 8), (9, 13), (13, 14)),
    )
    with path.open("wb") as file:
        write(file, [given])
    (doc,) = DocBin().from_disk(path).get_docs(VOCAB)
    assert doc.text == "Ada left Rome."
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Rome", "LOC")]


@pytest.mark.parametrize("raw", [b"", b"not a DocBin", bytes(300)])
def test_what_is_no_docbin_is_one_clear_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.spacy"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"x\.spacy: this is not a spaCy DocBin, or it is damaged"):
        list(read(path))


def test_a_damaged_docbin_is_one_clear_error(tmp_path: Path) -> None:
    path = save(tmp_path, ada())
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="damaged"):
        list(read(path))


def test_what_spacy_cannot_hold_is_said() -> None:
    with pytest.raises(ValueError, match="empty"):
        write(io.BytesIO(), [Sentence(("a", ""), ())])
    with pytest.raises(ValueError, match="overlap"):
        write(io.BytesIO(), [Sentence(("a", "b"), (Span(0, 2, "X"), Span(1, 2, "Y")))])
