"""``ner select``: choose the sentences to annotate next."""

from __future__ import annotations

import argparse

from ner.cli.arguments import (
    CHUNK,
    add_device,
    add_reading,
    add_report,
    check_extension,
    output_file,
    reading_of,
)
from ner.cli.console import Progress, write_json
from ner.formats import read, write

EXAMPLE = """\
example:
  ner select models/conll2003 unlabelled.conll --budget 200 --output next.conll
  ner select models/conll2003 news.jsonl --budget 5000 --unit tokens --json next.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner select``."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a model directory")
    parser.add_argument("file", metavar="FILE", help="sentences; their annotation is ignored")
    parser.add_argument(
        "--budget",
        type=int,
        required=True,
        metavar="N",
        help="number of sentences or tokens to choose",
    )
    parser.add_argument(
        "--unit",
        choices=["sentences", "tokens"],
        default="sentences",
        help="unit of the budget (default: sentences)",
    )
    parser.add_argument(
        "--output",
        type=output_file("--output"),
        metavar="PATH",
        help="write the chosen sentences to this file, best first",
    )
    add_reading(parser, "FILE")
    add_device(parser)
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Choose."""
    from ner.analysis.uncertainty import Doubts
    from ner.evaluation.review import choose_sentences
    from ner.models import load

    show = Progress(quiet=arguments.quiet or "-" in (arguments.json, arguments.output))
    if arguments.output:
        check_extension(arguments.output, "name it .conll or .jsonl")
    sentences = list(read(arguments.file, **reading_of(arguments)))
    choose_sentences(
        [], arguments.budget, unit=arguments.unit
    )  # checks the budget before the work begins
    tagger = load(arguments.model, device=arguments.device)
    doubts = Doubts.of(tagger)
    uncertain = []
    with show.bar(len(sentences), "looking", "sentences") as done:
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
    if arguments.json:
        write_json([choice.as_json() for choice in chosen], arguments.json)
    return 0
