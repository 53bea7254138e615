"""``ner check``: describe a corpus and report what is wrong with it."""

from __future__ import annotations

import argparse
import contextlib
import csv
import gc
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ner.cli.arguments import add_number, add_reading, add_report, reading_of
from ner.cli.console import Progress, note, write_json, write_out
from ner.evaluation.score import table

if TYPE_CHECKING:
    from ner.checks import CorpusReport, Facts, Findings
    from ner.checks.sources import CorpusFile, Item

EXAMPLE = """\
example:
  ner check train.conll dev.conll test.conll
  ner check annotations.jsonl --reader align=expand --json report.json

Later files are compared with earlier ones: give train first. The exit status is 1 where there
are errors and 2 where a file cannot be read; docs/check.md explains every finding.
"""
COLOURS = {"error": "31", "warning": "33", "note": "36", "head": "1"}
SIZES = (
    *("file", "format", "scheme", "columns", "documents", "sentences", "longest", "tokens"),
    *("spans", "per 1,000"),
)
OVERLAPS = (
    *("file", "against", "sentences there too", "mentions unseen there"),
    "with a word not there",
)
PAIRS = 10  # pairs of files that are shown
SAMPLED = 1 << 16  # bytes from which the number of lines of a file is estimated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner check``."""
    text = "files or globs; - is standard input"
    parser.add_argument("files", metavar="FILE", nargs="+", help=text)
    add_number(parser, "--limit", 20, "number of findings shown of each kind, 0 for all", least=0)
    text = "ignore this kind of finding, such as leak; may be repeated"
    parser.add_argument("--ignore", metavar="KIND", action="append", default=[], help=text)
    parser.add_argument("--csv", metavar="PATH", help="write the findings as CSV; - for stdout")
    add_reading(parser, "the files")
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check files."""
    from ner.checks import check

    bars = Bars(Progress(quiet=arguments.quiet))
    options = reading_of(arguments)
    with _few_collections():
        report = check(arguments.files, watch=bars.watch, ignore=arguments.ignore, **options)
    if not arguments.quiet and "-" not in (arguments.json, arguments.csv):
        page = TextReport(colours=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
        for line in page.lines(report, arguments.limit):
            print(line)
    sys.stdout.flush()
    for finding in report.findings.of("unreadable"):
        note(f"error: {finding}")
    if arguments.json:
        write_json(report.to_dict(), arguments.json)
    if arguments.csv:
        write_out(_csv(report), arguments.csv)
    return report.status


def _csv(report: CorpusReport) -> str:
    """Return the findings as CSV; line numbers are separated by blanks."""
    columns = ("severity", "kind", "path", "line", "count", "lines", "message")
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for one in report.findings.to_dict():
        table.writerow(one | {"lines": " ".join(map(str, one["lines"]))})
    return text.getvalue()


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Run the garbage collector a hundred times less often, since a check creates no cycles.

    With the many objects kept for a large file, it would take a quarter of the time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(100 * usual[0], *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class Bars:
    """Shows the progress of reading each file.

    Args:
        progress: Where it is shown.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def watch(self, source: CorpusFile, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the same sentences, showing progress."""
        lines, before = _lines_of(source.name), 0
        with self._progress.bar(lines, f"checking {Path(source.name).name}", "lines") as step:
            for item in items:
                line = item.lines[-1]
                if line - before > 1000:
                    step(line - before)
                    before = line
                yield item


def _lines_of(name: str) -> int | None:
    """Estimate the number of lines of a file from its size and its first lines."""
    path = Path(name)
    if not path.is_file() or path.suffix in (".gz", ".bz2", ".xz", ".zst", ".spacy"):
        return None
    with path.open("rb") as file:
        sample = file.read(SAMPLED)
    lines = sample.count(b"\n") or sample.count(b"\r")
    return lines * path.stat().st_size // len(sample) if lines else None


class TextReport:
    """The report as lines of text.

    Args:
        colours: Whether severities have colours.
    """

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def lines(self, report: CorpusReport, limit: int) -> Iterator[str]:
        """Yield all lines, with at most ``limit`` findings of each kind (0 for all)."""
        files = [facts for facts in report.files if facts.sentences]
        yield from self._tables(files, _short([facts.path for facts in report.files]))
        for name in report.full:
            yield f"too many different {name} to keep in memory: later ones were not compared"
        for kind in report.findings.kinds():
            if kind == "unreadable":
                continue  # reported on standard error
            yield from self._findings(report.findings, kind, limit)
            yield ""
        yield self._summary(report.findings)

    def _tables(self, files: Sequence[Facts], names: dict[str, str]) -> Iterator[str]:
        """Yield the tables of statistics, if any file has a sentence."""
        if not files:
            return
        yield from self._table(_sizes(files, names))
        yield ""
        yield from self._table(_labels(files, names), left=1)
        overlaps = list(_overlaps(files, names))
        if len(overlaps) > 1:
            yield ""
            yield from self._table(overlaps[: PAIRS + 1])
            if len(overlaps) > PAIRS + 1:
                yield f"and {len(overlaps) - PAIRS - 1} more pairs of files, see --json"
        yield ""

    def _table(self, rows: Sequence[Sequence[str]], left: int = 2) -> Iterator[str]:
        head, *others = table(rows, indent=0, left=left)
        yield self._coloured(head, "head")
        yield from others

    def _findings(self, findings: Findings, kind: str, limit: int) -> Iterator[str]:
        from ner.checks import KINDS

        severity, title = KINDS[kind].severity, KINDS[kind].title
        yield f"{self._coloured(severity, severity)}: {title} ({findings.counts[kind]:,})"
        found = findings.of(kind)
        for finding in found[: limit or None]:
            yield f"  {_visible(str(finding))}"
        more = findings.counts[kind] - sum(one.count for one in found[: limit or None])
        if more:
            yield f"  and {more:,} more"

    def _summary(self, findings: Findings) -> str:
        parts = [
            self._coloured(
                f"{number:,} {severity}{'s' * (number != 1)}", severity if number else ""
            )
            for severity in ("error", "warning", "note")
            for number in [findings.number(severity)]
        ]
        return ", ".join(parts)

    def _coloured(self, text: str, name: str) -> str:
        if not self._colours or name not in COLOURS:
            return text
        return f"\033[{COLOURS[name]}m{text}\033[0m"


def _sizes(files: Sequence[Facts], names: dict[str, str]) -> list[list[str]]:
    rows = [list(SIZES)]
    for facts in files:
        total = facts.spans.total()
        rows.append(
            [
                names[facts.path],
                facts.format,
                _scheme(facts),
                str(len(facts.columns) or "-"),
                f"{facts.documents:,}" if facts.documents else "-",
                f"{facts.sentences:,}",
                f"{facts.longest:,}",
                f"{facts.tokens:,}",
                f"{total:,}",
                f"{1000 * total / facts.tokens:.1f}",
            ]
        )
    return rows


def _scheme(facts: Facts) -> str:
    """Return the scheme, and the share of the evidence that supports it."""
    if facts.detection is None:
        return "-"
    support = facts.detection.support
    shown = f"{100 * support:.0f} %" if support in (0, 1) else f"{100 * support:.2f} %"
    return f"{facts.detection.scheme.name} ({shown})"


def _labels(files: Sequence[Facts], names: dict[str, str]) -> list[list[str]]:
    labels = sorted({label for facts in files for label in facts.spans})
    sums = {label: sum(facts.spans[label] for facts in files) for label in labels}
    tokens = sum(facts.tokens for facts in files)
    head = ["label", *(names[facts.path] for facts in files)]
    rows = [[*head, "all", "per 1,000"] if len(files) > 1 else [*head, "per 1,000"]]
    for label in sorted(labels, key=lambda one: -sums[one]):
        row = [_visible(label), *(f"{facts.spans[label]:,}" for facts in files)]
        row += [f"{sums[label]:,}"] if len(files) > 1 else []
        rows.append([*row, f"{1000 * sums[label] / tokens:.2f}"])
    return rows


def _overlaps(files: Sequence[Facts], names: dict[str, str]) -> Iterator[list[str]]:
    yield list(OVERLAPS)
    for facts in files:
        for one in facts.overlaps:
            mentions = facts.spans.total()
            yield [
                names[facts.path],
                names[one.against],
                _share(one.sentences, facts.sentences),
                _share(one.unseen, mentions),
                _share(one.out_of_vocabulary, mentions),
            ]


def _share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / total:.1f} %)" if total else f"{count:,}"


def _short(paths: Sequence[str]) -> dict[str, str]:
    """Return file names without folders if they are all distinct."""
    names = [Path(path).name for path in paths]
    return dict(zip(paths, names if len({*names}) == len({*paths}) else paths, strict=True))


def _visible(text: str) -> str:
    """Return a text that a terminal shows on one line, without control characters."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
