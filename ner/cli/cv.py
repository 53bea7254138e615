"""``ner cv``: cross-validation by document; every sentence is predicted once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import (
    add_number,
    add_outcome,
    add_output,
    add_settings,
    add_tracking,
    assignments_of,
    check_extension,
    scores_line,
    trackers_of,
)
from ner.cli.console import Progress

if TYPE_CHECKING:
    from ner.integrations.trackers import Log
    from ner.training import Epoch, Run

EXAMPLE = """\
example:
  ner cv configs/quick.yaml --folds 5 --predictions predicted.conll
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner cv``."""
    add_settings(parser, "the settings; data.train is used")
    add_number(parser, "--folds", 5, "number of folds", least=2)
    add_output(parser, "--predictions", "write all predictions to this file")
    add_tracking(parser)
    add_outcome(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train and score a model for each fold, then all predictions together."""
    from ner.evaluation import evaluate
    from ner.formats import write
    from ner.sentence import Span
    from ner.training import read_settings
    from ner.training.corpora import read_corpora
    from ner.training.multiple_runs import cross_fit

    if arguments.predictions:
        check_extension(arguments.predictions, "name it .conll or .jsonl")
    trackers, group = trackers_of(arguments), f"{Path(arguments.config).stem} cv"
    logs: list[Log] = []

    def follow(fold: str, run: Run) -> Iterator[Epoch]:
        logs.append(trackers.begin(run, group, fold))
        return logs[-1].epochs()

    show = Progress.of(arguments)
    settings = replace(read_settings(arguments.config, assignments_of(arguments)), output=None)
    data = replace(settings.data, development=None, development_fraction=None)
    data = replace(data, test=None, test_fraction=None)
    sentences = read_corpora(data, settings.training.seed).train
    predicted: list[tuple[Span, ...]] = [()] * len(sentences)
    folds: list[dict[str, Any]] = []
    device, count = arguments.device, arguments.folds
    fitted = cross_fit(sentences, settings, count, device=device, tell=show.line, follow=follow)
    for places, tagger in fitted:
        out = [sentences[place] for place in places]
        found = tagger.predict(out)
        for place, spans in zip(places, found, strict=True):
            predicted[place] = spans
        report = evaluate(out, found)
        folds.append(report.exact.as_json())
        logs[-1].scores("test", folds[-1], {n: s.as_json() for n, s in report.labels.items()})
        logs[-1].end()
        show.line(f"fold {len(folds):4}  {scores_line(folds[-1])}")
    report = evaluate(sentences, predicted)
    show.line(f"together {scores_line(report.exact.as_json())}")
    if arguments.predictions:
        tagged = (replace(s, spans=p) for s, p in zip(sentences, predicted, strict=True))
        write(arguments.predictions, tagged)
    show.result({**report.as_json(), "folds": folds})
    return 0
