"""Two processes of `ner tag` against one, by the clock: ``benchmarks/streams.py MODEL CORPUS``.

Two files of so many copies of the corpus are tagged by one process, by two that take a file each
(``--shard``), and by one that reads and writes for two others (``--processes 2``). It wants two
idle cores. Rounds take turns and the best of each counts; starting up is part of it, and a row by
itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import ner

WAYS: dict[str, Sequence[Sequence[str]]] = {
    "one process": [()],
    "two shards": [("--shard", "1/2"), ("--shard", "2/2")],
    "--processes 2": [("--processes", "2")],
}


def seconds(model: str, files: Sequence[Path], ways: Sequence[Sequence[str]]) -> float:
    """How long it takes until all of these processes have ended."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "ner", "tag", model, *map(str, files), "--to", "conll"]
        command += ["--from", "conll", "--output-dir", output, "--quiet"]
        began = time.perf_counter()
        running = [
            subprocess.Popen([*command, *way], env={**os.environ, "OMP_NUM_THREADS": "1"})
            for way in ways
        ]
        codes = [process.wait() for process in running]  # all of them
        if any(codes):
            raise SystemExit("ner tag failed")
        return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--copies", type=int, default=10, help="of the corpus in a file")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.conll" for name in "ab"]
        with files[0].open("wb") as out:
            for _ in range(given.copies):
                out.write(Path(given.corpus).read_bytes() + b"\n")
        shutil.copyfile(files[0], files[1])
        small = Path(folder) / "small.conll"
        small.write_text("Ada O\n\n")
        tokens = 2 * sum(map(len, ner.read(str(files[0]))))
        start = min(seconds(given.model, [small], [()]) for _ in range(given.rounds))
        best = dict.fromkeys(WAYS, float("inf"))
        for _ in range(given.rounds):
            for name, ways in WAYS.items():
                best[name] = min(best[name], seconds(given.model, files, ways))
    print(f"{tokens:,} tokens; to start up takes {start:.1f} s")
    print(f"{'':16}{'seconds':>9}{'tokens/s':>10}{'x one':>7}{'x one, started':>16}")
    one = best["one process"]
    for name, took in best.items():
        running = (one - start) / (took - start)
        print(f"{name:16}{took:9.1f}{tokens / took:10,.0f}{one / took:7.2f}{running:16.2f}")


if __name__ == "__main__":
    main()
