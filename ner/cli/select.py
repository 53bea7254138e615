"""``ner select``: which sentences to annotate next."""

from __future__ import annotations

import argparse

from ner.cli.console import Progress, write_json
from ner.cli.scoring import CHUNK, read_file, reader_options

EXAMPLE = """\
example:
  ner select models/conll2003 unlabelled.conll --budget 200 --output next.conll
  ner select models/conll2003 news.jsonl --budget 5000 --unit tokens --json next.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner select`` takes."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a model directory")
    parser.add_argument("file", metavar="FILE", help="sentences; annotation in it is not looked at")
    parser.add_argument("--budget", type=int, required=True, metavar="N", help="how much to choose")
    parser.add_argument(
        "--unit",
        choices=["sentences", "tokens"],
        default="sentences",
        help="what the budget counts; default sentences",
    )
    parser.add_argument("--output", metavar="PATH", help="write the sentences, the best first")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    parser.add_argument("--format", help="of FILE; without it its ending tells")
    parser.add_argument(
        "--reader",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of the reader, such as tagged=false for a file of tokens alone",
    )
    parser.add_argument("--json", metavar="PATH", help="write the choice as JSON; - for stdout")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Choose."""
    from ner.analysis.uncertainty import Doubts
    from ner.evaluation.selection import choose_sentences
    from ner.formats import write
    from ner.tagger import load

    show = Progress(quiet=arguments.quiet or "-" in (arguments.json, arguments.output))
    sentences = read_file(arguments.file, arguments.format, reader_options(arguments.reader))
    choose_sentences([], arguments.budget, unit=arguments.unit)  # refuses before the work begins
    tagger = load(arguments.model, device=arguments.device)
    doubts = Doubts(tagger.network, tagger.decoding)
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
