"""``ner train``: train a tagger on files, keep the best epoch, save it, score what was saved."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.console import Progress, percent, write_json
from ner.config import ConfigError

if TYPE_CHECKING:
    from ner.training import Epoch, Run

EXAMPLE = """\
example:
  ner train configs/quick.yaml --set training.epochs=20 --output models/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner train`` takes."""
    parser.epilog = EXAMPLE
    parser.add_argument("config", metavar="CONFIG.yaml", help="the settings of the run")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="assignments",
        help="change a setting, e.g. model.encoder.width=200; may be repeated",
    )
    parser.add_argument("--output", metavar="DIR", help="the model directory to write")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", metavar="PATH", help="write the result as JSON; - for stdout")


def run(arguments: argparse.Namespace) -> int:
    """Train, save, reload and score."""
    from ner.training import Run, read_settings

    assignments = list(arguments.assignments)
    settings = read_settings(arguments.config, assignments, output=arguments.output)
    if settings.output is None:
        raise ConfigError("no output: give --output DIR or `output:` in the configuration")
    show = Progress(quiet=arguments.quiet or arguments.json == "-")
    training = Run(settings, device=arguments.device)
    show.line(_corpora(training))
    while not training.finished:
        with show.bar(training.sentences, f"epoch {len(training.epochs) + 1}", "sentences") as bar:
            epoch = training.train_epoch(bar)
        show.line(_line(epoch))
    path = Path(settings.output)
    result = finish(training, path)
    for split in ("development", "test"):
        if split in result:
            show.line(f"{split:12} {_scores(result[split])}")
    show.line(f"saved {path}")
    if arguments.json:
        write_json(result, arguments.json)
    return 0


def finish(training: Run, path: Path) -> dict[str, Any]:
    """Score the model as it lies on disk, and write the figures beside it.

    Raises:
        RuntimeError: The reloaded model does not score what the log said.
    """
    from ner.tagger import load
    from ner.training import score_tagger

    tagger = load(path, device=str(training.device))
    metrics = training.metrics()
    for name in ("development", "test"):
        sentences = getattr(training.corpora, name)
        if not sentences:
            continue
        found = score_tagger(tagger, sentences)
        if name in metrics and metrics[name] != found:
            raise RuntimeError(
                f"{path}: the saved model scores {found['f1']} on development data, "
                f"training saw {metrics[name]['f1']}"
            )
        metrics[name] = found
    tagger.metrics = metrics
    tagger.config = training.settings.as_dict()
    tagger.save(path)
    return {**metrics, "output": str(path)}


def _corpora(training: Run) -> str:
    corpora = training.corpora
    counts = [
        f"{name} {len(sentences):,} sentences, {sum(map(len, sentences)):,} tokens, "
        f"{sum(len(s.spans or ()) for s in sentences):,} entities"
        for name, sentences in (
            ("train", corpora.train),
            ("development", corpora.development),
            ("test", corpora.test),
        )
        if sentences
    ]
    labels = ", ".join(training.network.labels)
    weights = sum(weight.numel() for weight in training.network.parameters())
    return "\n".join([*counts, f"labels {labels}; {weights:,} weights; {training.device}"])


def _line(epoch: Epoch) -> str:
    scores = "" if epoch.score is None else f"  development F1 {percent(epoch.score.f1)}"
    best = "  best" if epoch.best and epoch.score is not None else ""
    return (
        f"epoch {epoch.number:3}  loss {epoch.loss:8.4f}{scores}  "
        f"{epoch.seconds:6.1f} s  {epoch.tokens_per_second:8,.0f} tokens/s{best}"
    )


def _scores(scores: dict[str, Any]) -> str:
    return (
        f"precision {percent(scores['precision'])}  recall {percent(scores['recall'])}  "
        f"F1 {percent(scores['f1'])}  ({scores['gold']} entities)"
    )
