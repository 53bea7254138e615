"""``ner tune``: search for better settings, and save the best ones as a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ner.cli.arguments import (
    add_number,
    add_outcome,
    add_output,
    add_settings,
    add_tracking,
    assignments_of,
    trackers_of,
)
from ner.cli.console import Progress
from ner.config import ConfigError, dump
from ner.evaluation.score import percent
from ner.storage.atomic import write_text

if TYPE_CHECKING:
    from ner.training.multiple_runs import Follow, Study, Trial

EXAMPLE = """\
example:
  ner tune mine.yaml --trials 30
  ner train mine.best.yaml

The configuration is that of `ner train`, with ranges of the settings to tune:
  tune:
    training.learning_rate: {low: 0.001, high: 0.01, log: true}
    model.encoder.width: [64, 128, 256]
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner tune``."""
    add_settings(parser, "settings, and ranges under `tune`")
    add_number(parser, "--trials", 20, "number of trials of the study, earlier calls included")
    text = "SQLite file of the trials, continued if it exists (default: CONFIG.study.db)"
    add_output(parser, "--study", text)
    text = "where to write the best configuration (default: CONFIG.best.yaml)"
    add_output(parser, "--output", text, metavar="PATH.yaml")
    add_tracking(parser)
    add_outcome(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run trials until there are enough, saving the best one so far each time."""
    from ner.training import read_settings
    from ner.training.multiple_runs import Study

    config = Path(arguments.config)
    output = Path(arguments.output or config.with_suffix(".best.yaml"))
    path = Path(arguments.study or config.with_suffix(".study.db"))
    if output.resolve() == path.resolve():
        raise ConfigError(f"--output {output} would overwrite an input")
    trackers = trackers_of(arguments)
    show = Progress.of(arguments)
    study = Study(read_settings(config, assignments_of(arguments)), path, device=arguments.device)
    if known := study.trials:
        show.line(f"continuing {path}, trials so far: {len(known)}")
    _run(study, arguments.trials, output, show, trackers.follow(config.stem))
    best = study.best
    if best is None:
        raise ValueError(f"no trial of {path} was completed; try other ranges, or more --trials")
    _keep(study, best, output)
    show.line(f"best: trial {best.number}, development F1 {percent(best.f1)}")
    show.line(f"saved {output}; to train with it: ner train {output}")
    trials = [trial.as_json() for trial in study.trials]
    found = {"best": best.as_json(), "trials": trials}
    show.result({**found, "output": str(output), "study": str(path)})
    return 0


def _run(study: Study, count: int, output: Path, show: Progress, follow: Follow) -> None:
    left = max(count - len(study.trials), 0)
    with show.bar(left, "trials", "trials") as bar:
        for trial in study.run(count, follow=follow):
            show.line(_line(trial))
            if trial.best:
                _keep(study, trial, output)
            bar(1)


def _keep(study: Study, trial: Trial, output: Path) -> None:
    """Write the configuration of a trial."""
    f1 = percent(trial.f1)
    text = f"# Trial {trial.number} of {study.path.name}: development F1 {f1}.\n"
    write_text(output, text + dump(study.settings_of(trial).as_dict()))


def _line(trial: Trial) -> str:
    chosen = "  ".join(f"{name}={_short(value)}" for name, value in trial.settings.items())
    ended = "" if trial.state == "complete" else f"  {trial.state} after epoch {trial.epochs}"
    best = "  best" if trial.best else ""
    return f"trial {trial.number:3}  development F1 {percent(trial.f1):>5}  {chosen}{ended}{best}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
