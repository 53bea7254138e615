"""Tagging speed by the number of tokens, of labels and of words, and by the length of sentences.

    python benchmarks/growth.py > docs/pictures/growth.tsv; python scripts/pictures.py

Networks of random weights (words 100, characters 25 to 30, BiLSTM 100) tag made-up sentences on one
thread, with the scores of spans. One quantity changes at a time, the others are those of `BASE`.
All points take turns, and the best of the rounds counts; a rate is CPU time per token at the base
divided by that at the point, with an empty cache of tokens (cold) and a filled one (warm).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from peers.spans import make_spans_rare
from tagging import TYPES_ONLY

from ner.cli.bench import best_of
from ner.inference import FastEngine
from ner.network import build
from ner.sentence import Sentence, Span

BASE = {"tokens": 20_000, "labels": 4, "length": 14, "words": 5_000}
POINTS: dict[str, Sequence[int]] = {
    "tokens": (100, 1_000, 10_000, 100_000),
    "labels": (1, 4, 10, 20, 50, 100, 200),
    "length": (1, 4, 14, 50, 200, 1_000, 10_000),
    "words": (100, 1_000, 5_000, 20_000),
}


def made_up(tokens: int, labels: int, length: int, words: int) -> list[Sentence]:
    """Return sentences of random words; each has an entity at its beginning."""
    random = np.random.default_rng(1)
    letters = random.integers(97, 123, (words, 8), np.uint8)
    vocabulary = [row.tobytes().decode() for row in letters]
    texts = [vocabulary[word] for word in random.integers(0, words, tokens).tolist()]
    return [
        Sentence(tuple(texts[start : start + length]), (Span(0, 1, f"L{number % labels}"),))
        for number, start in enumerate(range(0, tokens, length))
    ]


def runs_of(tokens: int, labels: int, length: int, words: int) -> dict[str, Callable[[], object]]:
    """Return what tags sentences of these quantities with an empty and a filled cache."""
    torch.manual_seed(0)
    sentences = made_up(tokens, labels, length, words)
    sizes = {**TYPES_ONLY, "words": {"width": 100}}
    some = [*made_up(200 * labels, labels, 14, words), *sentences[:200]]  # all labels are there
    network = build([*some, *sentences], embeddings=sizes, encoder={"width": 100}).eval()
    make_spans_rare(
        network.projection, 0, lambda few: sum(map(len, FastEngine(network).predict(few))), some
    )
    warm = FastEngine(network)
    warm.predict(sentences)
    times = max(1, BASE["tokens"] // tokens)  # short runs are repeated
    return {
        "cold": lambda: [FastEngine(network).predict(sentences) for _ in range(times)],
        "warm": lambda: [warm.predict(sentences) for _ in range(times)],
    }


def points() -> Iterator[tuple[str, int, dict[str, int]]]:
    """Yield each quantity with its values, and the quantities of the point."""
    for name, values in POINTS.items():
        for value in values:
            chosen = BASE | {name: value}
            yield name, value, chosen | {"tokens": max(chosen["tokens"], chosen["length"])}


def main() -> None:
    """Print a row for each point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    runs = {}
    for name, value, chosen in [("base", 0, BASE), *points()]:
        runs |= {(name, value, how): run for how, run in runs_of(**chosen).items()}
    best = best_of(runs, rounds)
    print("quantity\tvalue\tcold\twarm")
    for name, value, chosen in points():
        done = chosen["tokens"] * max(1, BASE["tokens"] // chosen["tokens"])
        rates = [
            best["base", 0, how] / BASE["tokens"] * done / best[name, value, how]
            for how in ("cold", "warm")
        ]
        print(name, value, *(f"{rate:.2f}" for rate in rates), sep="\t")


if __name__ == "__main__":
    main()
