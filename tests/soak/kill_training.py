"""Kill a training run again and again; it must end in the bytes of a run left alone.

``kill_training.py --kills 20`` trains on the bundled corpus in a process of its own, ends it with
SIGKILL at random moments (while steps are taken, while checkpoints and models are written), goes
on with ``--resume``, and compares every file of the model directory with that of a run nobody
disturbed. After each kill the model directory, where there is one, must load. The exit status is 1
if anything differed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ner
from ner.config import dump
from ner.model_directory import ModelError
from ner.storage.atomic import sha256

SETTINGS = {
    "data": {"train": "sample:development", "development": "sample:test"},
    "model": {
        "encoder": {"width": 32},
        "embeddings": {"words": {"width": 300}},  # wide enough to be optimised row by row
    },
    "training": {"epochs": 6, "threads": 1, "checkpoint_steps": 2},
    "output": "model",
}
CALL = [sys.executable, "-m", "ner", "train", "run.yaml", "--quiet", "--device", "cpu"]


def main() -> int:
    """Run as many trials as it takes for the kills asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kills-a-run", type=int, default=5, help="then the run may end")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "whole").mkdir()
        train(folder / "whole")
        expected = digests(folder / "whole")
        kills, differing, unloadable, runs = 0, 0, 0, 0
        while kills < arguments.kills:
            trial = folder / f"trial-{runs}"
            trial.mkdir()
            runs += 1
            for _ in range(arguments.kills_a_run):
                if not killed(trial, chance):
                    break
                kills += 1
                unloadable += not loads(trial / "model")
            train(trial)
            differing += digests(trial) != expected
    print(
        f"{kills} kills in {runs} runs: {differing} runs ended in other bytes, "
        f"{unloadable} models did not load"
    )
    return int(differing + unloadable > 0)


def train(folder: Path) -> None:
    """Train to the end."""
    write_settings(folder)
    subprocess.run([*CALL, "--resume"], cwd=folder, check=True)


def killed(folder: Path, chance: random.Random) -> bool:
    """Go on with a run and kill it; whether it was still under way."""
    write_settings(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*CALL, "--resume"], cwd=folder, env=environment) as process:
        wanted = newest_step(folder) + chance.randint(1, 12)
        while process.poll() is None and newest_step(folder) < wanted:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.15))
        process.kill()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"training ended by itself with status {process.returncode}")
    return process.returncode != 0


def newest_step(folder: Path) -> int:
    """The newest step with a checkpoint."""
    found = (folder / "model.run" / "checkpoints").glob("step-*")
    return max((int(path.name.removeprefix("step-")) for path in found), default=0)


def loads(model: Path) -> bool:
    """Whether a model directory is whole, or not there yet."""
    try:
        ner.load(model)
    except ModelError as error:
        if not model.exists():
            return True
        print(error)
        return False
    return True


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of the model."""
    return {file.name: sha256(file) for file in sorted((folder / "model").iterdir())}


def write_settings(folder: Path) -> None:
    """Write the settings of the run."""
    (folder / "run.yaml").write_text(dump(SETTINGS), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
