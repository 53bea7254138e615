"""``ner redact``: replace the entities in texts."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import (
    add_device,
    add_model,
    add_output,
    add_patterns,
    add_quiet,
    patterns_of,
)
from ner.cli.console import STREAM, Progress, counted, write_json
from ner.errors import ConfigError
from ner.redaction import WAYS

if TYPE_CHECKING:
    from ner.redaction import Redacted, Redactor
    from ner.redaction.promise import OperatingPoint
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  ner redact models/conll2003 letter.txt --coverage 0.99 --with pseudonym --report report.json
  ner redact models/conll2003 records.jsonl --patterns patterns.tsv --output redacted.jsonl

A text file is one document whose lines are tagged one by one; in JSON lines each record is a
document whose "text" is redacted. Each line of a file of patterns or phrases is LABEL, a tab, and
a pattern; a .jsonl file of patterns is that of spaCy's entity ruler.
"""
CHUNK = 256  # lines tagged together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner redact``."""
    add = parser.add_argument
    add_model(parser)
    add("input", metavar="INPUT", nargs="?", default=STREAM, help="text or JSON lines (default: -)")
    add("--from", dest="source", choices=("text", "jsonl"), help="default: by the extension")
    add("--with", dest="way", choices=WAYS, default="label", help="replacement (default: label)")
    text = "cover at least this share of entity tokens, as measured on development sentences"
    add("--coverage", type=float, metavar="C", help=text)
    text = "annotated sentences to measure coverage on (default: those of training)"
    add("--development", metavar="FILE", help=text)
    add_patterns(parser, "also hide")
    add("--key", metavar="FILE", help="file with the secret key for hashes")
    add("--tokenizer", metavar="NAME", help="as in ner tag (default: the model's)")
    add_output(parser, "--output", "output file (default: standard output)", default=STREAM)
    text = "write counts by label and the lines to review as JSON; it contains no text"
    add_output(parser, "--report", text)
    add_device(parser)
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Redact a stream."""
    from ner.models import load
    from ner.redaction import Redactor, Replacer

    if arguments.coverage is not None and not 0.0 < arguments.coverage < 1.0:
        raise ConfigError(f"--coverage must be between 0 and 1, got {arguments.coverage}")
    tagger = load(arguments.model, device=arguments.device)
    point = _operating_point(tagger, arguments)
    key = Path(arguments.key).read_bytes().strip() if arguments.key else b""
    redactor = Redactor.of(
        tagger,
        Replacer(arguments.way, key),
        coverage=arguments.coverage,
        patterns=patterns_of(arguments, arguments.tokenizer or tagger.tokenizer),
        tokenizer=arguments.tokenizer,
    )
    counts: Counter[str] = Counter()
    doubtful: list[int] = []
    lines = 0
    with ExitStack() as stack:
        out = _opened(arguments.output, stack)
        for lines, (text, redacted) in enumerate(_redacted(redactor, arguments, stack), 1):
            out.write(text)
            counts += redacted.counts()
            if redacted.doubtful():
                doubtful.append(lines)
    report = {
        "lines": lines,
        "labels": dict(sorted(counts.items())),
        "doubtful_lines": doubtful,
        "promise": point,
    }
    if arguments.report:
        write_json(report, arguments.report)
    _tell(report, Progress(quiet=arguments.quiet or arguments.output == STREAM))
    return 0


def _operating_point(
    tagger: Tagger | ExportedTagger, arguments: argparse.Namespace
) -> dict[str, Any] | None:
    """Return the promised coverage and its cost, measured again if sentences are given."""
    if arguments.coverage is None:
        return None
    from dataclasses import asdict

    from ner.analysis.calibration import Lattices
    from ner.formats import read
    from ner.redaction.promise import as_json, operating_points, promising, stored
    from ner.runtime import ExportedTagger

    if arguments.development:
        if isinstance(tagger, ExportedTagger):
            raise ConfigError("measure the coverage of the model that this one was exported from")
        lattices = Lattices(tagger.network, list(read(arguments.development)))
        tagger.metrics["redaction"] = as_json(operating_points(lattices, tagger.decoding))
    point: OperatingPoint = promising(stored(tagger.metrics), arguments.coverage)
    return asdict(point)


def _redacted(
    redactor: Redactor, arguments: argparse.Namespace, stack: ExitStack
) -> Iterator[tuple[str, Redacted]]:
    """Yield each output line, and the replacements in it."""
    path = arguments.input
    source = arguments.source or ("jsonl" if path.endswith((".jsonl", ".ndjson")) else "text")
    file = None if path == STREAM else stack.enter_context(Path(path).open("rb"))  # noqa: SIM115
    stream = sys.stdin.buffer if file is None else file
    lines = _decoded(stream, path)
    return _records(redactor, lines, path) if source == "jsonl" else _texts(redactor, lines)


def _decoded(stream: Iterable[bytes], path: str) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"{path}:{number}: not valid UTF-8") from None


def _texts(redactor: Redactor, lines: Iterator[str]) -> Iterator[tuple[str, Redacted]]:
    from itertools import islice

    while held := list(islice(lines, CHUNK)):
        bodies = [line.rstrip("\r\n") for line in held]
        for line, body, own in zip(held, bodies, redactor.redact(bodies), strict=True):
            yield own.text + line[len(body) :], own


def _records(redactor: Redactor, lines: Iterator[str], path: str) -> Iterator[tuple[str, Redacted]]:
    from dataclasses import asdict

    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise ConfigError(f'{path}:{number}: expected a JSON object with a "text"')
        redactor.new_document()
        (own,) = redactor.redact([record["text"]])
        said = {"text": own.text, "hidden": [asdict(one) for one in own.hidden]}
        yield json.dumps(said, ensure_ascii=False) + "\n", own


def _opened(path: str, stack: ExitStack) -> Any:
    if path == STREAM:
        return sys.stdout
    return stack.enter_context(Path(path).open("w", encoding="utf-8", newline=""))


def _tell(report: dict[str, Any], show: Progress) -> None:
    labels = ", ".join(f"{label} {count:,}" for label, count in report["labels"].items())
    show.line(f"{counted(report['lines'], 'line')}; replaced: {labels or 'nothing'}")
    if doubtful := report["doubtful_lines"]:
        show.line(f"{counted(len(doubtful), 'line')} to review; --report lists them")
    if point := report["promise"]:
        show.line(
            f"coverage of entity tokens in development data {100 * point['coverage']:.2f} %, "
            f"at least {100 * point['lower']:.2f} %"
        )
