"""Train configurations and score them: what makes the tables of ``docs/accuracy.md``.

    python benchmarks/accuracy.py configs/conll2003.yaml --seeds 1 2 3 --test
    python benchmarks/accuracy.py configs/*.yaml --test --peers crfsuite spacy_ner
    python benchmarks/accuracy.py configs/conll2003.yaml --set model.embeddings.topic=false
    python benchmarks/accuracy.py configs/conll2003.yaml --join models/seed-* --test

Every line printed is a JSON object: F1 in percent of the development and, where ``--test`` asks
for it, of the test sentences, with 95 % intervals from 2,000 bootstrap samples of sentences;
CPU seconds of training with its scoring; training tokens a second. The peers in ``peers/`` are
trained on the same sentences.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ner.evaluation import Score, evaluate
from ner.inference.decoding import VITERBI
from ner.network import Ensemble
from ner.sentence import Sentence, Span
from ner.tagger import Tagger, load
from ner.training import Run, RunSettings, read_settings
from ner.training.corpora import Corpora, read_corpora
from ner.training.results import decide


def main() -> None:
    """Run what the command line asks for."""
    options = parse()
    for path in options.configs:
        settings = read_settings(path, options.set)
        corpora = read_corpora(settings.data, settings.training.seed)
        if options.join:
            say(path, joined(options, settings, corpora))
            continue
        results = [one(path, seed, options, corpora) for seed in options.seeds]
        if len(results) > 1:
            say(path, summary(results))
        for name in options.peers:
            say(path, peer(name, corpora))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--test", action="store_true", help="score the test sentences too")
    parser.add_argument("--peers", nargs="+", default=[], help="crfsuite, spacy_ner")
    parser.add_argument("--save", type=Path, help="a folder for a model directory of each seed")
    parser.add_argument("--join", nargs="+", type=Path, help="score these models as one ensemble")
    return parser.parse_args()


def one(path: Path, seed: int, options: argparse.Namespace, corpora: Corpora) -> dict[str, Any]:
    """Train with one seed, and score."""
    settings = read_settings(path, [*options.set, f"training.seed={seed}", "output=null"])
    began = time.process_time()
    run = Run(settings, device="cpu", corpora=corpora)
    for epoch in run:
        f1 = f"{100 * epoch.score.f1:.2f}" if epoch.score else "-"
        print(f"epoch {epoch.number}: loss {epoch.loss:.4f}, F1 {f1}", file=sys.stderr)
    seconds = time.process_time() - began
    result: dict[str, Any] = {
        "seed": seed,
        "development": f1_of(run.best.score) if run.best and run.best.score else None,
        "seconds": round(seconds),
        "tokens_per_second": round(statistics.median(e.tokens_per_second for e in run.epochs)),
    }
    tagger = run.tagger
    if settings.decoding is None and corpora.development:
        decide(tagger, corpora.development, None)
    if options.test:
        result["test"] = scored(corpora.test, tagger.predict(corpora.test))
    if options.save:
        tagger.save(options.save / f"{path.stem}-{seed}")
    say(path, result)
    return result


def joined(options: argparse.Namespace, settings: RunSettings, corpora: Corpora) -> dict[str, Any]:
    """Several trained models as one ensemble, which ``--save`` writes as one directory."""
    tagger = Tagger(
        Ensemble([load(path).network for path in options.join]),
        decoding=settings.decoding or VITERBI,
    )
    if settings.decoding is None:
        decide(tagger, corpora.development, None)
    result: dict[str, Any] = {"members": len(options.join)}
    result["development"] = scored(corpora.development, tagger.predict(corpora.development))
    if options.test:
        result["test"] = scored(corpora.test, tagger.predict(corpora.test))
    if options.save:
        tagger.save(options.save)
    return result


def peer(name: str, corpora: Corpora) -> dict[str, Any]:
    """A baseline from ``peers/``, trained on the same sentences."""
    module = importlib.import_module(f"peers.{name}")
    began = time.process_time()
    found = module.train_and_tag(corpora.train, corpora.development, corpora.test)
    seconds = round(time.process_time() - began)
    return {"peer": name, "test": scored(corpora.test, found), "seconds": seconds}


def scored(sentences: Sequence[Sentence], found: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """F1 in percent, and its interval."""
    report = evaluate(sentences, found)
    interval = report.intervals.overall["f1"]
    ends = [round(100 * end, 2) for end in interval.as_json()] if interval else None
    return {"f1": f1_of(report.exact), "interval": ends}


def f1_of(score: Score) -> float:
    """F1 in percent."""
    return round(100 * score.f1, 2)


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds."""
    said: dict[str, Any] = {"seeds": len(results)}
    columns = {"development": [r["development"] for r in results]}
    if "test" in results[0]:
        columns["test"] = [r["test"]["f1"] for r in results]
    for name, values in columns.items():
        if None not in values:
            said[name] = [round(statistics.mean(values), 2), round(statistics.stdev(values), 2)]
    return said


def say(path: Path, result: dict[str, Any]) -> None:
    """Print one line."""
    print(json.dumps({"config": path.stem, **result}), flush=True)


if __name__ == "__main__":
    main()
