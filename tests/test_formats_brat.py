"""brat standoff: a text, and its annotation by characters beside it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences

from ner.formats import DataError, DataWarning
from ner.formats.brat import read, write
from ner.sentence import Sentence, Span, in_document

TEXT = "Ada Obi joined\nKestrel Foods in Accra.\n"
ANNOTATION = """\
T1\tPER 0 7\tAda Obi
T2\tORG 15 28\tKestrel Foods
E1\tJoin:T1 Who:T1
A1\tNegation E1
R1\tIn Arg1:T2 Arg2:T3
#1\tAnnotatorNotes T1\tsure
*\tEquiv T1 T4
T3\tLOC 32 37\tAccra
"""


def save(folder: Path, text: str, annotation: str | None, name: str = "x") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(text, newline="")
    if annotation is not None:
        (folder / f"{name}.ann").write_text(annotation)
    return folder / f"{name}.txt"


def test_each_line_is_a_sentence_and_each_text_a_document(tmp_path: Path) -> None:
    found = list(read(save(tmp_path, TEXT, ANNOTATION)))
    assert [one.tokens for one in found] == [
        ("Ada", "Obi", "joined"),
        ("Kestrel", "Foods", "in", "Accra", "."),
    ]
    assert [one.spans for one in found] == [
        (Span(0, 2, "PER"),),
        (Span(0, 2, "ORG"), Span(3, 4, "LOC")),
    ]
    assert [one.line for one in found] == [1, 2]
    assert found[0].document is found[1].document
    assert found[0].document
    assert found[0].document.id == "x"


def test_line_ends_count_as_they_are(tmp_path: Path) -> None:
    """brat counts the characters of the file, a CR among them."""
    path = save(tmp_path, "a\r\nRome\r\n", "T1\tLOC 3 7\tRome\n")
    assert [one.spans for one in read(path)] == [(), (Span(0, 1, "LOC"),)]


def test_a_byte_order_mark_counts_but_is_no_token(tmp_path: Path) -> None:
    path = save(tmp_path, "\ufeffRome\n", "T1\tLOC 1 5\tRome\n")
    (found,) = read(path)
    assert found == Sentence(("Rome",), (Span(0, 1, "LOC"),))


def test_a_folder_is_read_text_by_text_and_one_without_annotation_has_none(tmp_path: Path) -> None:
    save(tmp_path, "b .", "", "b")
    save(tmp_path / "inner", "c .", None, "c")
    save(tmp_path, TEXT, ANNOTATION, "a")
    found = list(read(tmp_path))
    names = [one.document.id for one in found if one.document]
    assert names == ["a", "a", "b", "inner/c"]
    assert [one.spans for one in found[2:]] == [(), None]


def test_an_entity_over_a_line_end_stays_whole(tmp_path: Path) -> None:
    """brat cuts such an entity into two pieces, which are one again here."""
    path = save(tmp_path, "the Bank of\nGhana said\n", "T1\tORG 4 11;12 17\tBank of Ghana\n")
    (found,) = read(path)
    assert found.tokens == ("the", "Bank", "of", "Ghana", "said")
    assert found.spans == (Span(1, 4, "ORG"),)


def test_an_entity_in_pieces_is_told(tmp_path: Path) -> None:
    path = save(tmp_path, "North and South Korea", "T1\tLOC 0 5;16 21\tNorth Korea\n")
    with pytest.warns(DataWarning, match="1 in several pieces") as caught:
        assert [one.spans for one in read(path)] == [()]
    assert f"{path.with_suffix('.ann')}:1: " in str(caught[0].message)
    with pytest.warns(DataWarning, match="read as 'North and South Korea'"):
        assert [one.spans for one in read(path, align="expand")] == [(Span(0, 4, "LOC"),)]
    with pytest.warns(DataWarning, match="read as 'North'"):
        assert [one.spans for one in read(path, align="contract")] == [(Span(0, 1, "LOC"),)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("T1 PER 0 3 Ada", "expected 'T1<TAB>LABEL 0 7<TAB>its text'"),
        ("T1\tPER 0 99\tAda", "exceeds the text, which has 14 characters"),
        ("T1\tPER 3 0\tAda", "exceeds the text"),
        ("T1\tPER 0 3\tObi", "should be 'Obi', but those characters of the text are 'Ada'"),
        ("T1\tPER a b\tAda", "expected 'T1<TAB>"),
        ("X", "expected 'T1<TAB>"),
    ],
)
def test_bad_annotation_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = save(tmp_path, "Ada Obi joined", f"T1\tPER 0 3\tAda\n{line}\n")
    with pytest.raises(DataError) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path.with_suffix('.ann')}:2: ")
    assert said in str(caught.value)


def test_a_text_that_cannot_be_decoded_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    save(tmp_path, "x", "bad\n", "b")
    with pytest.raises(DataError, match=r"a\.txt:1: byte 0xff[^\n]*\n[^\n]*b\.ann:1: "):
        list(read(tmp_path))


def test_the_bad_lines_of_all_texts_are_told_together(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path, "x", "bad\n", name)
    with pytest.raises(DataError, match=r"a\.ann:1: [^\n]*\n[^\n]*b\.ann:1: "):
        list(read(tmp_path))


def test_annotation_without_its_text_and_folders_without_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no \.txt file"):
        list(read(tmp_path))
    (tmp_path / "x.ann").write_text("")
    with pytest.raises(DataError, match=r"x\.ann: its text x\.txt is missing"):
        list(read(tmp_path))
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "nothing.ann"))
    with pytest.raises(ValueError, match="two files per text"):
        list(read("-"))


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    path = save(tmp_path, "", "")
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(DataError, match=r"x\.txt:2: byte 0xff is not valid utf-8"):
        list(read(path))


WORDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=4)


documents = st.lists(sentences(WORDS, partial=False), max_size=4)


@given(st.lists(documents, max_size=4))
def test_what_is_written_reads_back(given: list[list[Sentence]]) -> None:
    texts = [one for one in given if one]
    names = [f"document-{place}" for place in range(len(texts))]
    wanted = [
        one for name, text in zip(names, texts, strict=True) for one in in_document(text, name)
    ]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), wanted)
        found = list(read(folder, tokenizer="blanks")) if wanted else []
    assert found == wanted
    assert [one.document and one.document.id for one in found] == [
        one.document and one.document.id for one in wanted
    ]


def test_documents_of_one_name_and_of_none_get_files_of_their_own(tmp_path: Path) -> None:
    ada = Sentence(("Ada",), (Span(0, 1, "PER"),))
    write(tmp_path, [*in_document([ada], "A/b"), *in_document([ada], "a b"), ada, ada])
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == [
        "A_b.txt",
        "a_b-2.txt",
        "document-000003.txt",
    ]
    assert (tmp_path / "document-000003.ann").read_text() == "T1\tPER 0 3\tAda\nT2\tPER 4 7\tAda\n"


def test_what_brat_cannot_hold_is_said(tmp_path: Path) -> None:
    plain = Sentence(("a",), (), line=3)
    with pytest.raises(ValueError, match="line 3 has the label 'a b'; brat takes single words"):
        write(tmp_path, [replace(plain, spans=(Span(0, 1, "a b"),))])
    with pytest.raises(ValueError, match="unannotated tokens, which brat cannot express"):
        write(tmp_path, [replace(plain, unknown=frozenset({0}))])
    with pytest.raises(ValueError, match="and others of its document are not"):
        write(tmp_path, [plain, replace(plain, spans=None)])


COUNTED = {
    "utf-16": (
        "\U0001f600 Ada Obi left\n\U0001f600 Rome",
        "T1\tPER 3 10\tAda Obi\nT2\tLOC 19 23\tRome",
    ),
    "bytes": ("\u00e9 Ada Obi left", "T1\tPER 3 10\tAda Obi"),
    "inclusive": ("Ada Obi left Rome", "T1\tPER 0 6\tAda Obi\nT2\tLOC 13 16\tRome"),
    "lf": ("It\r\nAda Obi\r\nRome", "T1\tPER 3 10\tAda Obi\nT2\tLOC 11 15\tRome"),
    "bom": ("\ufeffAda Obi left", "T1\tPER 0 7\tAda Obi"),
    "collapsed": ("A  b  Ada Obi left", "T1\tPER 4 11\tAda Obi"),
}


@pytest.mark.parametrize("counting", COUNTED)
@pytest.mark.parametrize("chosen", [True, False])
def test_offsets_are_understood_however_they_count(
    counting: str, chosen: bool, tmp_path: Path
) -> None:
    text, annotation = COUNTED[counting]
    (tmp_path / "x.txt").write_bytes(text.encode())
    (tmp_path / "x.ann").write_text(annotation + "\n")
    options = {"offsets": counting} if chosen else {}
    found = [
        (" ".join(one.tokens[x.start : x.end]), x.label)
        for one in read(tmp_path / "x.ann", tokenizer="blanks", **options)
        for x in one.spans or ()
    ]
    rome = [("Rome", "LOC")] * ("Rome" in annotation)
    assert found == [("Ada Obi", "PER"), *rome]


def test_offsets_can_be_trusted(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("Ada Obi left")
    (tmp_path / "x.ann").write_text("T1\tPER 0 7\tAda O.\n")
    with pytest.raises(DataError, match="set trust_offsets: true to go by the offsets"):
        list(read(tmp_path / "x.ann", tokenizer="blanks"))
    (found,) = read(tmp_path / "x.ann", tokenizer="blanks", trust_offsets=True)
    assert found.spans == (Span(0, 2, "PER"),)
    with pytest.raises(ValueError, match="offsets must be one of"):
        list(read(tmp_path / "x.ann", offsets="inches"))
