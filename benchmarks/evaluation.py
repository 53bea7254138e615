"""How long scoring takes, beside seqeval and beside drawing resamples one by one.

    python benchmarks/evaluation.py [FILE]

FILE has gold and predicted tags in its last two columns; without it, sentences are made up.
"""

import random
import sys
import time

import numpy as np
from seqeval.metrics import classification_report

import ner
from ner.evaluation import Score, Settings, evaluate
from ner.evaluation.comparison import compare
from ner.evaluation.intervals import bootstrap, count
from ner.evaluation.page import page
from ner.schemes import SCHEMES
from ner.sentence import Sentence, Span

RESAMPLES = 2000


def made_up(number=3453, seed=1):
    """Gold and predicted sentences, about as many and as long as CoNLL-2003's test sentences."""
    rng = random.Random(seed)
    gold, predicted = [], []
    for _ in range(number):
        length = rng.randint(1, 26)
        tokens = tuple(f"word{rng.randint(0, 9999)}" for _ in range(length))
        places = [at for at in range(length) if rng.random() < 0.12]
        spans = tuple(Span(at, at + 1, rng.choice(("PER", "LOC", "ORG", "MISC"))) for at in places)
        gold.append(Sentence(tokens, spans))
        kept = tuple(span for span in spans if rng.random() < 0.9)
        predicted.append(Sentence(tokens, kept))
    return gold, predicted


def seconds(work, repeats=3):
    """The least CPU time some work took: what else the machine does is left out."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def one_by_one(pairs):
    """The plain bootstrap: draw the rows of each sample, add them up, score."""
    counts = count(pairs, sorted({s.label for p in pairs for s in (*p.gold, *p.predicted)}))
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        rows = rng.integers(len(counts), size=len(counts))
        for label in counts[rows].sum(axis=0).tolist():
            _ = Score(*label).f1


def main():
    """Measure and print."""
    if len(sys.argv) > 1:
        gold, predicted = (list(ner.read(sys.argv[1], tag_column=at)) for at in (-2, -1))
    else:
        gold, predicted = made_up()
    tags = [
        [list(SCHEMES["BIO"].encode(s.spans, len(s))) for s in side] for side in (gold, predicted)
    ]
    report = evaluate(gold, predicted, settings=Settings(resamples=RESAMPLES))
    print(f"{report.sentences:,} sentences, {report.exact.gold:,} gold spans")
    ours = seconds(lambda: evaluate(gold, predicted).exact)
    theirs = seconds(lambda: classification_report(*tags, zero_division=0), repeats=1)
    print(f"exact scores      {ours:8.3f} s  seqeval {theirs:8.3f} s  {theirs / ours:6.1f} x")
    ours = seconds(lambda: bootstrap(report.pairs, resamples=RESAMPLES))
    theirs = seconds(lambda: one_by_one(report.pairs), repeats=1)
    print(f"2,000 resamples   {ours:8.3f} s  plain   {theirs:8.3f} s  {theirs / ours:6.1f} x")
    print(f"compare, 10,000   {seconds(lambda: compare(report.pairs, report.pairs), 1):8.3f} s")
    print(f"page              {seconds(lambda: page(report), 1):8.3f} s")


if __name__ == "__main__":
    main()
