"""``ner agreement``: measure how far annotators of the same sentences agree."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ner.cli.arguments import (
    add_number,
    add_output,
    add_reading,
    add_report,
    check_extension,
    in_range,
    reading_of,
)
from ner.cli.console import STREAM, Progress
from ner.errors import ConfigError, DataError
from ner.formats import read, write

EXAMPLE = """\
Two files side by side as a page: `ner evaluate A --predictions B --html page.html`.

example:
  ner agreement ann.conll ben.conll
  ner agreement ann.json ben.json cem.json --votes 2 --merged train.conll
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner agreement``."""
    add = parser.add_argument
    add("first", metavar="A", help="the sentences as one annotator has them")
    add("others", metavar="B", nargs="+", help="the same sentences, as others have them")
    add_number(parser, "--top", 20, "number of disagreements to list", 0)
    text = "write one file with what they agree on; the tokens in dispute are left open"
    add_output(parser, "--merged", text)
    text = "number of annotators who must agree for --merged (default: all of a sentence)"
    add("--votes", type=in_range(1), metavar="N", help=text)
    add_reading(parser, "all files")
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure."""
    from ner.evaluation.agreement import measure_agreement, merged

    show = Progress.of(arguments)
    show.quiet |= arguments.merged == STREAM
    if arguments.merged:
        check_extension(arguments.merged, "name it .conll or .jsonl")
    paths = [arguments.first, *arguments.others]
    if arguments.votes and arguments.votes > len(paths):
        raise ConfigError(f"--votes: must be at most {len(paths)}, the number of files")
    options: dict[str, Any] = reading_of(arguments)
    annotators = [list(read(path, **options)) for path in paths]
    names = _names(paths)
    found = measure_agreement(annotators, names)
    if not (found.sentences or arguments.merged):
        raise DataError("no sentence is annotated in two files")
    show.line("\n".join(found.lines()))
    for one in found.disputes[: arguments.top]:
        said = zip(names, one.said, strict=True)
        each = "  ".join(f"{name}: {value}" for name, value in said if value is not None)
        show.line(f"  {one.place}  {one.words}  ->  {each}")
    if arguments.merged:
        write(arguments.merged, merged(annotators, names, arguments.votes))
    show.result(found.as_json())
    return 0


def _names(paths: list[str]) -> list[str]:
    """Return the names of the annotators: of their files, as short as tells them apart."""
    short = [Path(path).stem for path in paths]
    return short if len(set(short)) == len(paths) else paths
