"""Errors and warnings are values until they are shown."""

import copy
import pickle

import pytest

import ner
from ner.errors import BAD_LINE, BAD_TAG, UNREADABLE, DataError, DataWarning, Fault


def test_the_text_of_an_error_is_made_of_its_faults():
    error = DataError(
        Fault("a", 3, BAD_LINE, "no"), Fault("b", 0, UNREADABLE, "gone"), "no place", more={"a": 2}
    )
    assert str(error) == "a:3: no\na: and 2 more bad lines\nb: gone\nno place"
    assert [one.line for one in error.faults] == [3, 0, 0]


@pytest.mark.parametrize("copied", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_errors_and_warnings_survive_the_way_between_processes(copied):
    error = DataError(Fault("a", 3, BAD_LINE, "no"), more={"a": 1})
    warning = DataWarning("odd", path="a", count=3, faults=[Fault("a", 1, BAD_LINE, "no")])
    assert copied(error).faults == error.faults
    assert str(copied(error)) == str(error)
    assert str(copied(warning)) == str(warning) == "a: odd\na:1: no\na: and 2 more"


def test_a_file_is_renamed_where_it_is_named_and_nowhere_else():
    error = DataError(Fault("/tmp/x", 1, BAD_LINE, "/tmp/x is no tag"), more={"/tmp/x": 1})
    renamed = error.renamed("/tmp/x", "s3://x")
    assert str(renamed) == "s3://x:1: /tmp/x is no tag\ns3://x: and 1 more bad line"


def test_the_faults_of_a_file_say_their_line_and_kind(tmp_path):
    path = tmp_path / "a: 7: b.conll"  # a name that would deceive whoever parses messages
    path.write_text("a O\nb O\nc\n\nd B-X\ne ?-Y\n")
    with pytest.raises(DataError) as caught:
        list(ner.read(path))
    assert [(one.path, one.line, one.kind) for one in caught.value.faults] == [
        (str(path), 3, BAD_LINE),
        (str(path), 6, BAD_TAG),
    ]


def test_the_remarks_of_a_reader_are_values_too(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("a O\nb I-X\n\nc B-X\nd B-X\n\ne B-X\n")
    with pytest.warns(DataWarning) as caught:
        list(ner.read(path))
    (warning,) = [one.message for one in caught]
    assert (warning.path, warning.kind, warning.count) == (str(path), "illegal-tag", 1)
