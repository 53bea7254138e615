"""How fast CoNLL files are read, against the loop of the usual tutorial.

    python benchmarks/reading.py train.conll

Each reader runs in a process of its own, several times in turn, and its best time counts: a
busy machine can only make a reading slower. The baseline splits each line and decodes nothing:
it finds neither scheme nor spans nor faults, and knows no documents.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def house(path: str) -> int:
    """The reader of this project."""
    import ner

    return sum(len(sentence) for sentence in list(ner.read(path)))


def tutorial(path: str) -> int:
    """What most tutorials have: lists of tokens and tags."""
    sentences: list[tuple[list[str], list[str]]] = []
    tokens: list[str] = []
    tags: list[str] = []
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            line = line.strip()
            if not line or line.startswith("-DOCSTART-"):
                if tokens:
                    sentences.append((tokens, tags))
                    tokens, tags = [], []
            else:
                fields = line.split()
                tokens.append(fields[0])
                tags.append(fields[-1])
    if tokens:
        sentences.append((tokens, tags))
    return sum(len(tokens) for tokens, _ in sentences)


READERS: dict[str, Callable[[str], int]] = {"ner.read": house, "tutorial": tutorial}


def timed(name: str, path: str) -> tuple[int, float]:
    """The tokens of a file and the seconds it took, in a fresh process."""
    command = [sys.executable, __file__, path, "--only", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    tokens, seconds = done.stdout.split()
    return int(tokens), float(seconds)


def main() -> None:
    """Time the readers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="a CoNLL file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=READERS, help="time one reader once, in this process")
    arguments = parser.parse_args()
    if arguments.only:
        import ner.formats.conll  # noqa: F401 - what is timed is reading, not importing

        start = time.process_time()
        tokens = READERS[arguments.only](arguments.path)
        print(tokens, time.process_time() - start)
        return
    best = dict.fromkeys(READERS, float("inf"))
    tokens = 0
    for _ in range(arguments.repeats):
        for name in READERS:
            tokens, seconds = timed(name, arguments.path)
            best[name] = min(best[name], seconds)
    print(f"{'reader':10} {'tokens/s':>12} {'of tutorial':>12}")
    for name, seconds in best.items():
        print(f"{name:10} {tokens / seconds:12,.0f} {best['tutorial'] / seconds:12.2f}")


if __name__ == "__main__":
    main()
