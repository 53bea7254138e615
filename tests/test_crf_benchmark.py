"""The benchmark of CRF layers runs, and finds no disagreement."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "crf.py"


def test_it_compares_and_writes(tmp_path):
    out = tmp_path / "out.json"
    options = ["--shapes", "3x6x5,1x4x3", "--seconds", "0", "--threads", "1", "--json", str(out)]
    command = [sys.executable, "-W", "error", str(SCRIPT), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["class"], row["shape"]) for row in rows] == [
        ("torchcrf:CRF", "3x6x5"),
        ("ner.crf:CRF", "3x6x5"),
        ("torchcrf:CRF", "1x4x3"),
        ("ner.crf:CRF", "1x4x3"),
    ]
    assert all(row["gradient_error"] < 1e-5 for row in rows if row["class"] == "ner.crf:CRF")
    assert "median" in done.stdout
