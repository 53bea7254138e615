"""``ner serve`` as users meet it."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from ner.cli import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-body", "0"], "the limit of body must be above 0"),
        (["--max-tokens", "x"], "--max-tokens"),
        (["--max-characters", "10000000"], "the limit of characters must be at most 500,000"),
        (["--timeout", "nan"], "the limit of seconds must be above 0"),
        (["--port", "70000"], "port must be from 0 to 65,535, got 70,000"),
        (["--host", "300.1.2.3"], "cannot listen on 300.1.2.3:8000"),
        (["--min-score", "2"], "--min-score must be from 0 to 1, got 2.0"),
        (["--language", "zq", "--port", "0"], "spaCy has no language 'zq'"),
    ],
)
def test_wrong_settings_are_one_line(small_model, capsys, arguments, said):
    status = status_of(["serve", small_model, *arguments])
    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert said in told.err
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1


def status_of(arguments):
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


def test_a_port_that_is_taken_is_said(small_model, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", small_model, "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


def test_no_model_is_said(tmp_path, capsys):
    assert main(["serve", str(tmp_path / "none"), "--port", "0"]) == 2
    expected = f"error: model directory '{tmp_path / 'none'}' does not exist\n"
    assert capsys.readouterr().err == expected


def test_a_missing_extra_is_said(small_model, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ner.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["serve", small_model]) == 2
    assert capsys.readouterr().err == (
        "error: ner serve needs fastapi: pip install 'ner-crf[serve]'\n"
    )


def test_it_serves_until_it_is_told_to_stop(small_model):
    """From a shell: an address, an answer, an end that is none of violence."""
    command = [sys.executable, "-m", "ner", "serve", small_model, "--port", "0", "--min-score", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            address = process.stdout.readline().strip()
            request = urllib.request.Request(
                f"{address}tag",
                json.dumps({"text": "Ada Obi"}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=300) as answer:
                assert json.load(answer)["spans"] == []
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=300)
    assert address.startswith("http://127.0.0.1:")
    assert (process.returncode, errors) == (0, "Ctrl-C to stop\n")
