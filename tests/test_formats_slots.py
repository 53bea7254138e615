"""One sentence a line, each token with its tag."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import sentences

import ner
from ner.formats import DataError, DataWarning
from ner.formats.slots import read, write
from ner.sentence import Sentence, Span, in_document

WORDS = st.text(st.sampled_from("ab:<=>-é\u00a0\u2028"), min_size=1, max_size=4) | st.just("<=>")


def save(folder: Path, text: str) -> Path:
    path = folder / "x.slots"
    path.write_text(text, "utf-8")
    return path


def test_reads_tokens_spans_and_intents(tmp_path: Path) -> None:
    text = "to:O New:B-City York:I-City <=> flight\nat:O 5:30:B-Time <=> <NULL>\n\n<=>:O\n"
    first, second, third = read(save(tmp_path, text))
    assert first == Sentence(("to", "New", "York"), (Span(1, 3, "City"),))
    assert first.columns == {"intent": ("flight",) * 3}
    assert second == Sentence(("at", "5:30"), (Span(1, 2, "Time"),))
    assert (third.tokens, third.columns, third.line) == (("<=>",), {}, 4)


def test_another_separator_and_another_scheme(tmp_path: Path) -> None:
    path = save(tmp_path, "to/O New/B-City York/E-City\n")
    (sentence,) = read(path, separator="/")
    assert sentence.spans == (Span(1, 3, "City"),)
    target = io.StringIO()
    write(target, [sentence], separator="_", scheme="BILOU")
    assert target.getvalue() == "to_O New_B-City York_L-City <=> <NULL>\n"


def test_bad_lines_are_told_all_together(tmp_path: Path) -> None:
    path = save(tmp_path, "a:O b\n:O\na:o\na:B-X\n\x00:O :\n")
    with pytest.raises(DataError) as caught:
        list(read(path))
    assert str(caught.value).splitlines() == [
        f"{path}:1: expected a token and its tag, such as 'Rome:B-City', found 'b'",
        f"{path}:2: expected a token and its tag, such as 'Rome:B-City', found ':O'",
        f"{path}:3: 'o' is not a BIO tag; did you mean 'O'? tag_map: {{'o': 'O'}}",
        f"{path}:5: expected a token and its tag, such as 'Rome:B-City', found ':'",
    ]


def test_ill_formed_tags_are_repaired_and_told(tmp_path: Path) -> None:
    path = save(tmp_path, "a:B-X b:O\nc:O d:I-X\n")
    with pytest.warns(DataWarning, match=r"repaired 1 tag .* line 2 \('I-X' after 'O'\)"):
        assert [one.spans for one in read(path)] == [(Span(0, 1, "X"),), (Span(1, 2, "X"),)]


@given(st.lists(sentences(WORDS), max_size=4))
def test_what_is_written_reads_back(given: list[Sentence]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.slots"
        ner.write(path, given)
        assert list(ner.read(path)) == given


def test_documents_read_back(tmp_path: Path) -> None:
    bare = Sentence(("a",), ())
    given = [bare, *in_document([bare, bare], "one two"), *in_document([bare]), bare]
    ner.write(tmp_path / "x.slots", given)
    back = list(ner.read(tmp_path / "x.slots"))
    assert [one.document.id if one.document else None for one in back] == [
        None,
        "one two",
        "one two",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (Sentence(("a b",), ()), "cannot be written as a slot"),
        (Sentence(("",), ()), "cannot be written as a slot"),
        (Sentence(("a",), (Span(0, 1, "x:y"),)), "cannot be written as a slot"),
        (Sentence((), ()), "no tokens"),
    ],
)
def test_what_would_not_read_back_is_refused(sentence: Sentence, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write(io.StringIO(), [sentence])


@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_mit_restaurant_is_what_was_made_of_it(name: str, shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "mit_restaurant" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    found = list(ner.read(path))
    derived = list(ner.read(path.parent / "conll" / f"{name}.conll"))
    assert [(one.tokens, one.spans) for one in found] == [(o.tokens, o.spans) for o in derived]
    ner.write(tmp_path / "x.slots", found)
    assert (tmp_path / "x.slots").read_bytes() == path.read_bytes()
