"""``ner bench``: measure speed and memory of tagging a file on this machine."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import add_model_and_file, add_number, add_threads, load_model, reading_of
from ner.cli.console import Progress
from ner.errors import ConfigError
from ner.formats import read
from ner.native import described

if TYPE_CHECKING:
    from ner.runtime import ExportedTagger
    from ner.sentence import Sentence
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  ner bench models/conll2003 test.conll
  ner bench models/conll2003 test.conll --threads 2 --json -
"""
LATENCY = 200  # sentences tagged one at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner bench``."""
    add_model_and_file(parser, "sentences to tag")
    add_number(parser, "--rounds", 3, "repeat N times, report the fastest")
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and report."""
    tagger, show = load_model(arguments), Progress.of(arguments)
    sentences = [s for s in read(arguments.file, **reading_of(arguments)) if len(s)]
    if not sentences:
        raise ConfigError(f"{arguments.file} has no sentence to tag")
    result = measure(tagger, sentences, arguments.rounds)
    result["model_bytes"] = sum(f.stat().st_size for f in Path(arguments.model).iterdir())
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
