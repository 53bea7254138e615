"""Paragraphs cut in one go: nobody can tell by the result."""

import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.errors import DataError
from ner.formats import columns, conll
from ner.formats import lines as file_lines
from ner.formats.columns import Cutter

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
            patch.setattr(columns, "kernels", None)
            assert outcome(path, options) == quick
            patch.setattr(Cutter, "cut", lambda self, paragraphs, **wanted: None)
            assert outcome(path, options) == quick


@pytest.fixture(params=["native", "python"])
def kernels(request, monkeypatch):
    """Cut by the extension module, or without."""
    if request.param == "python":
        monkeypatch.setattr(columns, "kernels", None)
    elif columns.kernels is None:
        pytest.skip("ner._native was not built")


def test_many_plain_paragraphs_are_cut_at_once(kernels):
    cutter = Cutter(2, 0, 1, ["#", "-DOCSTART-"])
    paragraphs = ["a O\nb B-X", "c I-X"]
    assert cutter.cut(paragraphs) == (("a", "b", "", "c"), ("O", "B-X", "O", "I-X"), 2)
    assert cutter.cut(paragraphs, tokens=False) == ((), ("O", "B-X", "O", "I-X"), 2)
    boundary = cutter.cut(["-DOCSTART- O", "c I-X", "-DOCSTART-"])
    assert boundary == (("O", "", "c", "", "O"), ("O", "O", "I-X", "O", "O"), 5)
    assert cutter.cut(["-DOCSTART- O\nc I-X"]) is None
    assert Cutter(3, 2, 0, []).cut(["O N a", "B-X\tN\tb"]) is None
    reverse = Cutter(3, 2, 0, []).cut(["O\tN\ta", "B-X\tN\tb"])
    assert reverse == (("a", "", "b"), ("O", "O", "B-X"), 2)
    assert Cutter(2, 1, None, []).cut(["N a", "N b"]) == (("a", "", "b"), (), 2)
    assert Cutter(1, 0, None, []).cut(["a\nb", "c"]) == (("a", "b", "", "c"), (), 2)
    for odd in (
        ["a O", "\nb O"],
        ["a O", ""],
        ["a  O"],
        ["a O ", "b O"],
        ["# O"],
        ["a"],
        ["a O", "b"],
    ):
        assert cutter.cut(odd) is None


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a N O\nb N B-X", (("a", "b"), ("O", "B-X"), 1)),
        ("a\tN\tO\nb\tN\tO", (("a", "b"), ("O", "O"), 1)),
        ("a\u00a0b N O", (("a\u00a0b",), ("O",), 1)),
        ("a N O\nb N", None),
        ("a N O N\nb N", None),
        ("a  N O", None),
        ("a  O", None),
        (" a O", None),
        ("a N ", None),
        ("\na N O", None),
        ("", None),
        ("a N O\nb\tN\tO", None),
        ("a b\tN\tO", None),
        ("a N O\n# N O", None),
    ],
)
def test_only_plain_paragraphs_are_cut(kernels, text, cut):
    assert Cutter(3, 0, 2, ["#"]).cut([text]) == cut


def test_equal_fields_are_one_string(kernels):
    cutter = Cutter(2, 0, 1, [])
    first, again = (cutter.cut(["word O"]).tokens[0] for _ in range(2))
    assert again is first


def test_fields_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(columns, "kernels", None)
    cutter = Cutter(2, 0, 1, [])
    (first,), _, _ = cutter.cut(["word O"])
    monkeypatch.setattr(columns, "REMEMBERED", 20)
    cutter.cut(["a_word_that_is_long O"])
    (other,), _, _ = cutter.cut(["word O"])
    assert other == first
    assert other is not first


@pytest.mark.skipif(columns.kernels is None, reason="ner._native was not built")
def test_the_extension_module_forgets_too():
    cutter = Cutter(2, 0, 1, [])
    words = [f"w{number}" for number in range(250_000)]
    first = sys.getrefcount(cutter.cut(["word O"]).tokens[0])
    for start in range(0, len(words), 1000):
        some = words[start : start + 1000]
        assert list(cutter.cut(["\n".join(f"{word} O" for word in some)]).tokens) == some
    long = "x" * 1000
    assert cutter.cut([f"{long} O"]).tokens == (long,)
    again = sys.getrefcount(cutter.cut(["word O"]).tokens[0])
    assert again == first, "no string is leaked or lost"
    assert cutter.cut(["\udc80 O"]) is None


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
