"""What the verbs that train share: their arguments, and the line of scores."""

from __future__ import annotations

import argparse
from typing import Any

from ner.cli.parents import add_device, add_reading, add_report
from ner.evaluation.tables import percent


def add_settings(parser: argparse.ArgumentParser, config: str) -> None:
    """Say how a configuration is given, for every verb that trains; ``config`` describes it."""
    parser.add_argument("config", metavar="CONFIG.yaml", help=config)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="assignments",
        help="change a setting, such as model.encoder.width=200; may be repeated",
    )
    add_reading(parser, "the files of `data`, before its own settings")


def assignments_of(arguments: argparse.Namespace) -> list[str]:
    """The settings that the arguments change, as ``KEY=VALUE``."""
    source = [] if arguments.source is None else [f"data.format={arguments.source}"]
    return [*arguments.assignments, *source, *(f"data.reader.{one}" for one in arguments.reader)]


def add_outcome(parser: argparse.ArgumentParser) -> None:
    """Say where training happens and what it tells, for every verb that trains."""
    add_device(parser)
    add_report(parser)


def scores_line(scores: dict[str, Any]) -> str:
    """A line of figures: precision, recall and F1, and how many entities there are."""
    return (
        f"precision {percent(scores['precision'])}  recall {percent(scores['recall'])}  "
        f"F1 {percent(scores['f1'])}  ({scores['gold']} entities)"
    )
