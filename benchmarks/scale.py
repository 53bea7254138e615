"""Memory and CPU time to the first steps of training, by the number of sentences.

    python benchmarks/scale.py --sentences 10000 100000 --folder /tmp

Sentences are made up: 9 to 15 tokens, one entity on average, words with the frequencies of Zipf's
law from a vocabulary of 200,000. Each row is a process of its own, with the sentences in memory or
on disk (`data.on_disk`). The peak contains the network and its optimiser.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

VOCABULARY, EXPONENT, AT_ONCE, STEPS = 200_000, 1.05, 20_000, 20
LABELS = ("PER", "LOC", "ORG", "MISC")


def write(path: Path, sentences: int, document: int) -> None:
    """Write made-up sentences as CoNLL, with documents of so many sentences, or none."""
    random = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lengths = 2 + np.log2(np.arange(VOCABULARY) + 2).astype(int) // 2
    words = [
        "".join(random.choice(letters, n)) for n in lengths + random.integers(0, 3, VOCABULARY)
    ]
    words = [word.capitalize() if n % 4 == 0 else word for n, word in enumerate(words)]
    ends = np.cumsum(np.arange(1, VOCABULARY + 1.0) ** -EXPONENT)
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, sentences, AT_ONCE):
            sizes = random.integers(9, 16, min(AT_ONCE, sentences - first))
            chosen = np.searchsorted(ends, random.random(sizes.sum()) * ends[-1]).tolist()
            tags = ["O"] * len(chosen)
            starts = np.cumsum(sizes) - sizes
            for start, label in zip(
                starts.tolist(), random.integers(0, 4, len(sizes)), strict=True
            ):
                place = start + int(random.integers(0, 8))
                tags[place : place + 2] = [f"B-{LABELS[label]}", f"I-{LABELS[label]}"]
            for number, (start, size) in enumerate(
                zip(starts.tolist(), sizes.tolist(), strict=True)
            ):
                if document and (first + number) % document == 0:
                    file.write("-DOCSTART- O\n\n")
                rows = zip(chosen[start : start + size], tags[start : start + size], strict=True)
                file.write("".join(f"{words[word]} {tag}\n" for word, tag in rows) + "\n")


def measure(path: str, on_disk: str | None) -> dict[str, float]:
    """Begin a run, take some steps, and return CPU seconds and peaks of memory in MB."""
    from resource import RUSAGE_SELF, getrusage

    from ner.training import Run, StoppedError, read_settings
    from ner.training.corpora import inspect, read_corpora

    def peak() -> float:
        return getrusage(RUSAGE_SELF).ru_maxrss / 1024

    settings = read_settings({"data": {"train": path, "on_disk": on_disk}})
    found = {"start MB": peak()}
    begun = time.process_time()
    corpora = read_corpora(settings.data, 1)
    found |= {"reading s": time.process_time() - begun, "read MB": peak()}
    begun = time.process_time()
    run = Run(settings, device="cpu", corpora=corpora)
    found |= {"indexing s": time.process_time() - begun, "indexed MB": peak()}
    begun = time.process_time()
    inspect(run.corpora)
    run.corpora.fingerprint()
    found["summary s"] = time.process_time() - begun
    begun = time.process_time()
    with contextlib.suppress(StoppedError):
        run.train_epoch(lambda step: run.stop() if run.position.step == STEPS else None)
    return found | {"steps s": time.process_time() - begun, "peak MB": peak()}


def main() -> None:
    """Print a row for each number of sentences and each road."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--document", type=int, default=0, help="sentences of a document")
    parser.add_argument("--roads", nargs="+", default=["memory", "disk"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, road = arguments.measure
        print(json.dumps(measure(path, str(arguments.folder) if road == "disk" else None)))
        return
    for sentences in arguments.sentences:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            path = Path(folder) / "train.conll"
            write(path, sentences, arguments.document)
            for road in arguments.roads:
                own = ["--folder", folder, "--measure", str(path), road]
                done = subprocess.run(
                    [sys.executable, __file__, *own], check=True, capture_output=True, text=True
                )
                figures = json.loads(done.stdout.splitlines()[-1])
                row = "  ".join(f"{name} {value:,.1f}" for name, value in figures.items())
                print(f"{sentences:>11,} {road:6}  {row}", flush=True)


if __name__ == "__main__":
    main()
