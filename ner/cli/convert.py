"""``ner convert``: convert between formats and schemes."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ner.cli.arguments import (
    Output,
    add_patterns,
    add_quiet,
    add_reading,
    add_repeated,
    check_extension,
    output_file,
    parse_options,
    patterns_of,
    reading_of,
)
from ner.cli.console import Advance, Progress, counted, note
from ner.errors import DataError
from ner.formats import (
    FORMATS,
    TOOLS,
    Format,
    check_format_options,
    format_of,
    options_of,
    read,
    write,
)
from ner.formats.alignment import Characters, align, text_of
from ner.schemes import SCHEMES, file_scheme_named, outermost
from ner.sentence import Sentence

if TYPE_CHECKING:
    from ner.redaction import Pattern

EXAMPLE = """\
example:
  ner convert eng.train train.conll --scheme BIOES
  ner convert train.conll train.jsonl
  ner convert annotations.jsonl train.conll --reader align=expand
  zcat big.conll.gz | ner convert - big.spacy --from conll
  ner convert tagged.jsonl tasks.json --to labelstudio --writer model_version=news-2
  ner convert export.json train.conll --suggestions tasks.json
  ner convert raw.jsonl names.conll --gazetteer names.tsv
  ner convert train.conll corrected.conll --decisions decisions.json

formats:
"""
KNOWN = FORMATS | TOOLS
EXAMPLE += "\n".join(f"  {name:{max(map(len, KNOWN))}}  {KNOWN[name].summary}" for name in KNOWN)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner convert``."""
    add = parser.add_argument
    add("input", metavar="INPUT", help="a file, or a glob in quotes; - is standard input")
    add("output", metavar="OUTPUT", type=Output, help="a file; - is standard output")
    add_reading(parser, "INPUT")
    text = "format of OUTPUT (default: by its extension, else conll)"
    add("--to", metavar="FORMAT", choices=KNOWN, help=text)
    text = f"scheme of the tags: {', '.join(SCHEMES)}, IO (default: that of INPUT, or BIO)"
    add("--scheme", help=text)
    add_repeated(parser, "--writer", "writer option, such as layout=same")
    text = "the suggestions that people corrected to INPUT (see `ner select --suggest`): report "
    text += "what they changed"
    add("--suggestions", metavar="FILE", help=text)
    text = "make the changes accepted on the page of `ner suspects --html`"
    add("--decisions", metavar="FILE", help=text)
    add_patterns(parser, "replace the annotation by")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Convert a file, and report on standard error what was written and what was lost."""
    progress, counts = Progress(quiet=arguments.quiet), Counts()
    target = _target(arguments)
    scheme = _scheme(arguments.scheme, target)
    writing = parse_options(arguments.writer, option="--writer")
    check_format_options(target.name, "write", writing)
    if "layout" in options_of(target.name, "write"):
        writing.setdefault("layout", "plain")  # which can be read without options
    sentences, report = read(arguments.input, **reading_of(arguments)), list[str]()
    if patterns := patterns_of(arguments):
        sentences = _matched(sentences, patterns)
    if arguments.decisions:
        sentences = _decided(sentences, arguments.decisions)
    suggested = _suggested(arguments)
    with progress.bar(None, "converting", "sentences") as step:
        passing = counts.through(sentences, step)
        if suggested:
            from ner.evaluation.agreement import corrections

            corrected = list(passing)
            passing, report = iter(corrected), corrections(suggested, corrected).lines()
        write(arguments.output, passing, format=arguments.to, scheme=scheme, **writing)
    for loss in counts.losses(target):
        note(f"warning: {loss}")
    if not arguments.quiet:
        note(f"{arguments.output}: {counts}")
    for line in report:
        note(line)
    return 0


def _suggested(arguments: argparse.Namespace) -> list[Sentence]:
    """Read what was suggested for the sentences of INPUT, before anything is written.

    Raises:
        DataError: Nothing was.
    """
    if not arguments.suggestions:
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*with only predictions")  # as it should be
        found = list(read(arguments.suggestions, **reading_of(arguments)))
    if all(one.spans is None for one in found):
        raise DataError(f"{arguments.suggestions}: no sentence with suggestions")
    return found


def _matched(sentences: Iterable[Sentence], patterns: Sequence[Pattern]) -> Iterator[Sentence]:
    """Annotate what patterns match; all other tokens are left open."""
    from ner.redaction import matches

    for sentence in sentences:
        text, offsets = text_of(sentence)
        found = matches(text, patterns)
        spans = align(text, offsets, [Characters(a, b, label) for a, b, label, _ in found])
        matched = (range(span.start, span.end) for span in spans)
        open_ = frozenset(range(len(sentence))).difference(*matched)
        yield replace(sentence, spans=spans, unknown=open_, tags=None)


def _decided(sentences: Iterable[Sentence], path: str) -> Iterator[Sentence]:
    """Make the changes of a file of decisions."""
    from ner.evaluation.review import decided

    try:
        decisions = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    try:
        yield from decided(sentences, decisions)
    except DataError:
        raise
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _target(arguments: argparse.Namespace) -> Format:
    """Return the format of OUTPUT, checking that it can be written.

    Raises:
        ConfigError: Neither ``--to`` nor the extension gives the format.
        OSError: Its folder does not exist.
    """
    if arguments.to is None:
        check_extension(arguments.output, f"pass --to {', '.join(KNOWN)}")
    target = format_of(arguments.output, arguments.to)
    if target.kind != "folder":
        output_file()(arguments.output)
    return target


_EMPTY = frozenset(("", "_", "-", "*"))  # values that stand for an empty column


@dataclass
class Counts:
    """The number of sentences, tokens and spans converted.

    Attributes:
        nested: The number of spans omitted because they overlap another one.
        columns: The names of all other columns that are not empty.
    """

    sentences: int = 0
    tokens: int = 0
    spans: int = 0
    nested: int = 0
    columns: set[str] = field(default_factory=set)

    def through(self, sentences: Iterable[Sentence], step: Advance) -> Iterator[Sentence]:
        """Yield the same sentences without overlapping spans, counting them."""
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
        """Describe what the written file cannot express."""
        if self.nested:
            spans = counted(self.nested, "span")
            yield f"left out {spans} inside or across another; the outermost are kept"
        lost = sorted(self.columns.difference(target.columns or ()))
        if lost and target.columns is not None:
            yield f"{target.name} cannot store the columns {', '.join(lost)}"

    def __str__(self) -> str:
        counts = {"sentence": self.sentences, "token": self.tokens, "span": self.spans}
        return ", ".join(counted(number, noun) for noun, number in counts.items())


def _scheme(scheme: str | None, target: Format) -> str | None:
    """Return the scheme requested, if the target format has tags."""
    if scheme is None:
        return None
    name = file_scheme_named(scheme).name
    if "scheme" in options_of(target.name, "write"):
        return name
    note(f"warning: {target.name} has no tags, and so no scheme; {name} is ignored")
    return None
