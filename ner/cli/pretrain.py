"""``ner pretrain``: learn word vectors and a network from unlabelled text."""

from __future__ import annotations

import argparse
import contextlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import (
    add_reading,
    add_repeated,
    add_report,
    add_resuming,
    parse_options,
    reading_of,
)
from ner.cli.console import Advance, Progress
from ner.cli.train import leaving_cleanly
from ner.errors import ConfigError

if TYPE_CHECKING:
    from ner.pretraining.run import PretrainingSettings, StageProgress

EXAMPLE = """\
example:
  ner pretrain news.txt.gz --output pretrained
  ner pretrain 'texts/*.jsonl' --output pretrained --config mine.yaml --budget 10m
  ner pretrain news.txt --output vectors --only vectors --set width=100
  ner train mine.yaml --set model.pretrained=pretrained --output models/mine
"""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
SHARE = 0.05  # of a stage, after which a line is printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner pretrain``."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("texts", metavar="TEXT", nargs="+", help="files or globs of unlabelled text")
    add("--output", metavar="DIR", required=True, help="directory to write")
    add(
        "--config",
        metavar="CONFIG.yaml",
        help="the configuration to be trained later; its section `model` says what is pretrained",
    )
    text = "change a setting of pretraining, such as tokens=1000000"
    add_repeated(parser, "--set", text, "assignments")
    add(
        "--only",
        choices=["vectors", "network"],
        default="network",
        help="the last stage: vectors alone, or the network too (default: network)",
    )
    add("--budget", type=duration, metavar="TIME", help="do what fits into this time: 90s, 10m, 2h")
    add("--seed", type=int, metavar="N", help="random seed (default: 1)")
    add_resuming(parser)
    add_reading(parser, "TEXT (or text)")
    add_report(parser)


def duration(text: str) -> float:
    """Return the seconds of ``90s``, ``10m`` or ``2h``.

    Raises:
        argparse.ArgumentTypeError: It is none of these.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 10m or 2h, got {text!r}")
    return float(found[1]) * _SECONDS[found[2]]


def run(arguments: argparse.Namespace) -> int:
    """Pretrain, and write the directory."""
    from ner.config import load
    from ner.pretraining.run import Pretraining
    from ner.training import StoppedError

    show = Progress.of(arguments)
    settings = _settings(arguments)
    model = {} if arguments.config is None else load(Path(arguments.config)).get("model") or {}
    reading = reading_of(arguments)
    with show.steps():
        training = Pretraining(
            arguments.texts,
            arguments.output,
            settings=settings,
            model=model,
            format=reading.pop("format"),
            options=reading,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
        )
        with leaving_cleanly(training) as received, _Reporter(show) as watch:
            try:
                facts = training.run(only=arguments.only, budget=arguments.budget, watch=watch)
            except StoppedError:
                show.line("stopped; --resume goes on from there")
                return 128 + received[0]
    text = facts["text"]
    show.line(
        f"read {text['tokens']:,} tokens of {text['documents']:,} documents; "
        f"{facts['words']:,} words have a vector"
    )
    show.line(f"saved {arguments.output}")
    show.result({**facts, "output": str(arguments.output)})
    return 0


def _settings(arguments: argparse.Namespace) -> PretrainingSettings:
    from ner.options import instantiate
    from ner.pretraining.run import PretrainingSettings

    given: dict[str, Any] = parse_options(arguments.assignments, option="--set")
    if arguments.seed is not None:
        given["seed"] = arguments.seed
    try:
        return instantiate(PretrainingSettings, given, of="pretraining")
    except ValueError as error:
        raise ConfigError(str(error)) from error


class _Reporter(contextlib.AbstractContextManager["_Reporter"]):
    """Shows the progress of the stages, with the time that is left."""

    def __init__(self, show: Progress) -> None:
        self._show = show
        self._stage = ""
        self._first = self._done = 0
        self._next = SHARE
        self._began = time.monotonic()
        self._bar: Advance = lambda count, /, **figures: None
        self._open = contextlib.ExitStack()

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def __call__(self, now: StageProgress) -> None:
        if now.stage != self._stage:
            self._open.close()
            self._stage, self._began, self._next = now.stage, time.monotonic(), SHARE
            self._first = self._done = now.done
            bar = self._show.bar(now.total, now.stage, "tokens", done=now.done)
            self._bar = self._open.enter_context(bar)
        figures = (
            {} if now.loss is None else {"loss": f"{now.loss:.3f}", "right": f"{now.right:.3f}"}
        )
        self._bar(now.done - self._done, **figures)
        self._done = now.done
        if now.total and now.done >= self._next * now.total:
            self._next = now.done / now.total + SHARE
            self._line(now)

    def _line(self, now: StageProgress) -> None:
        done, total, seconds = (
            now.done - self._first,
            now.total or 0,
            time.monotonic() - self._began,
        )
        speed = done / max(seconds, 1e-9)
        left = (total - now.done) / max(speed, 1e-9)
        self._show.line(
            f"{now.stage} {now.done:,} of {total:,} tokens  loss {now.loss or 0:.3f}  "
            f"right {100 * (now.right or 0):.1f} %  {speed:,.0f} tokens/s  {left / 60:.1f} min left"
        )
