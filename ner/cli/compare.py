"""``ner compare``: test whether two sets of predictions differ by more than chance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ner.cli.arguments import (
    Model,
    add_compared,
    add_outcome,
    add_resampling,
    is_model,
    read_gold,
    read_predictions,
)
from ner.cli.console import Progress
from ner.sentence import Sentence

if TYPE_CHECKING:
    from ner.evaluation.pairs import Pair

EXAMPLE = """\
A and B are files of predictions or model directories. The test draws whole documents where GOLD
marks them, since the sentences of a document resemble each other.

example:
  ner compare test.conll baseline.conll better.conll
  ner compare test.conll models/one models/other --json difference.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner compare``."""
    parser.add_argument("gold", metavar="GOLD", help="a file with gold annotation")
    parser.add_argument("first", metavar="A", help="predictions, or a model to tag GOLD with")
    parser.add_argument("second", metavar="B", help="other predictions, or another model")
    parser.add_argument(
        "--unit", choices=["sentence", "document"], help="unit of resampling (default: see below)"
    )
    add_resampling(parser, 10_000)
    add_outcome(parser)
    add_compared(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare."""
    from ner.evaluation import Settings
    from ner.evaluation.comparison import compare

    show = Progress.of(arguments)
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
    show.result(result.as_json())
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
