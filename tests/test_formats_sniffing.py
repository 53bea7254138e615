"""The format of a file whose name does not tell it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import ner
from ner.formats import FORMATS, DataError, format_of, format_to_read
from ner.formats.kinds import sniff
from ner.sentence import Sentence, Span

ADA = Sentence(("Ada", "Obi", "left"), (Span(0, 2, "PER"),))
TEN = "\t_" * 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada B-PER\n", None),
        ("", None),
        ("[ O\n( O\n", None),
        ("{ O\n", None),
        ("# a B-X\n", None),
        ("# text = Ada left\n1\tAda\tB-PER\t-\tme\n", None),  # Universal NER
        (f"1\tEU{TEN}\n", None),  # which many files are that are no treebanks
        ("<unk> O\n", None),
        ("http://x:80/ O\n", None),
        ("a:b O\n", None),
        (f"# text = Ada\n# sent_id = 1\n1\tAda{TEN}\n", "conllu"),
        (f"# newdoc\r\n1-2\tzum{TEN}\r\n", "conllu"),
        ("# global.columns = ID FORM NER\n", "conllu"),
        ("#begin document (bc/x); part 000\n", "conll2012"),
        ('{"tokens": ["a"]}\n', "jsonl"),
        ('[\n  {"text": "a"}\n]', "jsonl"),
        ('\ufeff{"text": "a"}\n', "jsonl"),
        ("<DOC>\n", "sgml"),
        ('<?xml version="1.0"?>\n', "sgml"),
        ("\n<p>Ada <b_enamex type='X'>\n", None),
        ("a:O b:B-City <=> x\n", "slots"),
        ("a:O\n", "slots"),
    ],
)
def test_the_beginning_tells_some_formats(text: str, expected: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(text.encode())
    assert sniff(path) == expected
    assert format_to_read(path).name == (expected or "conll")
    assert format_of(path).name == "conll"  # what is to be written does not depend on what was


def test_json_under_a_name_of_columns_is_an_error_unless_its_format_is_given(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.txt"
    path.write_text('{"tokens": ["a"], "tags": ["O"]}\n')
    with pytest.raises(DataError, match="this is JSON"):
        format_to_read(path)
    assert format_to_read(path, "brackets").name == "brackets"
    assert format_to_read(path, "jsonl").name == "jsonl"


def test_a_telling_name_goes_before_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("to:O Rome:B-City <=> flight\n")
    assert format_to_read(path).name == "conll"
    assert format_to_read(path, "brackets").name == "brackets"
    assert format_to_read("-").name == "conll"
    assert format_to_read(tmp_path / "absent").name == "conll"


@pytest.mark.parametrize("name", ["jsonl", "sgml", "slots"])
def test_a_file_without_an_ending_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    ner.write(path, [ADA], format=name)
    assert list(ner.read(path)) == [ADA]
    packed = tmp_path / "corpus.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(ner.read(packed)) == [ADA]


def test_broken_data_is_left_to_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "corpus.gz"
    path.write_bytes(b"no gzip")
    assert sniff(path) is None
    assert set(FORMATS) >= {"jsonl", "sgml", "slots", "conllu", "conll2012"}
