"""Lines of columns: cut, joined, remembered; by hand."""

import pytest

from ner.errors import DataError
from ner.formats import columns
from ner.formats.columns import BOUNDARY, Aside, Lines, Rows, named, split, usual_width


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("a b", ("a", "b")),
        ("a  b \t", ("a", "b")),
        ("a\tb", ("a", "b")),
        ("a b\tc", ("a b", "c")),  # TABs part, and the first field holds a blank
        ("New York\tB-LOC x", ("New", "York", "B-LOC", "x")),  # a blank in the last: blanks part
        ("a\t\tb", ("a", "", "b")),
        ("\u00a0 b", ("\u00a0", "b")),
        ("a", ("a",)),
    ],
)
def test_a_line_is_cut_at_tabs_or_at_blanks(line, fields):
    assert split(line) == fields


def test_comments_documents_and_boundaries_are_set_apart():
    rows = Rows("#", "# id =")
    assert rows["# id = x y "].boundary == ("x y",)
    assert rows["# other"].boundary is None
    assert rows[f"{BOUNDARY} -X- O"].boundary == ("-X-", "O")
    assert rows["a b"] == ("a", "b")
    assert not rows.hollow
    assert rows["a\t\tb"] == ("a", "", "b")
    assert rows["c d"] == ("c", "d")
    assert rows.hollow
    assert Rows("", "")["# other"] == ("#", "other")
    assert Rows()["# id = x"] == ("#", "id", "=", "x")


def test_rows_and_lines_are_remembered_but_not_without_end(monkeypatch):
    monkeypatch.setattr(columns, "CACHED", 2)
    monkeypatch.setattr(columns, "LONG", 5)
    rows, lines = Rows(), Lines("\t")
    for number in range(5):
        assert rows[f"a {number}"] == ("a", str(number))
        assert lines["a", str(number)] == f"a\t{number}"
        assert 0 < len(rows) <= 2
        assert 0 < len(lines) <= 2
    before = dict(rows), dict(lines)
    assert rows["long line"] == ("long", "line")
    assert lines["long", "line"] == "long\tline"
    assert "long line" not in rows
    assert ("long", "line") not in lines
    assert rows["abc d"] == ("abc", "d")
    assert "abc d" in rows
    assert (len(before[0]), len(before[1])) == (1, 1)


def test_the_usual_width_is_that_of_most_lines_comments_aside():
    assert usual_width([("a", "b"), ("a", "b", "c"), ("a", "b"), Aside(None), ()]) == 2
    assert usual_width([("a",), ("a", "b")]) == 1
    assert usual_width([("#", "b"), ("#", "c"), ("x",)]) == 1
    assert usual_width([("#", "b"), ("#x",), ("#", "c")]) == 2
    assert usual_width([Aside(None), ()]) is None


def test_a_line_of_fields_is_cut_into_the_same_fields():
    assert Lines(" ")["a", "b"] == "a b"
    assert Lines("\t")["a", "b"] == "a\tb"
    assert Lines(" ")["New York", "b"] == "New York\tb"
    assert Lines("\t")["a", "b c"[:1]] == "a\tb"
    assert Lines(" ")["a", "", "b"] == "a\t\tb"
    assert Lines("\t")["a", ""] == "a\t"
    assert Lines(" ")["a", ""] == "a\t"
    for fields in (("a", "b c"), ("a\n", "b"), ("a", "b\r"), ("a\tb", "c")):
        with pytest.raises(DataError, match="cannot be a line of columns"):
            Lines("\t")[fields]
    with pytest.raises(DataError, match="would be read as a document boundary"):
        Lines("\t")[BOUNDARY, "O"]


def test_columns_have_names_given_or_by_their_place():
    assert named(4, None, 0, 3) == ("token", "column2", "column3", "tag")
    assert named(3, None, 1, 0) == ("tag", "token", "column3")
    assert named(2, None, 0, None) == ("token", "column2")
    assert named(2, ["a", "b"], 0, 1) == ("a", "b")
