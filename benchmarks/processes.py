"""Training speed of two processes against one: ``benchmarks/processes.py [TRAIN.conll]``.

Each process has one thread. One process takes steps of all the sentences, and steps of as many as
each of the two takes, which is less work at a time and goes slower by the sentence. Rounds
alternate and the best of each kind counts. ``wall`` are tokens a second as the clock has them,
which wants two idle cores; ``CPU`` are tokens a second of CPU time of the busiest process, which
leaves out waiting for others and other work on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ner
from ner.sample import path as sample_path

WARM = 5  # steps before the clock runs


def work(file: Path, batch: int, steps: int, settings: list[str]) -> None:
    """Train as one of the processes; the first prints tokens and seconds as JSON."""
    import torch

    from ner.training import Run, read_settings
    from ner.training.corpora import Corpora

    torch.set_num_threads(1)
    raw = {"data": {"train": "given"}, "training": {"epochs": 100, "batch_size": batch}}
    corpora = Corpora(tuple(ner.read(file)), (), ())
    run = Run(read_settings(raw, settings), device="cpu", corpora=corpora)
    run.network.train()
    groups = run._data.groups(0)[: WARM + steps]
    for group in groups[:WARM]:
        run._take(group, 0.5)
    run.processes.wait()
    wall, cpu = time.perf_counter(), time.process_time()
    for group in groups[WARM:]:
        run._take(group, 0.5)
    own = torch.tensor([time.process_time() - cpu])
    busiest = max(one.item() for one in run.processes.gather(own))
    tokens = run._data.step(groups[WARM:], 0.0).tokens
    if run.processes.writes:
        print(json.dumps({"tokens": tokens, "wall": time.perf_counter() - wall, "CPU": busiest}))
    if run.processes.count > 1:
        torch.distributed.destroy_process_group()


def together(count: int, call: list[str]) -> dict[str, float]:
    """Tokens a second of so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            call,
            env={**os.environ, **shared, "RANK": str(rank), "WORLD_SIZE": str(count)},
            stdout=subprocess.PIPE,
        )
        for rank in range(count)
    ]
    told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("a process failed")
    found: dict[str, Any] = json.loads(told[0])
    return {kind: found["tokens"] / found[kind] for kind in ("wall", "CPU")}


def main() -> None:
    """Compare one and two processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", nargs="?", type=Path, help="the bundled corpus without one")
    parser.add_argument("--batch", type=int, default=64, help="sentences of a step, of all")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    file = arguments.train or sample_path("train")
    if arguments.worker:
        work(file, arguments.batch, arguments.steps, arguments.set)
        return
    call = [sys.executable, __file__, str(file), "--worker", "--steps", str(arguments.steps)]
    call += [part for one in arguments.set for part in ("--set", one)]
    whole, half = arguments.batch, arguments.batch // 2
    best: dict[tuple[int, int], dict[str, float]] = {(1, half): {}, (1, whole): {}, (2, whole): {}}
    for _ in range(arguments.rounds):
        for (count, batch), known in best.items():
            for kind, speed in together(count, [*call, "--batch", str(batch)]).items():
                known[kind] = max(known.get(kind, 0.0), speed)
    print(f"tokens a second: two processes with {whole} sentences a step, {half} each")
    for kind in ("wall", "CPU"):
        two = best[2, whole][kind]
        ones = (
            f"one with {batch:3} {best[1, batch][kind]:7,.0f} {two / best[1, batch][kind]:5.2f} x"
            for batch in (half, whole)
        )
        print(f"{kind:5}{two:9,.0f}  {'  '.join(ones)}")


if __name__ == "__main__":
    main()
