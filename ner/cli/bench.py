"""``ner bench``: measure speed and memory of tagging a file on this machine."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import (
    add_device,
    add_reading,
    add_report,
    add_threads,
    check_threads,
    model_of,
    reading_of,
)
from ner.cli.console import Progress, write_json
from ner.config import ConfigError

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
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a model directory")
    parser.add_argument("file", metavar="FILE", help="sentences to tag")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="repeat N times, report the fastest (default: 3)",
    )
    add_reading(parser, "FILE")
    add_device(parser)
    add_threads(parser)
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and report."""
    check_threads(arguments.threads)
    if arguments.rounds < 1:
        raise ConfigError(f"--rounds must be at least 1, got {arguments.rounds}")
    from ner.formats import read

    tagger = model_of(arguments)
    sentences = [s for s in read(arguments.file, **reading_of(arguments)) if len(s)]
    if not sentences:
        raise ConfigError(f"{arguments.file}: holds no sentence to tag")
    result = measure(tagger, sentences, arguments.rounds)
    result["model_bytes"] = sum(f.stat().st_size for f in Path(arguments.model).iterdir())
    if arguments.json:
        write_json(result, arguments.json)
    if arguments.json != "-":
        progress = Progress(quiet=arguments.quiet)
        for name, value in result.items():
            progress.line(f"{name.replace('_', ' '):28}{value:>14,.2f}".replace(".00", ""))
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
