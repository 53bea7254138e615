"""``ner cv``: cross-validation by document; every sentence is predicted once."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from ner.cli.console import Progress, percent, write_json
from ner.config import ConfigError

EXAMPLE = """\
example:
  ner cv configs/quick.yaml --folds 5 --predictions predicted.conll
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner cv`` takes."""
    parser.epilog = EXAMPLE
    parser.add_argument("config", metavar="CONFIG.yaml", help="the settings; data.train is used")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="assignments",
        help="change a setting, e.g. training.epochs=10; may be repeated",
    )
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="how many; 5 by default")
    parser.add_argument("--predictions", metavar="PATH", help="write all predictions to this file")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", metavar="PATH", help="write the result as JSON; - for stdout")


def run(arguments: argparse.Namespace) -> int:
    """Train and score a model for each fold, then all predictions together."""
    from ner.evaluation import evaluate
    from ner.formats import write
    from ner.sentence import Span
    from ner.training import read_settings
    from ner.training.corpora import read_corpora
    from ner.training.folds import cross_fit

    if arguments.folds < 2:
        raise ConfigError(f"--folds must be at least 2, got {arguments.folds}")
    show = Progress(quiet=arguments.quiet or arguments.json == "-")
    settings = replace(read_settings(arguments.config, arguments.assignments), output=None)
    data = replace(settings.data, development=None, development_fraction=None)
    data = replace(data, test=None, test_fraction=None)
    sentences = read_corpora(data, settings.training.seed).train
    predicted: list[tuple[Span, ...]] = [()] * len(sentences)
    folds: list[dict[str, Any]] = []
    device, count = arguments.device, arguments.folds
    for places, tagger in cross_fit(sentences, settings, count, device=device, tell=show.line):
        out = [sentences[place] for place in places]
        found = tagger.predict(out)
        for place, spans in zip(places, found, strict=True):
            predicted[place] = spans
        folds.append(evaluate(out, found).exact.as_json())
        show.line(f"fold {len(folds):4}  {_scores(folds[-1])}")
    report = evaluate(sentences, predicted)
    show.line(f"together {_scores(report.exact.as_json())}")
    if arguments.predictions:
        tagged = (replace(s, spans=p) for s, p in zip(sentences, predicted, strict=True))
        write(arguments.predictions, tagged)
    if arguments.json:
        write_json({**report.as_json(), "folds": folds}, arguments.json)
    return 0


def _scores(scores: dict[str, Any]) -> str:
    return (
        f"precision {percent(scores['precision'])}  recall {percent(scores['recall'])}  "
        f"F1 {percent(scores['f1'])}  ({scores['gold']} entities)"
    )
