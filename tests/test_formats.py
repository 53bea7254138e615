"""The shelf of formats: which one is meant, and what is common to reading and writing them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ner
from ner.formats import FORMATS, TOOLS, format_of, options_of
from ner.formats.lines import COMPRESSED
from ner.sentence import Sentence, Span, in_document

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
    with pytest.raises(ValueError, match="cannot be written to standard output"):
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


def losses() -> dict[str, dict[str, str]]:
    """The table of docs/formats.md that says what each format loses."""
    page = (Path(__file__).parents[1] / "docs" / "formats.md").read_text("utf-8")
    table = page[page.index("| format | other columns |") :].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0].strip("`"): dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def back(tmp_path: Path, name: str, *sentences: Sentence) -> list[Sentence]:
    """The sentences after they were written and read."""
    path = tmp_path / f"written{len(list(tmp_path.iterdir()))}"
    ner.write(path, sentences, format=name)
    options = {"tokenizer": "blanks"} if "tokenizer" in options_of(name, "read") else {}
    return list(ner.read(path, format=name, **options))


LOSSES = losses()
TWO = ("Ada", "left")
ENTITY = Span(0, 1, "PER")


def test_every_format_is_in_the_table_of_losses() -> None:
    assert set(LOSSES) == {*FORMATS, *TOOLS}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.filterwarnings("ignore::ner.errors.DataWarning")
def test_the_table_says_what_a_round_trip_loses(name: str, tmp_path: Path) -> None:
    says = LOSSES[name]
    column = Sentence(TWO, (ENTITY,), {"X": ("a", "b")})
    scored = Sentence(TWO, (Span(0, 1, "PER", 0.5),))
    spaced = Sentence(TWO, (ENTITY,), text="Ada  left", offsets=((0, 3), (5, 9)))
    first = in_document([Sentence(TWO, (ENTITY,)), Sentence(("She",), ())], "d1")
    second = in_document([Sentence(("Obi",), ())], "d2")
    cases: dict[str, tuple[tuple[Sentence, ...], Callable[[Sequence[Sentence]], object]]] = {
        "other columns": ((column,), lambda found: [*found[0].columns.values()]),
        "scores": ((scored,), lambda found: [one.score for one in found[0].spans or ()]),
        "text": ((spaced,), lambda found: found[0].text),
        "documents": (
            (*first, *second),
            lambda found: [one.document and (one.document.id, one.position) for one in found],
        ),
        "missing annotation": (
            (Sentence(TWO), Sentence(TWO, (ENTITY,), unknown=frozenset({1}))),
            lambda found: [(one.spans, one.unknown) for one in found],
        ),
    }
    for what, (given, seen) in cases.items():
        if says[what] == "refused":
            with pytest.raises(ValueError, match=r"annot|overlap"):
                back(tmp_path, name, *given)
        elif says[what] in ("kept", "lost"):
            assert (seen(back(tmp_path, name, *given)) == seen(given)) is (says[what] == "kept"), (
                what
            )
    nested = Sentence(TWO, (Span(0, 2, "A"), Span(0, 1, "B")))
    if says["nested entities"] == "refused":
        with pytest.raises(ValueError, match="overlap"):
            back(tmp_path, name, nested)


def test_scheme_io_warns_of_the_entities_it_merges(tmp_path: Path) -> None:
    given = [Sentence(("a", "b", "c"), (Span(0, 1, "X"), Span(1, 2, "X"), Span(2, 3, "Y")))]
    with pytest.warns(ner.formats.DataWarning, match="; 1 was merged with the one before"):
        ner.write(tmp_path / "x.conll", given, scheme="IO")
    with pytest.warns(ner.formats.DataWarning, match="they are read as one"):
        (found,) = ner.read(tmp_path / "x.conll", scheme="IO")
    assert found.spans == (Span(0, 2, "X"), Span(2, 3, "Y"))
    ner.write(tmp_path / "y.conll", [ADA], scheme="IO")  # nothing to warn of


@pytest.mark.parametrize("name", FORMATS)
def test_every_reader_has_limits(name: str, tmp_path: Path) -> None:
    path = tmp_path / name_for(name)
    ner.write(path, [ADA, NOTHING], format=name)
    source = path / "document-000001.txt" if name == "brat" else path
    with pytest.raises(ner.formats.DataError, match="max_size"):
        list(ner.read(source, format=name, max_size=5))
