"""The shelf of formats: which one is meant, and what is common to reading and writing them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ner
from ner.formats import FORMATS, format_of, options_of
from ner.formats.lines import COMPRESSED
from ner.sentence import Sentence, Span

ADA = Sentence(("Ada", "Obi", "left", "Accra"), (Span(0, 2, "PER"), Span(3, 4, "LOC")))
NOTHING = Sentence(("It", "rained"), ())


def name_for(format: str) -> str:  # noqa: A002 - as in `ner.read`
    return "brat" if format == "brat" else f"x{FORMATS[format].endings[0]}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("train.conll", "conll"),
        ("train.conll.gz", "conll"),
        ("TRAIN.CONLL.XZ", "conll"),
        ("eng.train", "conll"),
        ("wnut17", "conll"),
        ("-", "conll"),
        ("data.v2/train", "conll"),
        ("en_gum-ud-dev.conllu", "conllu"),
        ("wsj_0001.v4_gold_conll", "conll2012"),
        ("x.jsonl.zst", "jsonl"),
        ("x.spacy", "docbin"),
        ("x.ann", "brat"),
        ("x.brackets", "brackets"),
    ],
)
def test_the_ending_tells_the_format(path: str, expected: str) -> None:
    assert format_of(path).name == expected


def test_the_name_of_a_format_goes_before_the_ending() -> None:
    assert format_of("x.conll", "jsonl").name == "jsonl"
    with pytest.raises(ValueError, match="no format is called 'xml'; there are conll, conllu"):
        format_of("x.conll", "xml")


def test_no_ending_means_two_formats() -> None:
    endings = [ending for kind in FORMATS.values() for ending in kind.endings]
    assert len(endings) == len(set(endings))
    assert not set(endings) & set(COMPRESSED)


@pytest.mark.parametrize("format", FORMATS)
def test_entities_survive_every_format(format: str, tmp_path: Path) -> None:  # noqa: A002
    path = tmp_path / name_for(format)
    ner.write(path, [ADA, NOTHING], format=format)
    found = list(ner.read(path))
    assert [(one.tokens, one.spans) for one in found] == [
        (ADA.tokens, ADA.spans),
        (NOTHING.tokens, NOTHING.spans),
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_a_first_token_that_looks_like_a_byte_order_mark_survives(
    format: str,  # noqa: A002
    tmp_path: Path,
) -> None:
    sentence = Sentence(("\ufeff", "\ufeffa"), (Span(0, 1, "X"),))
    path = tmp_path / "corpus"
    ner.write(path, [sentence, sentence], format=format)
    assert list(ner.read(path, format=format)) == [sentence, sentence]


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("format", [name for name in FORMATS if name != "brat"])
def test_every_format_can_be_compressed(format: str, ending: str, tmp_path: Path) -> None:  # noqa: A002
    path = tmp_path / (name_for(format) + ending)
    ner.write(path, [ADA])
    assert [one.spans for one in ner.read(path)] == [ADA.spans]


@pytest.mark.parametrize("format", FORMATS)
def test_a_failed_write_leaves_what_was_there(format: str, tmp_path: Path) -> None:  # noqa: A002
    def broken() -> Any:
        yield ADA
        raise RuntimeError("the stream broke")

    path = tmp_path / name_for(format)
    if format != "brat":
        path.write_text("old")
    with pytest.raises(RuntimeError, match="the stream broke"):
        ner.write(path, broken(), format=format)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["old"] * (format != "brat")


def test_spans_alone_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"expected sentences, got tuple .*replace\("):
        ner.write(tmp_path / "x.conll", [(Span(0, 1, "PER"),)])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_several_files_and_globs_are_read_one_after_the_other(tmp_path: Path) -> None:
    ner.write(tmp_path / "b.conll", [ADA])
    ner.write(tmp_path / "a.conll.gz", [NOTHING])
    ner.write(tmp_path / "c.jsonl", [ADA])
    pattern = str(tmp_path / "*.conll*")
    found = [one.tokens for one in ner.read([pattern, tmp_path / "c.jsonl"])]
    assert found == [NOTHING.tokens, ADA.tokens, ADA.tokens]


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "brat"])
def test_standard_output_is_written_where_a_path_would_be(
    format: str,  # noqa: A002
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    class Stdout:
        buffer = io.BytesIO()

    monkeypatch.setattr("sys.stdout", Stdout)
    ner.write("-", [ADA], format=format)
    monkeypatch.undo()
    path = tmp_path / name_for(format)
    path.write_bytes(Stdout.buffer.getvalue())
    assert [one.spans for one in ner.read(path)] == [ADA.spans]


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="already exists and is not an empty directory"):
        ner.write(tmp_path, [ADA], format="brat")
    with pytest.raises(ValueError, match="standard output cannot hold it"):
        ner.write("-", [ADA], format="brat")
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_a_missing_file_is_told_at_once() -> None:
    with pytest.raises(FileNotFoundError):
        ner.read("no/such/file.conll")
    with pytest.raises(FileNotFoundError, match="no file matches"):
        ner.read("no/such/*.conll")


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        list(ner.read(tmp_path))


def test_an_option_no_format_has_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    ner.write(path, [ADA])
    with pytest.raises(
        ValueError,
        match="the conll reader has no option 'commentprefix'; did you mean 'comment_prefix'",
    ):
        ner.read(path, commentprefix="#")
    with pytest.raises(
        ValueError, match="the conll writer has no option 'seperator'; did you mean 'sep"
    ):
        ner.write(path, [ADA], seperator=" ")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_what_options_it_has(format: str) -> None:  # noqa: A002
    assert "source" not in options_of(format, "read")
    assert not {"sentences", "target", "file", "folder"} & set(options_of(format, "write"))
    assert FORMATS[format].summary


def test_the_shelf_is_light() -> None:
    code = (
        "import sys, ner.formats.conll; "
        "print([m for m in ('torch', 'spacy', 'numpy', 'seqeval') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
