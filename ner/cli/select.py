"""``ner select``: choose the sentences to annotate next."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import (
    CHUNK,
    add_model,
    add_number,
    add_outcome,
    add_output,
    add_reading,
    add_repeated,
    check_extension,
    in_range,
    parse_options,
    reading_of,
)
from ner.cli.console import STREAM, Progress
from ner.cli.tag_job import bare
from ner.errors import ConfigError, DataError
from ner.formats import FORMATS, TOOLS, check_format_options, format_of, read, write
from ner.sentence import Sentence

if TYPE_CHECKING:
    from ner.analysis.uncertainty import Doubts
    from ner.evaluation.review import Choice, Uncertainty

TEXT = "text"  # what --from calls prose, each line a text
ALTERNATIVES = 3  # of each suggested span
EXAMPLE = """\
example:
  ner select models/conll2003 unlabelled.conll --budget 200 --output next.conll
  ner select models/conll2003 news.txt --budget 100 --suggest --to labelstudio --output tasks.json
  ner select models/conll2003 news.jsonl --budget 5000 --unit tokens --json next.json

When the tasks come back, `ner convert export.json train.conll --suggestions tasks.json` reads them
and says what people changed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner select``."""
    from ner.evaluation.review import STRATEGIES

    add_model(parser)
    add = parser.add_argument
    text = "text (a .txt file, or --from text) or sentences; their annotation is ignored"
    add("file", metavar="RAW", help=text)
    text = "number of sentences or tokens to choose"
    add("--budget", type=in_range(1), required=True, metavar="N", help=text)
    text = "unit of the budget (default: sentences)"
    add("--unit", choices=["sentences", "tokens"], default="sentences", help=text)
    text = "by the doubts of the model, by new words, or at random (default: uncertainty)"
    add("--strategy", choices=list(STRATEGIES), default="uncertainty", help=text)
    add_number(parser, "--seed", 0, "seed of the random strategy", 0)
    text = "write the model's spans with scores and alternatives, for people to correct"
    add("--suggest", action="store_true", help=text)
    text = f"format of the output: {', '.join((*TOOLS, *FORMATS))} (default: by its extension)"
    add("--to", metavar="FORMAT", choices=[*FORMATS, *TOOLS], help=text)
    add_repeated(parser, "--writer", "writer option, such as model_version=news-2")
    add_output(parser, "--output", "write the chosen sentences to this file, best first")
    add_reading(parser, "RAW, or text")
    add_outcome(parser)


def run(arguments: argparse.Namespace) -> int:
    """Choose."""
    from ner.analysis.uncertainty import Doubts
    from ner.evaluation.review import choose_sentences, distinct
    from ner.models import load

    show = Progress.of(arguments)
    show.quiet |= arguments.output == STREAM
    _check(arguments)
    tagger = load(arguments.model, device=arguments.device)
    doubts = Doubts.of(tagger)
    sentences = _raw(arguments, tagger.tokenizer)
    if not any(map(len, sentences)):
        raise DataError(f"{arguments.file}: no sentence to choose from")
    groups = distinct(sentences)
    uncertain = _uncertainties(doubts, [sentences[group[0]] for group in groups], show)
    how = {name: getattr(arguments, name) for name in ("unit", "strategy", "seed")}
    chosen = [
        replace(one, number=groups[one.number][0], repeats=tuple(groups[one.number][1:]))
        for one in choose_sentences(uncertain, arguments.budget, **how)
    ]
    for number, choice in enumerate(chosen, 1):
        show.line(_line(number, choice, arguments.file))
    if arguments.output:
        picked = [choice.sentence for choice in chosen]
        _write(arguments, _suggested(doubts, picked) if arguments.suggest else picked)
    show.result([choice.as_json() for choice in chosen])
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Check the arguments before the work begins.

    Raises:
        ConfigError: They do not go together.
    """
    if arguments.output is None and (arguments.suggest or arguments.to):
        raise ConfigError("--suggest and --to go with --output")
    if arguments.output and arguments.to is None:
        check_extension(arguments.output, f"pass --to {', '.join((*TOOLS, *FORMATS))}")
    if arguments.output:
        target = format_of(arguments.output, arguments.to)
        options = parse_options(arguments.writer, option="--writer")
        check_format_options(target.name, "write", options)


def _raw(arguments: argparse.Namespace, tokenizer: str) -> list[Sentence]:
    """Read RAW: prose where it is named or looks so, else any format."""
    given = arguments.source
    if given is None and not arguments.reader and _is_prose(arguments.file):
        given = TEXT
    if given != TEXT:
        return list(read(arguments.file, **reading_of(arguments)))
    from ner.options import check_options

    options = parse_options(arguments.reader, option="--reader")
    check_options(options, {"encoding": (str, False)}, "the reader of text")
    return list(_texts(arguments.file, tokenizer, options.get("encoding", "utf-8")))


def _is_prose(path: str) -> bool:
    from ner.formats.advice import looks_like_columns

    plain = bare(path).suffix.lower() == ".txt"
    return plain and Path(path).is_file() and not looks_like_columns(path)


def _texts(path: str, tokenizer: str, encoding: str) -> Iterator[Sentence]:
    """Cut each line of a file into sentences, as one document."""
    from ner.streaming.readers import Source
    from ner.streaming.tokenizers import text_tokenizer
    from ner.texts import Parts

    cut = text_tokenizer(tokenizer)
    for line in Source(path, encoding=encoding).lines():
        if isinstance(line, tuple):
            for sentence in Parts.of(cut(line[1])).sentences:
                yield replace(sentence, line=line[0])


def _uncertainties(
    doubts: Doubts, sentences: Sequence[Sentence], show: Progress
) -> list[Uncertainty]:
    found: list[Uncertainty] = []
    with show.bar(len(sentences), "scoring", "sentences") as done:
        for start in range(0, len(sentences), CHUNK):
            found += doubts.uncertainties(sentences[start : start + CHUNK])
            done(len(found) - start)
    return found


def _line(number: int, choice: Choice, path: str) -> str:
    place = choice.sentence.line or choice.number + 1
    again = f"  ({len(choice.repeats) + 1} times)" if choice.repeats else ""
    return (
        f"{number:4}  {path}:{place}  {choice.entropy:.3f} nats  "
        f"{' '.join(choice.sentence.tokens)}{again}"
    )


def _suggested(doubts: Doubts, sentences: Sequence[Sentence]) -> list[Sentence]:
    """Return the sentences with the model's spans in place of any annotation."""
    found = doubts.suggestions(sentences, ALTERNATIVES)
    return [
        replace(one, spans=spans, unknown=frozenset(), labels=None, tags=None)
        for one, spans in zip(sentences, found, strict=True)
    ]


def _write(arguments: argparse.Namespace, sentences: Sequence[Sentence]) -> None:
    options: dict[str, Any] = parse_options(arguments.writer, option="--writer")
    target = format_of(arguments.output, arguments.to)
    if target.name in TOOLS:
        options.setdefault("model_version", Path(arguments.model).resolve().name)
    elif arguments.suggest and target.name in ("conll", "csv"):
        sentences = [_with_columns(one) for one in sentences]
    write(arguments.output, sentences, format=arguments.to, **options)


def _with_columns(sentence: Sentence) -> Sentence:
    """Return a sentence for a file of columns: the score and the alternatives of each token."""
    from ner.formats.documents import alternatives_of

    rows = [["_", "_"] for _ in sentence.tokens]
    for span in sentence.spans or ():
        said = "; ".join(alternatives_of(span, sentence)) or "_"
        rows[span.start] = [f"{span.score or 0.0:.4f}", said]
    columns = dict(zip(("score", "alternatives"), map(tuple, zip(*rows, strict=True)), strict=True))
    return replace(sentence, columns=columns, origin=None)
