"""Every example runs, and shows what it says."""

from __future__ import annotations

import re
import runpy
import shutil

import pytest
from documented import ROOT, furnish, lines_of, pipelines, run

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHOWS = {
    "tag_text": r"\w+ +(PER|LOC|ORG|MISC) +0\.\d\d  at \d+",
    "spacy_pipeline": r"\('Accra', 'LOC', 0\.\d+\)",
    "correct_labels": r"\d+ of the first 30 suspects are in sentences with a wrong label",
    "redact": r"\[\w+-1\] met",
    "serve": r"Ada Obi left Accra\. \[",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, trained_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [path.name, trained_model])
    runpy.run_path(str(path), run_name="__main__")
    assert re.search(SHOWS[path.stem], capsys.readouterr().out)


def test_three_commands_train_on_own_files(trained_model, exported_model, tmp_path, monkeypatch):
    furnish(tmp_path, trained_model, exported_model)
    shutil.rmtree(tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    for line in lines_of((ROOT / "examples" / "own_conll.sh").read_text("utf-8")):
        for pipeline in pipelines(line):
            printed = run(pipeline, monkeypatch)
    assert re.search(r"^ +micro avg +0\.\d+", printed, re.MULTILINE)
    assert (tmp_path / "report.html").exists()
