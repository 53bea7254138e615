"""Paragraphs cut in one go: nobody can tell by the result."""

import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.errors import DataError
from ner.formats import columns, conll
from ner.formats import lines as file_lines
from ner.formats.columns import END, Pairs, Rows

PARTS = ["a", "b", "\u00e9", "\u00a0", "\u2028", "O", "B-X", "I-X", " ", "\t", "\n", "\n\n"]
PARTS += [" O\n", " B-X\n", "\tO\n", " \n", "#", "-DOCSTART-", "-DOCSTART- O\n\n"]
OPTIONS = [
    {},
    {"tagged": False},
    {"comment_prefix": "#"},
    {"document_prefix": "#"},
    {"ragged": True},
]
OPTIONS += [
    {"comment_prefix": " "},
    {"token_column": -1, "tag_column": 0},
    {"bad_lines": "missing"},
]


def outcome(path: Path, options):
    """Everything a reader gives of a file: its sentences, or its error; and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = [
                (
                    one,
                    dict(one.columns),
                    one.tags,
                    one.line,
                    one.position,
                    one.origin,
                )
                for one in conll.read(path, **options)
            ]
        except DataError as error:
            found = str(error)
    return found, [str(warning.message) for warning in caught]


@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join), st.sampled_from(OPTIONS))
def test_cut_in_one_go_or_line_by_line_is_the_same(tmp_path_factory, text, options):
    path = tmp_path_factory.mktemp("law") / "x.conll"
    path.write_text(text, encoding="utf-8", newline="")
    for size in (file_lines.BLOCK, 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(file_lines, "BLOCK", size)
            quick = outcome(path, options)
            patch.setattr(conll, "HELD", -1)  # nothing is held, and many tags are counted at once
            assert outcome(path, options) == quick
            patch.setattr(Pairs, "__missing__", lambda self, line: (None, None))
            assert outcome(path, options) == quick


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a N O", ("a", "O")),
        ("a\tN\tB-X", ("a", "B-X")),
        ("a b\tN\tO", ("a b", "O")),
        ("a\u00a0b  N O ", ("a\u00a0b", "O")),
        ("a N", (None, None)),
        ("a N O N", (None, None)),
        ("a\t\tO", (None, None)),
        ("", (END, END)),
        ("# N O", (None, None)),
        ("-DOCSTART- N O", (None, END)),
    ],
)
def test_a_line_gives_a_token_and_a_tag_where_it_has_the_usual_columns(line, pair):
    assert Pairs(Rows("#"), 3, 0, 2)[line] == pair


def test_equal_fields_are_one_string():
    pairs = Pairs(Rows(), 2, 0, 1)
    (first, tag), (again, same) = pairs["word B-X"], pairs["word  B-X"]
    assert again is first
    assert same is tag


def test_lines_are_remembered_until_there_are_too_many(monkeypatch):
    monkeypatch.setattr(columns, "CACHED", 2)
    monkeypatch.setattr(columns, "LONG", 5)
    pairs = Pairs(Rows(), 2, 0, 1)
    assert [pairs[line] for line in ("a O", "b O", "a_long_one O", "c O")][-1] == ("c", "O")
    assert set(pairs) == {"c O"}


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["a\n\nb\n\n"], [["a", "b"]]),
        (["a\n", "\nb\n"], [["a"], ["b"]]),
        (["a\n", "b\n\n", "c"], [["a\nb"], ["c"]]),
        (["a\n\n\n\nb\n"], [["a", ""], ["b"]]),
        (["\n", "a\n \nb\n"], [["\na"], ["b"]]),
        ([], []),
    ],
)
def test_paragraphs_end_at_empty_lines(texts, found):
    assert list(columns.paragraphs(texts)) == found


def test_a_line_of_blanks_may_be_a_comment():
    assert list(columns.paragraphs(["a\n \nb\n"], hollow=False)) == [["a\n \nb"]]


@pytest.mark.parametrize(
    ("lines", "telling"),
    [
        (["", "-DOCSTART- O", "", "a O", "b O"], 4),
        (["a\tO", "b\tO"], 1),
        (["-DOCSTART- O", ""], 2),  # a boundary tells nothing
        (["a O", "b N O"], 2),
        (["a  O", "b  O"], 2),
        (["a O ", "b O "], 2),
        (["a\tO", "b c\tO"], 2),
    ],
)
def test_few_lines_tell_the_width_where_all_say_the_same(lines, telling):
    assert columns.telling(lines) == lines[:telling]
