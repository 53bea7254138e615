"""CoNLL-2012: OntoNotes' parentheses, its documents and its many columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences, tokens

import ner
from ner.formats import DataError, DataWarning
from ner.formats.conll2012 import read, write
from ner.sentence import Sentence, Span, in_document

TEXT = """\
#begin document (bc/cctv/00/cctv_0000); part 000
bc/cctv/00/cctv_0000 0 0 The DT (TOP(S(NP* - - - Ann (ORG* (ARG0* (1
bc/cctv/00/cctv_0000 0 1 Bank NNP *) bank - 1 Ann *) *) 1)
bc/cctv/00/cctv_0000 0 2 saw VBD (VP* see 01 2 Ann * (V*) -
bc/cctv/00/cctv_0000 0 3 Obi NNP *)) - - - Ann (PERSON) (ARG1*) (2)

bc/cctv/00/cctv_0000 0 0 /. . (TOP*) - - - Ann * -

#end document
#begin document (bc/cctv/00/cctv_0000); part 001
bc/cctv/00/cctv_0000 1 0 Yes UH (TOP*) - - - - * -

#end document
"""


def save(folder: Path, content: str) -> Path:
    path = folder / "x.gold_conll"
    path.write_bytes(content.encode())
    return path


def spelled(given: list[Sentence] | tuple[Sentence, ...]) -> str:
    target = io.StringIO()
    write(target, given)
    return target.getvalue()


def row(entity: str, word: str = "w") -> str:
    return f"d 0 0 {word} X * - - - - {entity} -\n"


def test_entities_words_documents_and_columns_are_read(tmp_path: Path) -> None:
    first, second, third = read(save(tmp_path, TEXT))
    assert first.tokens == ("The", "Bank", "saw", "Obi")
    assert first.spans == (Span(0, 2, "ORG"), Span(3, 4, "PERSON"))
    assert second.tokens == ("/.",)
    assert second.spans == ()
    assert first.document is second.document
    assert first.document is not None
    assert third.document is not None
    assert first.document.id == "bc/cctv/00/cctv_0000 part 000"
    assert third.document.id == "bc/cctv/00/cctv_0000 part 001"
    assert first.columns["pos"] == ("DT", "NNP", "VBD", "NNP")
    assert first.columns["arguments"] == ("(ARG0*", "*)", "(V*)", "(ARG1*)")
    assert first.columns["coreference"] == ("(1", "1)", "-", "(2)")
    assert [one.line for one in (first, second, third)] == [2, 7, 11]


def test_a_file_is_written_back_as_it_was(tmp_path: Path) -> None:
    assert spelled(list(read(save(tmp_path, TEXT)))) == TEXT


def test_columns_may_be_parted_by_many_blanks(tmp_path: Path) -> None:
    wide = "\n".join(
        line if line.startswith("#") else line.replace(" ", "   ") for line in TEXT.split("\n")
    )
    assert [one.spans for one in read(save(tmp_path, wide))] == [
        one.spans for one in read(save(tmp_path, TEXT))
    ]


def test_of_nested_entities_the_outermost_are_kept(tmp_path: Path) -> None:
    text = row("(ORG(GPE)") + row("*") + row("(DATE*))")
    with pytest.warns(DataWarning, match="left out 2 spans inside or across another"):
        (sentence,) = read(save(tmp_path, text))
    assert sentence.spans == (Span(0, 3, "ORG"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (row("(ORG*") + row("*"), ":1: an unmatched parenthesis in the entity column"),
        (row("*") + row("*)"), ":2: an unmatched parenthesis in the entity column"),
        (
            row("*") + row("ORG"),
            "'ORG' is not a sequence of opening and closing parentheses",
        ),
        (row("*") + "d 0 1 w\n", ":2: expected 12 columns, found 4: 'd 0 1 w'"),
        ("a b c\n", ":1: expected at least 12 columns, found 3: 'a b c'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list(read(save(tmp_path, text)))
    assert message in str(caught.value)


def test_sentences_from_elsewhere_fill_what_they_do_not_know() -> None:
    given = in_document([Sentence(("Ada", "Obi", "left"), (Span(0, 2, "PER"),))], "news 1")
    assert spelled(given) == (
        "#begin document (news 1);\n"
        "news 0 0 Ada - * - - - - (PER* -\n"
        "news 0 1 Obi - * - - - - *) -\n"
        "news 0 2 left - * - - - - * -\n\n"
        "#end document\n"
    )


one_word = tokens.filter(lambda token: " " not in token)


@given(st.lists(sentences(one_word, partial=False), min_size=1, max_size=4))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, given: list[Sentence]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.gold_conll"
    ner.write(path, given)
    found = list(ner.read(path))
    assert [(one.tokens, one.spans) for one in found] == [(one.tokens, one.spans) for one in given]


@pytest.mark.parametrize(
    "sentence",
    [
        Sentence(("New York",), ()),
        Sentence(("",), ()),
        Sentence((), ()),
        Sentence(("a\n",), ()),
        Sentence(("a",), (Span(0, 1, "A B"),)),
        Sentence(("a",), (Span(0, 1, "A(B)"),)),
    ],
    ids=repr,
)
def test_what_could_not_be_read_back_is_not_written(sentence: Sentence) -> None:
    with pytest.raises(DataError, match=r"^sentence 2: "):
        spelled([Sentence(("fine",), ()), sentence])
