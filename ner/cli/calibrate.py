"""``ner calibrate``: fit a model's probabilities and threshold on development data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.console import Progress, write_json
from ner.cli.parents import add_device, add_reading, add_report, reading_of
from ner.config import ConfigError
from ner.evaluation.tables import percent

if TYPE_CHECKING:
    from ner.evaluation import Score
    from ner.inference import Decoding
    from ner.sentence import Sentence
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  ner calibrate models/conll2003 development.conll
  ner calibrate models/conll2003 development.conll --recall 0.95 --output models/recall

The temperature makes probabilities fit what is right and wrong; the best tags stay the same.
With --recall or --precision the model keeps every span above the threshold that reaches it.
"""
# what saving a tagger writes anew
OWN = {"metrics.json", "config.yaml", "tagger.json", "weights.safetensors"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner calibrate`` takes."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a model directory, changed in place")
    parser.add_argument("development", metavar="DEVELOPMENT", help="annotated, not trained on")
    add_reading(parser, "DEVELOPMENT")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--recall", type=float, metavar="R", help="reach this recall with the highest precision"
    )
    which.add_argument(
        "--precision", type=float, metavar="P", help="reach this precision with the highest recall"
    )
    parser.add_argument("--output", metavar="DIR", help="leave MODEL as it is and write here")
    add_device(parser)
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Fit, store and tell."""
    for name in ("recall", "precision"):
        value = getattr(arguments, name)
        if value is not None and not 0.0 < value <= 1.0:
            raise ConfigError(f"--{name} is a share above 0 and at most 1, got {value}")
    from ner.formats import read
    from ner.tagger import load

    tagger = load(arguments.model, device=arguments.device)
    others = other_files(Path(arguments.model), replaced=arguments.output is None)
    sentences = list(read(arguments.development, **reading_of(arguments)))
    score = calibrate(tagger, sentences, recall=arguments.recall, precision=arguments.precision)
    folder = Path(arguments.model)
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in others}
    tagger.save(arguments.output or folder, texts=texts)
    if arguments.json:
        write_json(_result(tagger.decoding, score), arguments.json)
    if arguments.json != "-":
        _tell(tagger.decoding, score, Progress(quiet=arguments.quiet))
    return 0


def other_files(model: Path, *, replaced: bool) -> list[str]:
    """The files of a model that saving its tagger does not write anew, and is to keep.

    Raises:
        ConfigError: The directory is to be replaced, and holds what is no part of the model.
    """
    from ner.model_directory import DESCRIPTION, MANIFEST

    files = MANIFEST.describe(model)["files"]
    strange = sorted({file.name for file in model.iterdir()} - {*files, DESCRIPTION})
    if replaced and strange:
        raise ConfigError(
            f"{model / strange[0]}: is no part of the model and would be lost; "
            "move it, or give --output"
        )
    return sorted(set(files) - OWN)


def calibrate(
    tagger: Tagger, sentences: list[Sentence], *, recall: float | None, precision: float | None
) -> Score | None:
    """Set a tagger's decoding by development sentences; the score where one was asked for.

    Raises:
        ConfigError: No threshold reaches what is asked for.
        ValueError: The sentences are not annotated, or with other labels.
    """
    from ner.analysis.calibration import fit_temperature, reaching, thresholds
    from ner.inference import Decoding

    decoding, score = Decoding(temperature=fit_temperature(tagger.network, sentences)), None
    if recall is not None or precision is not None:
        found = thresholds(tagger.network, decoding, sentences)
        decoding, score = reaching(found, recall=recall, precision=precision)
    tagger.decoding = decoding
    return score


def _result(decoding: Decoding, score: Score | None) -> dict[str, Any]:
    from dataclasses import asdict

    figures = (
        {name: getattr(score, name) for name in ("precision", "recall", "f1")} if score else {}
    )
    return {**asdict(decoding), "development": figures}


def _tell(decoding: Decoding, score: Score | None, progress: Progress) -> None:
    progress.line(f"temperature {decoding.temperature:.3f}")
    if score is not None:
        progress.line(
            f"threshold {decoding.threshold:.2f}: development precision "
            f"{percent(score.precision)}, recall {percent(score.recall)}, F1 {percent(score.f1)}"
        )
