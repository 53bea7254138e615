"""F1 by the number of annotated sentences, for each strategy of ``ner select``.

    python benchmarks/active_learning.py TRAIN TEST --seeds 3 --steps 250 500 1000 2000 4000

A simulation: the annotation of TRAIN is hidden, and looked up for the sentences that are chosen.
Each strategy begins with the same sentences drawn at random; at each step a model is trained from
nothing on what is annotated, scored on TEST, and chooses what is annotated next. First a model is
trained on all of TRAIN, whose F1 the others are compared with.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch

import ner
from ner.analysis.uncertainty import Doubts
from ner.evaluation.review import STRATEGIES, Uncertainty, choose_sentences, distinct
from ner.sentence import Sentence
from ner.tagger import Tagger
from ner.training import Run, read_settings
from ner.training.corpora import Corpora


def train(sentences: Sequence[Sentence], given: argparse.Namespace, seed: int) -> Tagger:
    """Train on annotated sentences, without development sentences."""
    training = {"epochs": given.epochs, "threads": 1, "seed": seed}
    model = {"encoder": {"width": given.width}}
    settings = read_settings({"data": {"train": "given"}, "training": training, "model": model})
    run = Run(settings, device="cpu", corpora=Corpora(tuple(sentences), (), ()))
    list(run)
    return run.tagger


def simulate(
    pool: Sequence[Sentence], strategy: str, seed: int, given: argparse.Namespace
) -> list[tuple[int, int, float]]:
    """Return annotated sentences, their tokens, and F1 after each step."""
    first, *steps = given.steps
    blank = [Uncertainty(one, 0.0, ()) for one in pool]
    known = [one.number for one in choose_sentences(blank, first, strategy="random", seed=seed)]
    found = []
    for size in (*steps, None):
        tagger = train([pool[number] for number in sorted(known)], given, seed)
        f1 = ner.evaluate(given.gold, tagger.predict(given.gold)).exact.f1
        found.append((len(known), sum(len(pool[number]) for number in known), f1))
        print(f"{strategy:12} seed {seed}  {found[-1][0]:6} sentences  {found[-1][1]:7} tokens  "
              f"F1 {100 * f1:.2f}", flush=True)  # fmt: skip
        if size is None:
            break
        rest = sorted(set(range(len(pool))) - set(known))
        looked = [blank[number] for number in rest]
        if strategy == "uncertainty":
            looked = Doubts.of(tagger).uncertainties([pool[number] for number in rest])
        chosen = choose_sentences(looked, size - len(known), strategy=strategy, seed=seed)
        known += [rest[one.number] for one in chosen]
    return found


def main() -> None:
    """Simulate, and print the mean of the seeds at each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--epochs", type=int, help="the recipe's where not given")
    parser.add_argument("--width", type=int, default=100, help="of the BiLSTM")
    parser.add_argument("--pool", type=int, help="use only the first sentences of TRAIN")
    parser.add_argument("--scored", type=int, help="use only the first sentences of TEST")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sentences = [one for one in ner.read(given.train) if len(one)][: given.pool]
    pool = [sentences[group[0]] for group in distinct(sentences)]
    given.gold = list(ner.read(given.test))[: given.scored]
    seeds = range(1, given.seeds + 1)
    print(f"{len(pool)} distinct sentences, scored on {len(given.gold)}", flush=True)
    whole = statistics.mean(
        ner.evaluate(given.gold, train(pool, given, seed).predict(given.gold)).exact.f1
        for seed in seeds
    )
    print(f"all          mean    {len(pool):6} sentences  "
          f"{sum(map(len, pool)):7} tokens  F1 {100 * whole:.2f}", flush=True)  # fmt: skip
    for strategy in given.strategies:
        runs = [simulate(pool, strategy, seed, given) for seed in seeds]
        for rows in zip(*runs, strict=True):
            count, tokens, f1 = (statistics.mean(column) for column in zip(*rows, strict=True))
            print(f"{strategy:12} mean    {count:6.0f} sentences  {tokens:7.0f} tokens  "
                  f"F1 {100 * f1:.2f}, {100 * f1 / whole:.1f} % of all", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
