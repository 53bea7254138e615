"""``ner evaluate``: score predictions or a model against gold annotation."""

from __future__ import annotations

import argparse

from ner.cli.console import Progress, percent, write_json

EXAMPLE = """\
example:
  ner evaluate test.conll --model models/conll2003
  ner evaluate test.conll --predictions predicted.conll --json scores.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner evaluate`` takes."""
    parser.epilog = EXAMPLE
    parser.add_argument("gold", metavar="GOLD", help="a file with gold annotation")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="MODEL", help="a model directory to tag GOLD with")
    which.add_argument("--predictions", metavar="FILE", help="GOLD as somebody predicted it")
    parser.add_argument("--json", metavar="PATH", help="write the result as JSON; - for stdout")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Score."""
    from ner.evaluation import evaluate
    from ner.formats import read

    gold = list(read(arguments.gold))
    if arguments.model:
        from ner.tagger import load

        predicted = load(arguments.model).predict(gold)
        report = evaluate(gold, predicted)
    else:
        report = evaluate(gold, list(read(arguments.predictions)))
    show = Progress(quiet=arguments.quiet or arguments.json == "-")
    show.line(f"{'label':>16} {'precision':>9} {'recall':>9} {'F1':>9} {'gold':>9}")
    for label, score in [*sorted(report.labels.items()), ("all", report.exact)]:
        show.line(
            f"{label:>16} {percent(score.precision):>9} {percent(score.recall):>9} "
            f"{percent(score.f1):>9} {score.gold:9}"
        )
    if arguments.json:
        write_json(report.as_json(), arguments.json)
    return 0
