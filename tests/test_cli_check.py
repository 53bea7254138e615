"""``ner check``: the page, the JSON, the exit statuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ner.cli import main

GOOD = "Ada B-PER\nflew O\nto O\nRome B-LOC\n"
BAD = "Ada B-PER\nsang\n\nshe I-PER\nsang O\n\nAda B-per\nsa\u200bng O\n"


def save(folder: Path, text: str, name: str = "x.conll") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def run(*arguments: str) -> int:
    return main(["check", *arguments])


def test_a_good_file_is_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(save(tmp_path, GOOD)) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line.split() for line in printed.out.splitlines()]
    assert lines[1] == [
        "x.conll",
        "conll",
        "BIO",
        "(100",
        "%)",
        "2",
        "-",
        "1",
        "4",
        "4",
        "2",
        "500.0",
    ]
    assert lines[-1] == ["0", "errors,", "0", "warnings,", "0", "notes"]


def test_every_finding_has_its_line_and_errors_are_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, BAD)
    assert run(path) == 1
    out = capsys.readouterr().out
    for expected in [
        "error: malformed lines (1)",
        f"  {path}:2: expected 2 columns, found 1: 'sang'",
        f"  {path}:4: 'I-PER' at the start of the sentence is read as 'B-PER'",
        f"  {path}:7: the label 'per' (once) differs by case from 'PER' (2 times)",
        f"  {path}:8: 'sa\\u200bng' contains a zero-width space, U+200B",
    ]:
        assert expected in out.splitlines()
    assert "\033" not in out


def test_only_so_many_findings_of_a_kind_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, GOOD * 20 + "".join(f"a\tb{n}\tc\n" for n in range(30)))
    run(path)
    assert "  and 10 more" in capsys.readouterr().out.splitlines()
    run(path, "--limit", "2")
    assert "  and 28 more" in capsys.readouterr().out.splitlines()
    run(path, "--limit", "0")
    out = capsys.readouterr().out
    assert out.count("expected 2 columns") == 30
    assert "more" not in out.split("malformed lines")[1]


def test_only_so_many_pairs_of_files_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [save(tmp_path, GOOD, f"{number}.conll") for number in range(6)]
    assert run(*files) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "and 5 more pairs of files, see --json" in lines


def test_json_holds_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, report = save(tmp_path, BAD), tmp_path / "report.json"
    assert run(path, "--json", str(report)) == 1
    assert "bad-line" not in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert found["errors"] == 3
    assert found["files"][0]["labels"] == {"PER": 2, "per": 1}
    assert found["findings"][0] == {
        "severity": "error",
        "kind": "bad-line",
        "path": path,
        "line": 2,
        "message": "expected 2 columns, found 1: 'sang'",
        "count": 1,
        "lines": [2],
    }
    assert run(path, "--json", "-") == 1
    assert json.loads(capsys.readouterr().out) == found


def test_csv_has_a_row_for_each_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path, "Ada B-PER\nno\n\nEve B-PER\nno\n")
    assert run(path, "--csv", "-", "--ignore", "rare-label") == 1
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["kind"], row["line"], row["count"], row["lines"]) for row in rows] == [
        ("bad-line", "2", "2", "2 5")
    ]


def test_nothing_is_printed_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, empty = save(tmp_path, GOOD), save(tmp_path, "", "empty.conll")
    assert run(good, empty, save(tmp_path, BAD, "bad.conll")) == 2
    printed = capsys.readouterr()
    lines = [one for one in (printed.out + printed.err).splitlines() if one]
    assert len(lines) == len(set(lines))


def test_unreadable_files_are_status_2_and_stop_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(tmp_path / "missing.conll"), save(tmp_path, GOOD)) == 2
    printed = capsys.readouterr()
    assert printed.err == f"error: {tmp_path / 'missing.conll'}: No such file or directory\n"
    assert "x.conll" in printed.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.conll", "--limit", "-1"], "--limit: must be at least 0, got -1"),
        (["x.conll", "--reader", "color=red"], "the conll reader has no option 'color'"),
        (["x.conll", "--ignore", "leek"], "did you mean 'leak'?"),
        (["nothing*.conll"], "no file matches"),
        (["x.conll", "--from", "word"], "no format is called 'word'"),
        (["x.conll", "--reader", "tag_column=name"], "no column has a name"),
    ],
)
def test_bad_calls_are_one_line_and_status_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path, GOOD)
    try:
        status = run(*arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    printed = capsys.readouterr().err
    assert status == 2
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert said in printed


def test_what_is_wrong_is_told_even_if_no_file_has_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, "Ada,B-PER\nsang,O\n")
    assert run(path) == 2
    printed = capsys.readouterr()
    assert printed.err == f"error: {path}: the file has no sentences\n"
    assert f"  {path}:2: expected 2 columns, found 1: 'sang,O'" in printed.out
    wide = tmp_path / "wide.conll"
    wide.write_bytes(GOOD.encode("utf-16"))
    assert run(str(wide)) == 2
    told = f"error: {wide}: byte 0xff: this looks like UTF-16; set encoding: utf-16\n"
    assert capsys.readouterr().err == told


def test_tokens_that_only_count_and_pardoned_lines_are_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, "1 Ada B-PER\n2 sang O\n3 well O\n\n1 Obi B-PER\n2 sang\n")
    assert run(path, "--reader", "bad_lines=missing") == 1
    out = capsys.readouterr().out
    assert f"{path}:6: expected 3 columns, found 2: '2 sang'" in out
    assert f"{path}: the tokens are the numbers 1, 2, 3, ... in every sentence" in out
    assert run(path, "--reader", "bad_lines=missing", "--reader", "token_column=1") == 1
    assert "the tokens are the numbers" not in capsys.readouterr().out


def test_reader_options_reach_the_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path, "# id\n" + GOOD.replace("O\n", "o\n"))
    assert run(path) == 1
    options = ["--reader", "comment_prefix=# ", "--reader", "tag_map={o: O}"]
    assert run(path, *options) == 0
    capsys.readouterr()


def test_standard_input_can_be_checked() -> None:
    command = [sys.executable, "-m", "ner", "check", "-"]
    done = subprocess.run(command, input=BAD.encode(), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"standard input:2: expected 2 columns" in done.stdout


def test_a_terminal_has_colours_unless_it_wants_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, BAD)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    run(path, "--quiet")
    assert capsys.readouterr().out == ""
    run(path)
    assert "\033[31merror\033[0m: malformed lines" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    run(path)
    assert "\033" not in capsys.readouterr().out


def test_a_terminal_shows_a_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, (GOOD + "\n") * 2000)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(path)
    printed = capsys.readouterr()
    assert "checking x.conll" in printed.err
    assert "lines" in printed.err


def test_help_imports_neither_torch_nor_spacy() -> None:
    probe = (
        "import sys\nfrom ner.cli import main\n"
        "try:\n    main(['check', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'spacy', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", probe], check=True, stdout=subprocess.DEVNULL)
