"""The frame of the command line: help, errors, exit statuses, light imports."""

import io
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import ner
from ner.cli import VERBS, main
from ner.native import described


def test_without_a_verb_it_prints_help(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"ner {verb}" in capsys.readouterr().out


def test_it_says_its_version_and_what_computes(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ner {ner.__version__} ({described()})\n"


def test_ctrl_c_after_the_end_of_a_command_shows_no_traceback():
    """torch takes a moment to end, and says so at length when it is interrupted."""
    code = (
        "import atexit, os, signal, sys; from ner.cli import main;"
        "atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), str()));"
        "sys.argv = ['ner', '--version']; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = f"ner {ner.__version__} ({described()})\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["trian"],
        ["train"],
        ["train", "missing.yaml"],
        ["train", "."],
        ["tag", "missing", "x", "--to", "xml"],
        ["tag", "missing"],
        ["tag", "missing", "--min-score", "2"],
        ["evaluate", "missing.conll", "--predictions", "missing.conll"],
        ["check", "missing.conll"],
        ["convert", "missing.conll", "x.jsonl"],
        ["train", "--wrong"],
    ],
)
def test_bad_calls_are_one_line_and_status_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_a_reader_remarks_is_told_without_its_line_of_code(small_model, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "Lima.", "label": [[0, 3, "LOC"]]}\n')
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["calibrate", small_model, str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"warning: {path}: 1 span would fit")
    assert "DataWarning" not in told


def test_what_is_too_much_is_told_with_the_help_of_its_verb(capsys):
    assert main(["convert", "a.ann", "b.ann", "out.conll"]) == 2
    assert capsys.readouterr().err == (
        "error: unrecognized arguments: out.conll; see `ner convert --help`\n"
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--epochs", "expected a whole number, got 'x'"),
        ("--max-drop", "expected a number, got 'x'"),
    ],
)
def test_what_is_no_number_is_said_in_plain_words(option, said, capsys):
    assert main(["train", option, "x"]) == 2
    assert capsys.readouterr().err == f"error: argument {option}: {said}; see `ner train --help`\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said_to_be_that(tmp_path, capsys):
    (tmp_path / "a.conll").write_text("Ada\tB-PER\n")
    assert main(["convert", str(tmp_path / "a.conll"), "/dev/full", "--to", "conll"]) == 2
    said = capsys.readouterr().err
    assert said == "error: the output cannot be written: No space left on device\n"


def test_a_corpus_in_place_of_a_configuration_is_recognised(tmp_path, capsys):
    path = tmp_path / "a.conll"
    path.write_text("Ada\tB-PER\nleft\tO\n")
    assert main(["train", str(path)]) == 2
    assert "expected a configuration in YAML (--train gives a corpus)" in capsys.readouterr().err


def test_a_misspelt_option_is_met_with_the_nearest_one(capsys):
    assert main(["tag", "model", "--outptu", "a.jsonl"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: unrecognized arguments: --outptu")
    assert said.endswith("; did you mean --output? see `ner tag --help`\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_are_empty_ones(closed):
    command = f"{sys.executable} -m ner check - {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, input=b"", check=False)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr + done.stdout


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "ner.config", raising=False)
    monkeypatch.delitem(sys.modules, "ner.cli.train", raising=False)
    assert main(["train", "missing.yaml"]) == 2
    assert capsys.readouterr().err == "error: this needs yaml, which is not installed\n"


@pytest.mark.parametrize(
    "code",
    ["import ner", "import ner.cli", "import ner.cli.check", "from ner.evaluation import Score"],
)
def test_reading_checking_and_scoring_never_import_torch_or_spacy(code):
    heavy = "{'torch', 'spacy', 'sklearn', 'seqeval', 'scipy'}"
    probe = f"{code}\nimport sys\nassert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", probe], check=True)


def test_a_network_too_large_for_the_memory_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    """torch says so by a RuntimeError, with the stack of its C++ in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("data: {train: 'sample:train'}\noutput: m\n")
    width = "model.embeddings.words.width=4611686018427387904"  # more than there are addresses
    assert main(["train", "run.yaml", "--set", width]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: not enough memory; reduce the width or the batch (")
    assert said.count("\n") == 1


def test_another_fault_of_torch_is_not_passed_off_as_want_of_memory(monkeypatch):
    def fail(arguments):
        raise RuntimeError("some fault of ours")

    monkeypatch.setattr("ner.cli.check.run", fail)
    with pytest.raises(RuntimeError, match="some fault of ours"):
        main(["check", "x.conll"])
