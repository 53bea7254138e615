"""Locks: who writes is alone, and a process that ends leaves none behind."""

import subprocess
import sys

from ner.storage.locks import run_lock

OTHER = """
import sys
from pathlib import Path
from ner.storage.locks import run_lock

try:
    ours = run_lock(Path(sys.argv[1]))
except BlockingIOError:
    sys.exit(3)
"""


def another_process_claims(folder):
    done = subprocess.run([sys.executable, "-c", OTHER, str(folder)], check=False).returncode
    assert done in (0, 3)
    return done == 0


def test_a_claimed_folder_is_no_other_process_s_until_it_is_let_go(tmp_path):
    ours = run_lock(tmp_path / "run")
    again = run_lock(tmp_path / "run")
    assert not another_process_claims(tmp_path / "run")
    del ours
    assert not another_process_claims(tmp_path / "run")  # this process still holds it
    del again
    assert another_process_claims(tmp_path / "run")
    assert run_lock(tmp_path / "run") is not None  # which has ended since


def test_a_folder_is_claimed_whatever_it_is_called(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    ours = run_lock(tmp_path / "link")
    assert not another_process_claims(tmp_path / "run")
    assert ours.in_place


def test_a_folder_that_takes_the_place_of_a_claimed_one_is_still_claimed(tmp_path):
    before = run_lock(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "gone")
    (tmp_path / "run").mkdir()
    assert not another_process_claims(tmp_path / "run")
    (tmp_path / ".run.running").unlink()
    after = run_lock(tmp_path / "run")
    assert after is not before
    assert not another_process_claims(tmp_path / "run")
