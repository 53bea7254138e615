"""``ner convert``: turn one format or scheme into another."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ner.cli.console import Progress, Step
from ner.cli.scoring import reader_options
from ner.formats import FORMATS, DataWarning, Format, format_of, options_of, read, write
from ner.schemes import SCHEMES, outermost, scheme_named
from ner.sentence import Sentence

EXAMPLE = """\
example:
  ner convert eng.train train.conll --scheme BIOES
  ner convert train.conll train.jsonl
  ner convert annotations.jsonl train.conll --reader align=expand
  zcat big.conll.gz | ner convert - big.spacy --from conll
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner convert`` takes."""
    parser.epilog = EXAMPLE + "\nformats:\n" + _formats()
    parser.add_argument(
        "input", metavar="INPUT", help="a file, or a glob in quotes; - is standard input"
    )
    parser.add_argument("output", metavar="OUTPUT", help="a file; - is standard output")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="FORMAT",
        choices=list(FORMATS),
        help="the format of INPUT; by its ending, else conll",
    )
    parser.add_argument(
        "--to",
        metavar="FORMAT",
        choices=list(FORMATS),
        help="the format of OUTPUT; by its ending, else conll",
    )
    parser.add_argument(
        "--scheme",
        help=f"how tags are written: {', '.join(SCHEMES)}; without it as in INPUT, or BIO",
    )
    parser.add_argument(
        "--reader",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of the reader, such as tag_column=2 or align=expand; see docs/formats.md",
    )
    parser.add_argument(
        "--writer", metavar="KEY=VALUE", action="append", default=[], help="one of the writer"
    )
    parser.add_argument("--quiet", action="store_true", help="tell only what is wrong")


def run(arguments: argparse.Namespace) -> int:
    """Convert a file, and say on standard error what was done and what could not be kept."""
    progress, counts = Progress(quiet=arguments.quiet), Counts()
    scheme = _scheme(arguments)
    reading, writing = reader_options(arguments.reader), reader_options(arguments.writer)
    if "layout" in options_of(format_of(arguments.output, arguments.to).name, "write"):
        writing.setdefault("layout", "plain")  # which needs no options to be read
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DataWarning)
        try:
            sentences = read(arguments.input, format=arguments.source, **reading)
            with progress.bar(None, "converting", "sentences") as step:
                write(
                    arguments.output,
                    counts.through(sentences, step),
                    format=arguments.to,
                    scheme=scheme,
                    **writing,
                )
        finally:
            for warning in told:
                print(f"warning: {warning.message}", file=sys.stderr)
    for loss in counts.losses(format_of(arguments.output, arguments.to)):
        print(f"warning: {loss}", file=sys.stderr)
    if not arguments.quiet:
        print(f"{arguments.output}: {counts}", file=sys.stderr)
    return 0


_EMPTY = frozenset(("", "_", "-", "*"))  # how a column says nothing


@dataclass
class Counts:
    """How much has been converted.

    Attributes:
        sentences: How many sentences.
        tokens: How many tokens.
        spans: How many spans were written.
        nested: How many spans were left out since they overlap another one.
        columns: The names of all other columns that say something.
    """

    sentences: int = 0
    tokens: int = 0
    spans: int = 0
    nested: int = 0
    columns: set[str] = field(default_factory=set)

    def through(self, sentences: Iterable[Sentence], step: Step) -> Iterator[Sentence]:
        """The same sentences without overlapping spans, counted as they pass."""
        for sentence in sentences:
            if sentence.spans:
                kept = outermost(sentence.spans)
                if len(kept) < len(sentence.spans):
                    self.nested += len(sentence.spans) - len(kept)
                    sentence = replace(sentence, spans=kept)
                self.spans += len(kept)
            self.sentences += 1
            self.tokens += len(sentence)
            self.columns.update(
                name for name, values in sentence.columns.items() if not _EMPTY.issuperset(values)
            )
            step(1)
            yield sentence

    def losses(self, target: Format) -> Iterator[str]:
        """What the file that was written does not hold."""
        if self.nested:
            yield f"left out {self.nested} spans inside or across another; the outermost are kept"
        lost = sorted(self.columns.difference(target.columns or ()))
        if lost and target.columns is not None:
            yield f"{target.name} has no place for the columns {', '.join(lost)}"

    def __str__(self) -> str:
        return f"{self.sentences} sentences, {self.tokens} tokens, {self.spans} spans"


def _scheme(arguments: argparse.Namespace) -> str | None:
    """The scheme asked for, where the format to be written has tags."""
    scheme: str | None = arguments.scheme
    if scheme is None:
        return None
    name = scheme_named(scheme).name
    target = format_of(arguments.output, arguments.to).name
    if "scheme" in options_of(target, "write"):
        return name
    print(f"warning: {target} has no tags, and so no scheme; {name} is ignored", file=sys.stderr)
    return None


def _formats() -> str:
    """The table of formats, for ``--help``."""
    width = max(map(len, FORMATS))
    return "\n".join(f"  {name:{width}}  {kind.summary}" for name, kind in FORMATS.items())
