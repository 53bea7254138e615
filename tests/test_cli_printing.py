"""What is shown on a terminal cannot command it."""

import contextlib
import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import spacy

from ner.cli import main
from ner.cli.console import printable
from ner.network import build
from ner.sentence import Span
from ner.tagger import Tagger, model_card

DEMO = Path(__file__).parents[1] / "scripts" / "demo.py"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 人\tb\n", "plain é 人\tb\n"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J\x07\r", "\\x9b2J\\x07\\x0d"),
        ("\x00\x7f", "\\x00\\x7f"),
    ],
)
def test_control_characters_are_written_out(text, shown):
    assert printable(text) == shown


def test_labels_and_names_of_files_do_not_reach_the_terminal_raw(tmp_path, capsys):
    gold = tmp_path / "gold.conll"
    gold.write_text("a B-X\x1b[31m\nb O\n\n", encoding="utf-8")
    assert main(["evaluate", str(gold), "--predictions", str(gold)]) == 0
    assert main(["evaluate", str(tmp_path / "no\x1b[2J"), "--predictions", str(gold)]) == 2
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert "X\\x1b[31m" in told.out
    assert "no\\x1b[2J" in told.err


def test_names_of_files_do_not_command_the_terminal(tmp_path, capfd, monkeypatch):
    """A summary, a warning, an error: whatever names what the user gave."""
    monkeypatch.chdir(tmp_path)
    Path("in.conll").write_text("Ada\tB-PER\n", encoding="utf-8")
    name = "\x1b]0;owned\x07\x9b2J"
    assert main(["convert", "in.conll", f"{name}.jsonl"]) == 0
    assert main(["convert", "in.conll", f"{name}.txt", "--scheme", "BIOES"]) in (0, 2)
    assert main(["convert", f"{name}.conll", "out.jsonl"]) == 2
    with contextlib.suppress(SystemExit):
        main(["convert", "in.conll", "out.jsonl", f"--{name}"])
    told = "".join(capfd.readouterr())
    assert not re.search(r"[\x07\x1b\x9b]", told)
    assert "\\x1b]0;owned" in told


def test_the_page_of_the_demonstration_runs_no_label():
    page_of = runpy.run_path(str(DEMO))["page_of"]
    doc = spacy.blank("en")("Ada & Bo")
    doc.ents = [spacy.tokens.Span(doc, 0, 1, label="<svg/onload=alert(1)>")]
    page = page_of(doc)
    assert "&lt;svg/onload=alert(1)&gt;" in page
    assert "<svg/onload" not in page
    assert "&amp;" in page


def test_labels_are_text_in_a_model_s_page(toy):
    label = "<svg/onload=alert(1)>[x](y)`z"
    sentence = replace(toy[0], spans=(Span(0, 1, label),), labels=None)
    card = model_card(Tagger(build([sentence])))
    assert "Labels: &lt;svg/onload=alert(1)&gt;\\[x\\](y)\\`z." in card
