"""How many labels spoiled on purpose `ner suspects` finds, and what correcting them is worth.

    python benchmarks/suspects.py configs/conll2003-fast.yaml --folds 4
    python benchmarks/suspects.py configs/quick.yaml --spoil 200 --correct 200 --seed 1

Spoils labels at random in the training file of a configuration, trains a tagger without each fold
and ranks all annotation by how improbable it is. With `--correct N` the annotation of the first N
suspects is looked up in the original file, and F1 on test is printed for models trained on the
spoiled sentences, on those, and on as many corrections of spans drawn at random.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from random import Random

from ner.analysis.uncertainty import Doubts
from ner.evaluation import evaluate
from ner.evaluation.review import rank_suspects
from ner.sentence import Span
from ner.training import Run, read_settings
from ner.training.corpora import read_corpora
from ner.training.multiple_runs import cross_fit


def spoil(sentences, count, seed):
    """The sentences with so many labels replaced by others, and where that was done."""
    rng = Random(seed)
    labels = sorted({span.label for s in sentences for span in s.spans or ()})
    places = [(n, span) for n, s in enumerate(sentences) for span in s.spans or ()]
    spoiled = {}
    for number, span in rng.sample(places, count):
        other = rng.choice([label for label in labels if label != span.label])
        spoiled[number, span.start, span.end] = Span(span.start, span.end, other)
    changed = [
        replace(
            s,
            spans=tuple(spoiled.get((n, x.start, x.end), x) for x in s.spans)
            if s.spans
            else s.spans,
        )
        for n, s in enumerate(sentences)
    ]
    return changed, spoiled


def corrected(changed, sentences, places):
    """The changed sentences with the original annotation at places: sentence, start and end."""
    found = list(changed)
    for number, start, end in places:
        kept = [x for x in found[number].spans or () if x.end <= start or end <= x.start]
        own = [x for x in sentences[number].spans or () if x.start < end and start < x.end]
        found[number] = replace(found[number], spans=tuple(sorted({*kept, *own})))
    return found


def score(name, train, corpora, settings, seed):
    """Train on some sentences, and print F1 on test."""
    settings = replace(settings, output=None, training=replace(settings.training, seed=seed))
    run = Run(settings, device="cpu", corpora=replace(corpora, train=tuple(train)))
    list(run)
    f1 = evaluate(corpora.test, run.tagger.predict(corpora.test)).exact.f1
    print(f"{name:24} F1 {100 * f1:.2f}", flush=True)


def main():
    """Spoil, train, rank, count; correct and train again."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--spoil", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--correct", type=int, metavar="N", help="suspects to correct")
    parser.add_argument("--keep", help="a file for what the taggers thought, as JSON lines")
    given = parser.parse_args()
    settings = read_settings(given.config, given.assignments)
    corpora = read_corpora(settings.data, settings.training.seed)
    sentences = corpora.train
    changed, spoiled = spoil(sentences, given.spoil, given.seed)
    began = time.perf_counter()
    held = {}
    for fold, tagger in cross_fit(
        changed, settings, given.folds, tell=lambda line: print(line, flush=True)
    ):
        opinions = Doubts(tagger.network).opinions([changed[number] for number in fold])
        held.update(zip(fold, opinions, strict=True))
    opinions = [held[number] for number in range(len(changed))]
    if given.keep:
        lines = [
            json.dumps(
                [o.gold, o.outside, [(s.start, s.end, s.label, s.score) for s in o.predicted]]
            )
            for o in opinions
        ]
        Path(given.keep).write_text("\n".join(lines), encoding="utf-8")
    ranked = rank_suspects(opinions)
    print(f"{len(ranked):,} suspects in {time.perf_counter() - began:.0f} s")
    flat = [s for suspect in ranked for s in (suspect, *suspect.repeats)]
    for first in (50, 100, 150, 200, 300, 500):
        hits = sum(
            s.gold is not None and (s.number, s.gold.start, s.gold.end) in spoiled
            for suspect in ranked[:first]
            for s in (suspect, *suspect.repeats)
        )
        print(f"of {given.spoil} spoiled labels, {hits} are among the first {first}")
    if given.correct:
        spans = [s.gold or s.suggestion for s in flat]
        suspected = [(s.number, x.start, x.end) for s, x in zip(flat, spans, strict=True)]
        marked = [(n, x.start, x.end) for n, s in enumerate(changed) for x in s.spans or ()]
        drawn = Random(f"drawn {given.seed}").sample(marked, given.correct)  # not those spoiled
        kinds = {"spoiled": [], "random corrected": drawn, "suspects corrected": suspected}
        for name, places in kinds.items():
            train = corrected(changed, sentences, places[: given.correct])
            score(name, train, corpora, settings, given.seed)
        score("original", sentences, corpora, settings, given.seed)


if __name__ == "__main__":
    main()
