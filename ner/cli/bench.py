"""``ner bench``: measure speed and memory of tagging a file on this machine."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ner.cli.arguments import add_model_and_file, add_number, add_threads, load_model, reading_of
from ner.cli.console import Progress
from ner.errors import ConfigError
from ner.formats import read
from ner.native import described

if TYPE_CHECKING:
    from ner.inference import FastEngine
    from ner.runtime import ExportedTagger
    from ner.scorer import Scorer
    from ner.sentence import Sentence
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  ner bench models/conll2003 test.conll
  ner bench models/conll2003 test.conll --threads 2 --json -
  ner bench models/conll2003 test.conll --against plain
"""
LATENCY = 200  # sentences tagged one at a time
AGAIN = 3  # times that each of them is tagged to compare CPU times
Runs = dict[str, Callable[[], object]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner bench``."""
    add_model_and_file(parser, "sentences to tag")
    add_number(parser, "--rounds", 3, "repeat N times, report the fastest")
    add_threads(parser)
    text = "also compare CPU times with the same network as tutorials write it (BiLSTM-CRF, packed)"
    parser.add_argument("--against", choices=["plain"], help=text)


def run(arguments: argparse.Namespace) -> int:
    """Measure and report."""
    tagger, show = load_model(arguments), Progress.of(arguments)
    sentences = [s for s in read(arguments.file, **reading_of(arguments)) if len(s)]
    if not sentences:
        raise ConfigError(f"{arguments.file} has no sentence to tag")
    result = measure(tagger, sentences, arguments.rounds)
    result["model_bytes"] = sum(f.stat().st_size for f in Path(arguments.model).iterdir())
    if arguments.against:
        if not hasattr(tagger, "network"):
            raise ConfigError("--against plain needs the original model, not an exported one")
        result |= compare(tagger.network, sentences, arguments.rounds)
    show.result(result)
    for name, value in result.items():
        said = value if isinstance(value, str) else f"{value:,.2f}".replace(".00", "")
        show.line(f"{name.replace('_', ' '):28}{said:>14}")
    return 0


def measure(
    tagger: Tagger | ExportedTagger, sentences: list[Sentence], rounds: int
) -> dict[str, Any]:
    """Return wall-clock figures of tagging these sentences; the first pass is cold."""
    tokens = sum(map(len, sentences))
    times = [_seconds(tagger, sentences) for _ in range(rounds + 1)]
    singles = sorted(_seconds(tagger, [sentence]) for sentence in sentences[:LATENCY])
    return {
        "sentences": len(sentences),
        "tokens": tokens,
        "tokens_per_second_cold": tokens / times[0],
        "tokens_per_second_warm": tokens / min(times[1:]),
        "latency_ms_median": 1e3 * singles[len(singles) // 2],
        "latency_ms_p95": 1e3 * singles[int(0.95 * (len(singles) - 1))],
        "peak_memory_mib": _peak(),
        "kernels": described(),
    }


def compare(network: Scorer, sentences: list[Sentence], rounds: int) -> dict[str, float]:
    """Return CPU times of the fast engine relative to those of the plain tagger, by Viterbi."""
    runs, differing = contestants(network, sentences)
    best = best_of(runs, rounds)
    plain = best["plain"]
    median = {name: float(np.median(ms)) for name, ms in latencies(network, sentences).items()}
    return {
        "sentences_that_differ": differing,
        "plain_tokens_per_second": sum(map(len, sentences)) / plain,
        "cold_times_plain": plain / best["fast, cold"],
        "warm_times_plain": plain / best["fast, warm"],
        "with_scores_times_plain": plain / best["fast, warm, with scores"],
        "plain_latency_ms": median["plain"],
        "latency_of_plain": median["fast"] / median["plain"],
        "latency_with_scores_of_plain": median["scored"] / median["plain"],
    }


def contestants(network: Scorer, sentences: list[Sentence]) -> tuple[Runs, int]:
    """Return what tags the sentences in each way, and how many sentences differ in spans."""
    from ner.inference import FastEngine
    from ner.inference.plain import TutorialTagger

    plain, warm, scored = TutorialTagger(network), without_scores(network), FastEngine(network)
    pairs = zip(scored.predict(sentences), plain.predict(sentences), strict=True)
    differing = sum(found != expected for found, expected in pairs)
    warm.predict(sentences)
    return {
        "plain": lambda: plain.predict(sentences),
        "fast, cold": lambda: without_scores(network).predict(sentences),
        "fast, warm": lambda: warm.predict(sentences),
        "fast, warm, with scores": lambda: scored.predict(sentences),
    }, differing


def without_scores(network: Scorer) -> FastEngine:
    """Return a fast engine that gives no probabilities, as the plain tagger does not."""
    from ner.inference import FastEngine

    engine = FastEngine(network)
    engine.decoder.probabilities = lambda chain, found: [0.0] * len(found)  # type: ignore[method-assign]
    return engine


def best_of(runs: Runs, rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of each run over rounds in which they take turns."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run_once in runs.items():
            began = time.process_time()
            run_once()
            best[name] = min(best[name], time.process_time() - began)
    return best


def latencies(network: Scorer, sentences: Sequence[Sentence]) -> dict[str, list[float]]:
    """Return milliseconds of CPU per sentence, tagged one by one by each tagger in turns."""
    from ner.inference import FastEngine
    from ner.inference.plain import TutorialTagger

    taggers: dict[str, Any] = {
        "plain": TutorialTagger(network),
        "fast": without_scores(network),
        "scored": FastEngine(network),
    }
    some = list(sentences[:LATENCY])
    for tagger in taggers.values():
        tagger.predict(some)
    taken: dict[str, list[float]] = {name: [] for name in taggers}
    order = list(taggers)
    for number, sentence in enumerate(some * AGAIN):
        for name in order[number % 3 :] + order[: number % 3]:
            began = time.process_time()
            taggers[name].predict([sentence])
            taken[name].append(1e3 * (time.process_time() - began))
    return taken


def _seconds(tagger: Tagger | ExportedTagger, sentences: list[Sentence]) -> float:
    began = time.perf_counter()
    tagger.predict(sentences)
    return time.perf_counter() - began


def _peak() -> float:
    """Return the peak memory of this process in MiB; 0 if the system does not report it."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0.0
    import sys

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
