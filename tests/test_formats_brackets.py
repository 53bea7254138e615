"""The inline brackets of the bundled corpus."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences, tokens

from ner.formats import DataError
from ner.formats.brackets import parse, read, spell, write
from ner.sentence import Sentence, Span, in_document

WORDS = st.text(st.sampled_from("ab[]\\? \t\n\r-é\u00a0\u2028"), min_size=1, max_size=5)


def test_reads_tokens_and_spans() -> None:
    assert parse("[PER Ada Obi] joined [ORG Kestrel Foods] .") == Sentence(
        ("Ada", "Obi", "joined", "Kestrel", "Foods", "."), (Span(0, 2, "PER"), Span(3, 5, "ORG"))
    )


@given(sentences(WORDS | tokens))
def test_what_is_written_reads_back(sentence: Sentence) -> None:
    assert parse(spell(sentence)) == sentence


def test_a_boundary_as_a_token_is_escaped() -> None:
    assert spell(Sentence(("-DOCSTART-", "x"), ())) == r"\-DOCSTART- x"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[PER Ada", "'\\[PER' is never closed"),
        ("Ada] spoke", "closes an entity that is not open"),
        ("[PER [LOC Rome] ]", "opens an entity inside"),
        ("[PER]", "should be '\\['"),
        ("[ PER Ada]", "should be '\\['"),
        ("[PER Ada ]", "stands alone"),
        ("the[PER Ada]", "bracket or backslash within"),
        ("[PER Ada]'s", "bracket or backslash within"),
        ("end\\", "bracket or backslash within"),
    ],
)
def test_brackets_that_do_not_pair_are_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(line)


def test_overlapping_spans_and_empty_tokens_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="overlap"):
        spell(Sentence(("a", "b"), (Span(0, 2, "X"), Span(1, 2, "Y"))))
    with pytest.raises(ValueError, match="empty"):
        spell(Sentence(("",), ()))


CORPUS = """\
-DOCSTART- court-03

[PER Ada Obi] spoke .
  She left [LOC Accra]\t.
-DOCSTART-\tcourt 04
[PER Obi] lost .
-DOCSTART-
No name .
"""


def test_documents_begin_at_their_boundaries(tmp_path: Path) -> None:
    path = tmp_path / "corpus.brackets"
    path.write_text(CORPUS)
    found = list(read(path))
    assert [(one.line, one.position, len(one)) for one in found] == [
        (3, 0, 4),
        (4, 1, 4),
        (6, 0, 3),
        (8, 0, 3),
    ]
    assert [one.document and one.document.id for one in found] == [
        "court-03",
        "court-03",
        "court 04",
        "",
    ]
    assert found[0].document is found[1].document
    assert found[0].document
    assert found[0].document.tokens == (found[0].tokens, found[1].tokens)


def test_a_file_without_boundaries_has_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "corpus.brackets"
    path.write_text("\n[PER Ada] spoke .\r\n-DOCSTART-x is a token\r\n")
    found = list(read(path))
    assert [one.document for one in found] == [None, None]
    assert found[1].tokens[0] == "-DOCSTART-x"


@given(st.lists(st.tuples(st.booleans(), sentences(WORDS | tokens)), max_size=6))
def test_a_file_reads_back(given: list[tuple[bool, Sentence]]) -> None:
    wanted = [one for new, one in given if not new]
    wanted += in_document((one for new, one in given if new), "an id [with] \\n")
    out = io.StringIO()
    write(out, wanted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.brackets"
        path.write_text(out.getvalue(), newline="")
        found = list(read(path))
    assert found == wanted
    assert [one.document and one.document.id for one in found] == [
        one.document and one.document.id for one in wanted
    ]


def test_all_bad_lines_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.brackets"
    path.write_text("[PER Ada\nfine\n]\n" + "[\n" * 30)
    with pytest.raises(DataError) as caught:
        list(read(path))
    lines = str(caught.value).split("\n")
    assert lines[0].startswith(f"{path}:1: '[PER' is never closed")
    assert lines[1].startswith(f"{path}:3: ']' closes an entity")
    assert lines[-1] == f"{path}: and 12 more bad lines"


def test_what_cannot_be_written_is_said_with_its_line() -> None:
    bad = Sentence(("a", "b"), (Span(0, 2, "X"), Span(1, 2, "Y")), line=7)
    with pytest.raises(ValueError, match=r"the sentence of line 7: .* overlap another span"):
        write(io.StringIO(), [bad])
