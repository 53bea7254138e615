"""What is shown on a terminal cannot command it."""

import pytest

from ner.cli import main
from ner.cli.printing import printable


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
