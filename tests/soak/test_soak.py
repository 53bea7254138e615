"""The long checks start, on little; in full they are run by hand: see docs/reliability.md."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECKS = {
    "saving": ["reliability.py", "saving", "--count", "2"],
    "hostile": ["reliability.py", "hostile", "--count", "5"],
    "inputs": ["reliability.py", "inputs", "--count", "20"],
    "exports": ["reliability.py", "exports", "--count", "3"],
    "opened": ["opened_files.py", "exports", "--count", "6"],
    "threads": ["reliability.py", "threads", "--count", "50"],
    "processes": ["reliability.py", "processes", "--count", "1"],
    "surroundings": ["reliability.py", "surroundings", "--count", "1"],
    "killing": ["kill_training.py", "--kills", "1"],
    "mutation": ["mutate.py", "metrics", "--count", "2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_a_long_check_runs_on_little(check, tmp_path):
    script, *arguments = CHECKS[check]
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_mutated_is_there():
    code = "import mutate; [mutate.files(p, mutate.ROOT / f) for pair in mutate.PARTS.values() "
    code += "for p, f in zip(pair, ('', 'tests'))]"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
