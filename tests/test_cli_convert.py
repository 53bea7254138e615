"""``ner convert``: from every format to every other, in every scheme, nothing lost unsaid."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import pytest

import ner
from ner.cli import main
from ner.formats import FORMATS
from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span, in_document

GIVEN = (
    *in_document(
        [
            Sentence(
                ("Ada", "Obi", "joined", "Kestrel", "."), (Span(0, 2, "PER"), Span(3, 4, "ORG"))
            ),
            Sentence(("It", "rained", "."), ()),
        ],
        "first",
    ),
    *in_document([Sentence(("Accra", "Lima"), (Span(0, 1, "LOC"), Span(1, 2, "LOC")))], "second"),
)
NAMES = {name: "brat" if name == "brat" else f"x{FORMATS[name].endings[0]}" for name in FORMATS}


RETOKENIZED = ("brat", "sgml", "pubtator", "bioc", "i2b2")  # whose texts are cut anew


def facts(sentences: object) -> list[tuple[object, ...]]:
    return [(one.tokens, one.spans) for one in sentences]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(FORMATS, 2)))
def test_every_format_becomes_every_other(
    source: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "in" / NAMES[source], tmp_path / "out" / NAMES[target]
    ner.write(before, GIVEN, format=source)
    assert main(["convert", str(before), str(after), "--from", source, "--to", target]) == 0
    assert facts(ner.read(after, format=target)) == facts(GIVEN)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"{after}: 3 sentences, 10 tokens, 4 spans\n"


@pytest.mark.parametrize(("source", "target"), list(itertools.product(SCHEMES, repeat=2)))
def test_every_scheme_becomes_every_other(source: str, target: str, tmp_path: Path) -> None:
    before, after = tmp_path / "before.conll", tmp_path / "after.conll"
    ner.write(before, GIVEN, scheme=source)
    reader = f"scheme={source}"
    assert (
        main(
            ["convert", str(before), str(after), "--scheme", target, "--reader", reader, "--quiet"]
        )
        == 0
    )
    ner.write(before, GIVEN, scheme=target)
    assert after.read_bytes() == before.read_bytes()


def test_without_a_scheme_the_tags_stay_as_they_are(tmp_path: Path) -> None:
    before, after = tmp_path / "before.conll", tmp_path / "after.conll"
    before.write_text("-DOCSTART- -X- -X- O\n\nAda NNP B-NP S-PER\nleft VBD B-VP O\n\n")
    assert main(["convert", str(before), str(after), "--quiet"]) == 0
    assert after.read_bytes() == before.read_bytes()


def test_it_is_a_filter(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    class Stdin:
        buffer = io.BytesIO(b"Ada I-PER\nleft O\n")

    monkeypatch.setattr("sys.stdin", Stdin)
    assert main(["convert", "-", "-", "--to", "brackets"]) == 0
    told = capfdbinary.readouterr()
    assert told.out == b"[PER Ada] left\n"
    assert told.err == b"-: 1 sentence, 2 tokens, 1 span\n"


def test_repairs_are_counted_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "x.conll"
    before.write_text("a B-X\nb O\nc I-X\n")
    assert main(["convert", str(before), str(tmp_path / "y.conll"), "--quiet"]) == 0
    assert (tmp_path / "y.conll").read_text() == "a B-X\nb O\nc B-X\n\n"
    assert capsys.readouterr().err == (
        f"warning: {before}: repaired 1 tag that BIO does not allow there, as conlleval does: "
        "line 3 ('I-X' after 'O')\n"
    )


def test_what_the_target_has_no_place_for_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "x.conll"
    before.write_text("a N B-X\n")
    target = tmp_path / "x.brackets"
    assert main(["convert", str(before), str(target), "--scheme", "BIOES", "--quiet"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: brackets has no tags, and so no scheme; BIOES is ignored",
        "warning: brackets cannot store the columns column2",
    ]
    assert target.read_text() == "[X a]\n"


def test_nested_entities_keep_their_outer_layer_and_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "x.gold_conll"
    row = "d 0 0 w X * - - - - {} -\n"
    before.write_text("".join(row.format(one) for one in ("(ORG(GPE)", "*)", "*")))
    assert main(["convert", str(before), str(tmp_path / "y.conll"), "--to", "brackets"]) == 0
    assert (tmp_path / "y.conll").read_text() == "[ORG w w] w\n"
    assert "left out 1 spans inside or across another" in capsys.readouterr().err


def test_readers_and_writers_take_their_options(tmp_path: Path) -> None:
    before, after = tmp_path / "x.tsv", tmp_path / "y.conll"
    before.write_text("# a comment\n1\tAda\tB-PER\tx\n2\tleft\tO\ty\n")
    options = ["comment_prefix=# ", "token_column=1", "tag_column=2"]
    given = [part for one in options for part in ("--reader", one)]
    written = ["--writer", "separator= "]
    assert main(["convert", str(before), str(after), *given, *written, "--quiet"]) == 0
    assert after.read_text() == "Ada 1 x B-PER\nleft 2 y O\n\n"  # read without options
    written += ["--writer", "layout=same"]
    assert main(["convert", str(before), str(after), *given, *written, "--quiet"]) == 0
    assert after.read_text() == "1 Ada B-PER x\n2 left O y\n\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.conll", "y.conll"], "error: absent.conll: No such file or directory"),
        (["absent*.conll", "y.conll"], "error: absent*.conll: no file matches"),
        ([".", "y.conll"], "error: .: is a folder; name its files, for example '*.conll'"),
        (["bad.conll", "y.conll"], "error: bad.conll:2: expected 2 columns, found 1: 'b'"),
        (["good.conll", "y.conll", "--scheme", "BIOX"], "error: no scheme is called 'BIOX'"),
        (["good.conll", "y.conll", "--to", "xml"], "error: argument --to: invalid choice: 'xml'"),
        (["good.conll", "y.conll", "--reader", "x=1"], "the conll reader has no option 'x'"),
        (["good.conll", "y.conll", "--reader", "x"], "--reader wants KEY=VALUE, got 'x'"),
        (["good.conll", "no/such\0/y.conll"], "error: "),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.conll").write_text("a O\nb\n")
    Path("good.conll").write_text("a O\n")
    try:
        status = main(["convert", *arguments])
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    told = capsys.readouterr().err
    assert status == 2
    assert message in told
    assert told.count("\n") == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bad.conll", "good.conll"]


def test_a_file_does_not_replace_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.conll"
    ner.write(file, GIVEN)
    before = file.read_bytes()
    assert main(["convert", str(file), str(file), "--scheme", "BIOES"]) == 2
    assert "is an input and would be overwritten; name another" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize("target", [name for name in FORMATS if name not in RETOKENIZED])
def test_a_real_corpus_goes_through_every_format_and_back(
    target: str, shared: Path, tmp_path: Path
) -> None:
    gold = list(ner.read(shared / "data/wnut17/emerging.dev.conll"))
    ner.write(tmp_path / NAMES[target], gold)
    assert facts(ner.read(tmp_path / NAMES[target])) == facts(gold)


def test_a_json_file_is_one_document_and_json_lines_are_lines(toy, tmp_path):
    ner.write(tmp_path / "a.conll", toy)
    one, lines = tmp_path / "new folder" / "a.json", tmp_path / "a.jsonl"
    for target in (one, lines):
        assert main(["convert", str(tmp_path / "a.conll"), str(target), "--quiet"]) == 0
    records = json.loads(one.read_text(encoding="utf-8"))
    assert records == [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert list(ner.read(one)) == list(ner.read(lines)) == list(ner.read(tmp_path / "a.conll"))
    ner.write(tmp_path / "none.json", [])
    assert json.loads((tmp_path / "none.json").read_text()) == []
    assert list(ner.read(tmp_path / "none.json")) == []


def test_patterns_and_names_annotate_what_they_match(tmp_path: Path, capsys) -> None:
    raw, out = tmp_path / "raw.jsonl", tmp_path / "out.conll"
    raw.write_text(json.dumps({"text": "Ada Obi paid EU-77 in Accra Mall."}) + "\n")
    (tmp_path / "names.tsv").write_text("LOC\tAccra\nLOC\tAccra Mall\nPER\tAda O\n")
    (tmp_path / "patterns.tsv").write_text("CASE\t[A-Z]{2}-[0-9]+\n")
    given = ["--gazetteer", str(tmp_path / "names.tsv"), "--quiet"]
    given += ["--patterns", str(tmp_path / "patterns.tsv"), "--reader", "tokenizer=builtin"]
    assert main(["convert", str(raw), str(out), *given]) == 0
    (found,) = ner.read(out)
    words = {(" ".join(found.tokens[x.start : x.end]), x.label) for x in found.spans}
    assert words == {("Accra Mall", "LOC"), ("EU-77", "CASE")}
    assert {found.tokens[place] for place in found.unknown} == {"Ada", "Obi", "paid", "in", "."}
    (tmp_path / "names.tsv").write_text("Accra\n")
    assert main(["convert", str(raw), str(out), *given]) == 2
    assert "names.tsv:1: expected LABEL, a tab and a pattern" in capsys.readouterr().err
