"""How long `ner check` takes on a large file, and the most memory it needs.

    python benchmarks/checking.py train.conll --megabytes 2000

The large file is written to a temporary folder: the sentences of FILE over and over, each time with
another token changed at random, so that sentences and words do not repeat.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NEW_WORDS = 3_000_000


def sentences_of(path: Path) -> list[list[str]]:
    """The lines of each sentence, boundaries of documents among them."""
    whole = path.read_text(encoding="utf-8").split("\n\n")
    return [lines for one in whole if (lines := [line for line in one.split("\n") if line.strip()])]


def varied(sentences: list[list[str]], rng: random.Random) -> Iterator[str]:
    """The sentences as text, a number put to the end of one token of each."""
    for lines in sentences:
        place = rng.randrange(len(lines))
        token, separator, rest = lines[place].partition("\t" if "\t" in lines[place] else " ")
        if token != "-DOCSTART-":
            token += str(rng.randrange(NEW_WORDS))
        yield "\n".join([*lines[:place], token + separator + rest, *lines[place + 1 :]]) + "\n\n"


def main() -> None:
    """Write, check, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, metavar="FILE", help="a CoNLL file")
    parser.add_argument("--megabytes", type=int, default=2000)
    given = parser.parse_args()
    rng, sentences, size = random.Random(1), sentences_of(given.path), 0
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.conll"
        with large.open("w", encoding="utf-8") as file:
            while size < given.megabytes * 1_000_000:
                size += file.write("".join(varied(sentences, rng)))
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "ner", "check", str(large), "--limit", "1"], check=False
        )
        seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{large.name}: {size / 1e6:,.0f} MB, {seconds:,.0f} s, of them {used.ru_utime:,.0f} s of "
        f"CPU, at most {used.ru_maxrss / 1024:,.0f} MB of memory"
    )


if __name__ == "__main__":
    main()
