"""``ner tune``: search for better settings, and save the best ones as a configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ner.cli.arguments import add_outcome, add_settings, assignments_of, output_file
from ner.cli.console import Progress, write_json
from ner.config import ConfigError, dump
from ner.evaluation.score import percent
from ner.storage.atomic import write_text

if TYPE_CHECKING:
    from ner.training.multiple_runs import Study, Trial

EXAMPLE = """\
example:
  ner tune mine.yaml --trials 30
  ner train mine.best.yaml

The configuration names what is to be tuned, and writes the rest as for `ner train`:
  tune:
    training.learning_rate: {low: 0.001, high: 0.01, log: true}
    model.encoder.width: [64, 128, 256]
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner tune``."""
    parser.epilog = EXAMPLE
    add_settings(parser, "settings, and ranges under `tune`")
    parser.add_argument(
        "--trials",
        type=int,
        default=20,
        metavar="N",
        help="number of trials of the study, earlier calls included (default: 20)",
    )
    parser.add_argument(
        "--study",
        type=output_file("--study"),
        metavar="PATH",
        help="SQLite file of the trials, continued if it exists (default: CONFIG.study.db)",
    )
    parser.add_argument(
        "--output",
        type=output_file("--output"),
        metavar="PATH.yaml",
        help="where to write the best configuration (default: CONFIG.best.yaml)",
    )
    add_outcome(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run trials until there are enough, saving the best one so far each time."""
    from ner.training import read_settings
    from ner.training.multiple_runs import Study

    config = Path(arguments.config)
    output = Path(arguments.output or config.with_suffix(".best.yaml"))
    path = Path(arguments.study or config.with_suffix(".study.db"))
    if arguments.trials < 1:
        raise ConfigError(f"--trials must be at least 1, got {arguments.trials}")
    if output.resolve() in (config.resolve(), path.resolve()):
        raise ConfigError(f"--output {output} would overwrite what is read")
    show = Progress(quiet=arguments.quiet or arguments.json == "-")
    study = Study(read_settings(config, assignments_of(arguments)), path, device=arguments.device)
    if known := study.trials:
        show.line(f"going on with {path}, which has {len(known)} trials")
    _run(study, arguments.trials, output, show)
    best = study.best
    if best is None:
        raise ValueError(f"no trial of {path} came to its end; other ranges, or more --trials")
    _keep(study, best, output)
    show.line(f"best: trial {best.number}, development F1 {percent(best.f1)}")
    show.line(f"saved {output}; to train with it: ner train {output}")
    if arguments.json:
        trials = [trial.as_json() for trial in study.trials]
        found = {"best": best.as_json(), "trials": trials}
        write_json({**found, "output": str(output), "study": str(path)}, arguments.json)
    return 0


def _run(study: Study, count: int, output: Path, show: Progress) -> None:
    left = max(count - len(study.trials), 0)
    with show.bar(left, "trials", "trials") as bar:
        for trial in study.run(count):
            show.line(_line(trial))
            if trial.best:
                _keep(study, trial, output)
            bar(1)


def _keep(study: Study, trial: Trial, output: Path) -> None:
    """Write the configuration of a trial."""
    f1 = percent(trial.f1)
    told = f"# Trial {trial.number} of {study.path.name}: development F1 {f1}.\n"
    write_text(output, told + dump(study.settings_of(trial).as_dict()))


def _line(trial: Trial) -> str:
    chosen = "  ".join(f"{name}={_short(value)}" for name, value in trial.settings.items())
    ended = "" if trial.state == "complete" else f"  {trial.state} after epoch {trial.epochs}"
    best = "  best" if trial.best else ""
    return f"trial {trial.number:3}  development F1 {percent(trial.f1):>5}  {chosen}{ended}{best}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
