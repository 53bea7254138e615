"""What the verbs that train share: their arguments, and how scores are told."""

from __future__ import annotations

import argparse
from typing import Any

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
        help="change a setting, e.g. model.encoder.width=200; may be repeated",
    )


def add_outcome(parser: argparse.ArgumentParser) -> None:
    """Say where training happens and what it tells, for every verb that trains."""
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", metavar="PATH", help="write the result as JSON; - for stdout")


def scores_line(scores: dict[str, Any]) -> str:
    """A line of figures: precision, recall and F1, and how many entities there are."""
    return (
        f"precision {percent(scores['precision'])}  recall {percent(scores['recall'])}  "
        f"F1 {percent(scores['f1'])}  ({scores['gold']} entities)"
    )
