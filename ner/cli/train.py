"""``ner train``: train a tagger on files, save the best epoch, and score the saved model."""

from __future__ import annotations

import argparse
import contextlib
import signal
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ner.cli.arguments import (
    add_include,
    add_number,
    add_outcome,
    add_resuming,
    add_settings,
    add_shortcuts,
    add_tracking,
    assignments_of,
    scores_line,
    trackers_of,
)
from ner.cli.console import Advance, Progress
from ner.config import ConfigError, load
from ner.evaluation.score import percent
from ner.formats import DataWarning

if TYPE_CHECKING:
    from ner.integrations.trackers import Log, Trackers
    from ner.training import Epoch, Run, RunSettings, Step
    from ner.training.corpora import Corpora, Inspection

EXAMPLE = """\
example:
  ner train --train train.conll --development dev.conll --output models/mine --epochs 20
  ner train configs/quick.yaml --set training.learning_rate=0.003 --output models/mine
  ner train configs/quick.yaml --output models/mine --resume
  ner train configs/quick.yaml --output models/mine --seeds 3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner train``."""
    add_settings(parser, "the settings of the run; not needed with --train", needed=False)
    add_shortcuts(parser)
    add = parser.add_argument
    add("--output", metavar="DIR", help="model directory to write")
    add_resuming(parser)
    text = "train N models with consecutive seeds, keep the best, report mean and deviation of F1"
    add_number(parser, "--seeds", 1, text)
    text = "start from a trained model; its labels are matched by name"
    add("--init-from", metavar="MODEL", help=text)
    text = "with --init-from, save nothing if F1 of the old labels falls by more than this"
    add("--max-drop", type=float, metavar="POINTS", help=text)
    add_include(parser)
    add_tracking(parser)
    text = "log the run for TensorBoard, in this folder"
    add("--tensorboard", metavar="DIR", help=text)
    text = "upload the finished model to the trackers, too"
    add("--track-model", action="store_true", help=text)
    add_outcome(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, save, reload and score."""
    from ner.training import read_settings
    from ner.training.distributed import Processes

    trackers = trackers_of(arguments)
    if arguments.config is None and arguments.train is None:
        raise ConfigError("nothing to train on: pass CONFIG.yaml or --train FILE")
    settings = read_settings(
        arguments.config or {},
        [*assignments_of(arguments), *_limits(arguments)],
        output=arguments.output,
    )
    if arguments.include_transformer:
        settings = _including(settings)
    if settings.output is None:
        raise ConfigError("no output: pass --output DIR or set `output:` in the configuration")
    writes = Processes().writes
    show = Progress.of(arguments)
    show.quiet |= not writes
    several = arguments.seeds > 1
    result = (train_seeds if several else train_once)(settings, arguments, show, trackers)
    if isinstance(result, int):
        return result
    if writes:
        show.result(result)
    return 0


def _limits(arguments: argparse.Namespace) -> list[str]:
    """Return the setting of ``--max-drop``, if it is given."""
    given = arguments.max_drop
    return [] if given is None else [f"training.max_drop={given}"]


def _including(settings: RunSettings) -> RunSettings:
    """Return settings with which the weights of transformers are stored in the model.

    Raises:
        ConfigError: There is no transformer.
    """
    embeddings = settings.model.get("embeddings") or {}
    included = {
        name: {**own, "include": True}
        for name, own in embeddings.items()
        if isinstance(own, dict) and own.get("kind", name) == "transformer"
    }
    if not included:
        raise ConfigError("--include-transformer: model.embeddings has no transformer")
    return replace(settings, model={**settings.model, "embeddings": {**embeddings, **included}})


def train_seeds(
    settings: RunSettings, arguments: argparse.Namespace, show: Progress, trackers: Trackers
) -> dict[str, Any] | int:
    """Train a model per seed and keep the best; return all figures, or the exit status."""
    from ner.model_directory import DESCRIPTION
    from ner.storage.atomic import check_replaceable
    from ner.training.corpora import read_corpora
    from ner.training.distributed import Processes
    from ner.training.multiple_runs import choose, keep, settings_of, spread
    from ner.training.run_folder import RunFolder

    check_replaceable(Path(str(settings.output)), holds=DESCRIPTION)
    corpora = read_corpora(settings.data, settings.training.seed)
    results: dict[int, dict[str, Any]] = {}
    every = settings_of(settings, arguments.seeds)
    if not (arguments.resume or arguments.overwrite):
        for one in every:  # before the first is trained
            RunFolder(Path(str(one.output))).check_unused()
    for one in every:
        show.line(f"seed {one.training.seed}")
        result = train_once(one, arguments, show, trackers, corpora)
        if isinstance(result, int):
            return result
        results[one.training.seed] = result
    best = choose(results)
    if Processes().writes:
        keep(Path(results[best]["output"]), Path(str(settings.output)))
    figures = spread(list(results.values()))
    for split, found in figures.items():
        show.line(
            f"{split:12} F1 {percent(found['mean'])} ± {percent(found['deviation'])} "
            f"over {len(results)} seeds"
        )
    show.line(f"saved {settings.output}, the best by development F1: seed {best}")
    return {
        **results[best],
        "output": str(settings.output),
        "seed": best,
        "f1": figures,
        "seeds": {str(seed): result for seed, result in results.items()},
    }


def train_once(
    settings: RunSettings,
    arguments: argparse.Namespace,
    show: Progress,
    trackers: Trackers,
    corpora: Corpora | None = None,
    old: str = "on old labels",
) -> dict[str, Any] | int:
    """Train one model; return its figures, or the exit status if the run was interrupted.

    ``old`` says which labels the model knew that the training began from.
    """
    from ner.training import StoppedError

    path = Path(str(settings.output))
    if arguments.resume and (known := _finished(path, settings)) is not None:
        show.line(f"{path} is finished already; train without --resume to start again")
        return {**known, "output": str(path)}
    training = _begin(settings, arguments, show, corpora)
    group = path.parent.name.removesuffix(".seeds") if arguments.seeds > 1 else path.name
    received: list[int] = []
    try:
        with trackers.begin(training, group, path.name if arguments.seeds > 1 else "") as log:
            with leaving_cleanly(training) as received:
                _train(training, show, log)
            result = training.finish()
            for split, name in (("development", "best development"), ("test", "test")):
                if split in result.get("labels", {}):  # not in a process that does not write
                    log.scores(name, result[split], result["labels"][split])
            log.attach(path)
    except StoppedError:
        show.line(f"stopped after step {training.position.step}; continue with --resume")
        return 128 + received[0]
    _tell(result, show, None if arguments.init_from is None else old)
    show.line(f"saved {path}")
    return {**result, "output": str(path)}


def _begin(
    settings: RunSettings, arguments: argparse.Namespace, show: Progress, corpora: Corpora | None
) -> Run:
    """Create the run, and describe its data."""
    from ner.training import Run
    from ner.training.corpora import inspect

    with show.steps(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        training = Run(
            settings,
            device=arguments.device,
            corpora=corpora,
            resume=arguments.resume,
            init_from=arguments.init_from,
            overwrite=arguments.overwrite,
        )
    for warning in caught:
        show.line(f"warning: {warning.message}")
    for remark in training.remarks:
        show.line(remark)
    found = inspect(training.corpora)
    show.line(_corpora(training, found))
    for line in found.lines():
        show.line(line)
    return training


def _train(training: Run, show: Progress, log: Log) -> None:
    """Train the remaining epochs, and report each."""
    epochs, tokens = training.planned, training.tokens
    done = len(training.epochs) * tokens
    with show.bar(epochs * tokens, "training", "tokens", done=done) as bar:
        while not training.finished:
            epoch = training.train_epoch(_Watch(training, bar, log))
            log.epoch(epoch)
            show.line(_line(epoch))
            for remark in epoch.remarks:
                show.line(f"warning: {remark}")


class _Watch:
    """Shows the steps of an epoch: the mean loss so far, and the score of the epoch before."""

    def __init__(self, training: Run, bar: Advance, log: Log) -> None:
        self.training = training
        self.bar = bar
        self.log = log
        self.loss = 0.0
        self.sentences = self.tokens = 0

    def __call__(self, step: Step) -> None:
        self.loss += step.loss
        self.sentences += step.sentences
        training = self.training
        last = training.epochs[-1] if training.epochs else None
        figures = {
            "epoch": f"{len(training.epochs) + 1}/{training.planned}",
            "loss": f"{self.loss / self.sentences:.3f}",
        }
        if last is not None and last.score is not None:
            figures["F1"] = percent(last.score.f1)
        self.bar(step.tokens, **figures)
        self.tokens += step.tokens
        if self.tokens >= training.tokens and training.corpora.development:
            self.bar(0, **figures, now="scoring development")
        self.log.step(step)


def _finished(path: Path, settings: RunSettings) -> dict[str, Any] | None:
    """Return the figures of a finished run's model, if there is nothing left to resume.

    Raises:
        ConfigError: It was trained with other settings.
    """
    from ner.model_directory import ModelError, read_json
    from ner.training.run_folder import RunFolder, check_settings

    if RunFolder(path).path.exists():
        return None
    try:
        known, used = read_json(path / "metrics.json"), load(path / "config.yaml")
    except (ModelError, FileNotFoundError):
        return None
    check_settings(used, settings.as_dict())
    return known if isinstance(known, dict) else None


class Stoppable(Protocol):
    """Work that can be asked to stop at a checkpoint."""

    def stop(self) -> None: ...


@contextlib.contextmanager
def leaving_cleanly(training: Stoppable) -> Iterator[list[int]]:
    """While the block runs, the first SIGINT or SIGTERM stops the run at a checkpoint.

    A second Ctrl-C stops at once. The block's value lists the signals received.
    """
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        training.stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _corpora(training: Run, found: Inspection) -> str:
    corpora = training.corpora
    entities = f"{sum(found.labels.values()):,} entities"
    counts = [f"train {len(corpora.train):,} sentences, {found.tokens:,} tokens, {entities}"]
    counts += [
        f"{name} {len(sentences):,} sentences, {sum(map(len, sentences)):,} tokens, "
        f"{sum(len(s.spans or ()) for s in sentences):,} entities"
        for name, sentences in (("development", corpora.development), ("test", corpora.test))
        if sentences
    ]
    labels = ", ".join(training.network.labels)
    weights = sum(weight.numel() for weight in training.network.parameters())
    return "\n".join([*counts, f"labels {labels}; {weights:,} weights; {training.device}"])


def _line(epoch: Epoch) -> str:
    scores = "" if epoch.score is None else f"  development F1 {percent(epoch.score.f1):>5}"
    best = "  best" if epoch.best and epoch.score is not None else ""
    return (
        f"epoch {epoch.number:3}  loss {epoch.loss:8.4f}{scores}  "
        f"{epoch.seconds:6.1f} s  {epoch.tokens_per_second:8,.0f} tokens/s{best}"
    )


def _tell(result: dict[str, Any], show: Progress, old: str | None) -> None:
    """Report the scores, the decoding, and what was forgotten of the first model, if any."""
    from ner.evaluation.perturbations import case_advice
    from ner.tagger import decision_line

    for split in ("development", "test"):
        if split in result:
            show.line(f"{split:12} {scores_line(result[split])}")
    if decision := decision_line(result):
        show.line(decision)
    lower = result.get("lower case")
    if lower and (advice := case_advice("lower", lower["unchanged"], lower["lower"])):
        show.line(advice)
    known = result.get("old labels", {})
    for split, found in known.items():
        before, after = percent(found["before"]), percent(found["after"])
        change = f"{'gain' if found['drop'] < 0 else 'drop'} of {percent(abs(found['drop']))}"
        labels = ", ".join(found["labels"])
        show.line(f"{split:12} F1 {old} ({labels}) {before} before, {after} now, a {change}")
    if old and not known:
        show.line("no entities of old labels to score: forgetting cannot be measured")
