"""Writing CoNLL files: what is written is read back, and nothing else is written."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import sentences

import ner
from ner.formats import DataError, DataWarning
from ner.formats.conll import write
from ner.schemes import SCHEMES
from ner.sentence import Document, Sentence, Span


def spelled(given: list[Sentence] | tuple[Sentence, ...], **options: Any) -> str:
    target = io.StringIO()
    write(target, given, **options)
    return target.getvalue()


@given(st.lists(sentences(), min_size=1, max_size=4), st.sampled_from(sorted(SCHEMES)))
@example([Sentence((" ", "a b"), (Span(0, 2, "X"),))], "BIO")
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, given: list[Sentence], scheme: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.conll"
    if given[0].tokens[0].startswith("\ufeff"):
        return  # at the start of a file this is a byte order mark: see below
    ner.write(path, given, scheme=scheme)
    found = list(ner.read(path, scheme=scheme))
    assert [(one.tokens, one.spans, one.unknown) for one in found] == [
        (one.tokens, one.spans, one.unknown) for one in given
    ]
    assert spelled(found) == path.read_text(encoding="utf-8")


def test_a_token_like_a_byte_order_mark_at_the_start_is_kept(tmp_path: Path) -> None:
    ner.write(tmp_path / "x.conll", [Sentence(("\ufeffa",), ())])
    assert [one.tokens for one in ner.read(tmp_path / "x.conll")] == [("\ufeffa",)]


@pytest.mark.parametrize(
    "sentence",
    [
        Sentence(("a\tb", "c"), ()),
        Sentence(("a\nb",), ()),
        Sentence(("a\rb",), ()),
        Sentence(("",), ()),
        Sentence((), ()),
        Sentence(("-DOCSTART-",), ()),
        Sentence(("a",), (Span(0, 1, "Tax Amount"),)),
        Sentence(("a",), (Span(0, 1, ""),)),
        Sentence(("a", "b"), (Span(0, 2, "X"), Span(1, 2, "Y"))),
    ],
    ids=repr,
)
def test_what_could_not_be_read_back_is_not_written(sentence: Sentence, tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("old")
    with pytest.raises(DataError, match=r"^sentence 2: "):
        ner.write(path, [Sentence(("fine",), ()), sentence])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_sentences_of_other_columns_are_not_mixed() -> None:
    mixed = [Sentence(("a",), (), {"pos": ("N",)}), Sentence(("a",), ())]
    with pytest.raises(
        DataError, match="sentence 2: has the columns token, tag, but earlier sentences"
    ):
        spelled(mixed)


def test_columns_that_do_not_fit_their_tokens_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("Ada\tN\tB-PER\nleft\tV\tO\n")
    [sentence] = ner.read(path)
    with pytest.raises(DataError, match="sentence 1: column 'column2' needs a value per token"):
        write(io.StringIO(), [replace(sentence, tokens=sentence.tokens[:1])])


def test_sentences_from_elsewhere_have_token_columns_tag() -> None:
    sentence = Sentence(("Ada", "Obi"), (Span(0, 2, "PER"),), {"pos": ("N", "N")})
    assert spelled([sentence]) == "Ada\tN\tB-PER\nObi\tN\tI-PER\n\n"
    assert spelled([sentence], scheme="BILOU", separator=" ") == "Ada N B-PER\nObi N L-PER\n\n"


def test_a_document_without_an_id_is_bounded_as_in_conll2003() -> None:
    sentence = Sentence(("a",), (), {"pos": ("N",)}, document=Document((("a",),)))
    assert spelled([sentence], separator=" ") == "-DOCSTART- -X- O\n\na N O\n\n"


# whatever comes


PIECES = ["\n", "\n", " ", "\t", "a", "O", "B-X", "I-X", "S-X", "-DOCSTART-", "#", "_", "\r"]


def read_or_complain(path: Path, **options: Any) -> list[Sentence]:
    """The sentences of a file, or none where it is told what is wrong with it."""
    try:
        return list(ner.read(path, **options))
    except DataError as error:
        told = str(error)
    assert told.startswith(str(path))
    return []


@given(st.binary(max_size=60) | st.lists(st.sampled_from(PIECES)).map("".join).map(str.encode))
def test_no_bytes_raise_anything_but_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.conll"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        read_or_complain(path, ragged=True)  # the columns it adds are read as any others
        for options in ({}, {"tagged": False}, {"header": True}):
            found = read_or_complain(path, **options)
            again = spelled(found)
            path.with_suffix(".again").write_text(again, encoding="utf-8")
            reread = list(ner.read(path.with_suffix(".again"), format="conll", **options))
            assert [one.tokens for one in reread] == [one.tokens for one in found]
            assert [one.spans for one in reread] == [one.spans for one in found]


def test_the_tags_found_in_a_file_with_a_header_have_a_name_there(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("token pos\nAda N\nslept V\n")
    (read,) = ner.read(path, tagged=False, header=True)
    tagged = replace(read, spans=(Span(0, 1, "PER"),))
    assert spelled([tagged]).splitlines()[0].split() == ["token", "pos", "tag"]
