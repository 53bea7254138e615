"""``ner select``: choose the sentences to annotate next."""

from __future__ import annotations

import argparse

from ner.cli.arguments import (
    CHUNK,
    add_model_and_file,
    add_output,
    check_extension,
    in_range,
    reading_of,
)
from ner.cli.console import STREAM, Progress
from ner.formats import read, write

EXAMPLE = """\
example:
  ner select models/conll2003 unlabelled.conll --budget 200 --output next.conll
  ner select models/conll2003 news.jsonl --budget 5000 --unit tokens --json next.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner select``."""
    add_model_and_file(parser, "sentences; their annotation is ignored")
    add = parser.add_argument
    text = "number of sentences or tokens to choose"
    add("--budget", type=in_range(1), required=True, metavar="N", help=text)
    text = "unit of the budget (default: sentences)"
    add("--unit", choices=["sentences", "tokens"], default="sentences", help=text)
    add_output(parser, "--output", "write the chosen sentences to this file, best first")


def run(arguments: argparse.Namespace) -> int:
    """Choose."""
    from ner.analysis.uncertainty import Doubts
    from ner.evaluation.review import choose_sentences
    from ner.models import load

    show = Progress.of(arguments)
    show.quiet |= arguments.output == STREAM
    if arguments.output:
        check_extension(arguments.output, "name it .conll or .jsonl")
    sentences = list(read(arguments.file, **reading_of(arguments)))
    tagger = load(arguments.model, device=arguments.device)
    doubts = Doubts.of(tagger)
    uncertain = []
    with show.bar(len(sentences), "scoring", "sentences") as done:
        for start in range(0, len(sentences), CHUNK):
            uncertain += doubts.uncertainties(sentences[start : start + CHUNK])
            done(len(uncertain) - start)
    chosen = choose_sentences(uncertain, arguments.budget, unit=arguments.unit)
    for number, choice in enumerate(chosen, 1):
        place = choice.sentence.line or choice.number + 1
        show.line(
            f"{number:4}  {arguments.file}:{place}  {choice.entropy:.3f} nats  "
            f"{' '.join(choice.sentence.tokens)}"
        )
    if arguments.output:
        write(arguments.output, [choice.sentence for choice in chosen])
    show.result([choice.as_json() for choice in chosen])
    return 0
