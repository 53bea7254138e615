"""``ner compare``: test whether two sets of predictions differ by more than chance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ner.cli.arguments import (
    Model,
    add_compared,
    add_device,
    add_report,
    is_model,
    read_gold,
    read_predictions,
)
from ner.cli.console import Progress, write_json
from ner.sentence import Sentence

if TYPE_CHECKING:
    from ner.evaluation.pairs import Pair

EXAMPLE = """\
A and B are files of predictions or model directories. The test draws whole documents where GOLD
tells where they begin, since sentences of a document resemble each other.

example:
  ner compare test.conll baseline.conll better.conll
  ner compare test.conll models/one models/other --json difference.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner compare``."""
    parser.epilog = EXAMPLE
    parser.add_argument("gold", metavar="GOLD", help="a file with gold annotation")
    parser.add_argument("first", metavar="A", help="predictions, or a model to tag GOLD with")
    parser.add_argument("second", metavar="B", help="other predictions, or another model")
    parser.add_argument(
        "--unit", choices=["sentence", "document"], help="unit of resampling (default: see below)"
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=10_000,
        metavar="N",
        help="number of resamples (default: 10000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--level", type=float, default=0.95, help="confidence level of intervals (default: 0.95)"
    )
    add_device(parser)
    add_report(parser)
    add_compared(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    from ner.evaluation import Settings
    from ner.evaluation.comparison import compare

    show = Progress(quiet=arguments.quiet or arguments.json == "-")
    settings = Settings(resamples=arguments.resamples, seed=arguments.seed, level=arguments.level)
    gold = read_gold(arguments)
    first, second = (
        _pairs(arguments, gold, path, show) for path in (arguments.first, arguments.second)
    )
    result = compare(
        first,
        second,
        unit=arguments.unit,
        resamples=settings.resamples,
        seed=settings.seed,
        level=settings.level,
    )
    show.line(f"A: {arguments.first}\nB: {arguments.second}")
    show.line("\n".join(result.lines()))
    if arguments.json:
        write_json(result.as_json(), arguments.json)
    return 0


def _pairs(
    arguments: argparse.Namespace, gold: Sequence[Sentence], path: str, show: Progress
) -> tuple[Pair, ...]:
    from ner.evaluation.pairs import pair_up

    if is_model(path):
        predicted = Model.load(path, arguments.device, show).predict(gold)
    else:
        predicted = read_predictions(path, arguments)
    names = (arguments.gold, path)
    return pair_up(gold, predicted, same_tokens=not arguments.ignore_tokens, names=names)
