"""``ner calibrate``: fit a model's probabilities and threshold on development data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ner.cli.arguments import add_model, add_outcome, add_reading, reading_of, share
from ner.cli.console import Progress
from ner.config import ConfigError
from ner.evaluation.score import percent

if TYPE_CHECKING:
    from ner.evaluation import Score
    from ner.inference import Decoding
    from ner.sentence import Sentence
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  ner calibrate models/conll2003 development.conll
  ner calibrate models/conll2003 development.conll --recall 0.95 --output models/recall

The temperature calibrates the probabilities; the best tags stay the same. With --f1 the decoding
with the best F1 is chosen too, as `ner train` does; with --recall or --precision the threshold (and
the cost of a miss) that reaches it.
"""
# files that saving a tagger rewrites
OWN = {"metrics.json", "config.yaml", "tagger.json", "weights.safetensors"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner calibrate``."""
    add_model(parser, "a model directory, changed in place")
    text = "annotated sentences the model was not trained on"
    parser.add_argument("development", metavar="DEVELOPMENT", help=text)
    add_reading(parser, "DEVELOPMENT")
    which = parser.add_mutually_exclusive_group()
    text = "reach this recall with the highest precision"
    which.add_argument("--recall", type=share, metavar="R", help=text)
    text = "reach this precision with the highest recall"
    which.add_argument("--precision", type=share, metavar="P", help=text)
    which.add_argument("--f1", action="store_true", help="choose the decoding with the best F1")
    text = "cover at least this share of entity tokens, whatever it costs in precision"
    which.add_argument("--coverage", type=share, metavar="C", help=text)
    parser.add_argument("--output", metavar="DIR", help="leave MODEL unchanged and write here")
    add_outcome(parser)


def run(arguments: argparse.Namespace) -> int:
    """Fit, save and report."""
    from ner.analysis.calibration import calibration_errors
    from ner.formats import read
    from ner.tagger import load

    tagger = load(arguments.model, device=arguments.device)
    others = other_files(Path(arguments.model), replaced=arguments.output is None)
    sentences = list(read(arguments.development, **reading_of(arguments)))
    known = [sentence for sentence in sentences if sentence.spans is not None]
    before = calibration_errors(known, tagger.predict(known)) if known else {}
    score: Score | None
    if arguments.coverage is not None:
        score = cover(tagger, sentences, arguments.coverage)
    elif arguments.f1:
        score = choose_best(tagger, sentences)
    else:
        score = calibrate(tagger, sentences, recall=arguments.recall, precision=arguments.precision)
    after = calibration_errors(known, tagger.predict(known))
    errors = {label: (error, after.get(label)) for label, error in sorted(before.items())}
    folder = Path(arguments.model)
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in others}
    tagger.save(arguments.output or folder, texts=texts)
    show = Progress.of(arguments)
    show.result(_result(tagger.decoding, score, errors))
    _tell(tagger, score, errors, show)
    return 0


def other_files(model: Path, *, replaced: bool) -> list[str]:
    """Return the files of a model that saving its tagger does not rewrite but must keep.

    Raises:
        ConfigError: The directory is to be replaced and contains other files.
    """
    from ner.model_directory import DESCRIPTION, MANIFEST

    files = MANIFEST.describe(model)["files"]
    strange = sorted({file.name for file in model.iterdir()} - {*files, DESCRIPTION})
    if replaced and strange:
        raise ConfigError(
            f"{model / strange[0]} does not belong to the model and would be lost; "
            "move it, or pass --output"
        )
    return sorted(set(files) - OWN)


def calibrate(
    tagger: Tagger, sentences: list[Sentence], *, recall: float | None, precision: float | None
) -> Score | None:
    """Fit a tagger's decoding on development sentences; return the score if one was requested.

    Raises:
        ConfigError: No threshold reaches the requested value.
        ValueError: The sentences are not annotated, or have other labels.
    """
    from dataclasses import replace

    from ner.analysis.calibration import COSTS, fit_temperature, reaching, thresholds
    from ner.inference import Decoding

    decoding, score = Decoding(temperature=fit_temperature(tagger.network, sentences)), None
    if recall is not None or precision is not None:
        ways = [replace(decoding, miss_cost=cost) for cost in (COSTS if recall else COSTS[:1])]
        found = [one for way in ways for one in thresholds(tagger.network, way, sentences)]
        decoding, score = reaching(found, recall=recall, precision=precision)
    tagger.decoding = decoding
    tagger.metrics.pop("decoding", None)  # what training chose
    return score


def choose_best(tagger: Tagger, sentences: list[Sentence]) -> Score:
    """Set a tagger's decoding to the one with the best F1 on development sentences; its score.

    Raises:
        ConfigError: There are too few entities.
    """
    from ner.analysis.calibration import ENOUGH, Chooser, Lattices
    from ner.evaluation import Score

    chooser = Chooser(Lattices(tagger.network, sentences))
    if not chooser.enough:
        raise ConfigError(f"--f1 needs at least {ENOUGH} entities in fully annotated sentences")
    tagger.decoding = chooser.best()
    tagger.metrics["decoding"] = chooser.report(tagger.decoding).as_json()
    return Score(*chooser.lattices.counts(tagger.decoding).sum(0).tolist())


def cover(tagger: Tagger, sentences: list[Sentence], coverage: float) -> Score:
    """Set a tagger's decoding so that it covers a share of the entity tokens; its score.

    Raises:
        ConfigError: That coverage cannot be promised.
    """
    from ner.analysis.calibration import Lattices, fit_temperature
    from ner.evaluation import Score
    from ner.inference import Decoding
    from ner.redaction.promise import as_json, operating_points, promising, redacting

    lattices = Lattices(tagger.network, sentences)
    decoding = Decoding(temperature=fit_temperature(tagger.network, sentences))
    points = operating_points(lattices, decoding)
    point = promising(points, coverage)
    tagger.decoding = redacting(decoding, point.miss_cost)
    tagger.metrics.pop("decoding", None)  # what training chose
    tagger.metrics["redaction"] = as_json(points)
    return Score(*lattices.counts(tagger.decoding).sum(0).tolist())


Errors = dict[str, tuple[float, float | None]]  # before and after, by label


def _result(decoding: Decoding, score: Score | None, errors: Errors) -> dict[str, Any]:
    from dataclasses import asdict

    figures = (
        {name: getattr(score, name) for name in ("precision", "recall", "f1")} if score else {}
    )
    both = {label: {"before": before, "after": after} for label, (before, after) in errors.items()}
    return {**asdict(decoding), "development": figures, "calibration_error": both}


def _tell(tagger: Tagger, score: Score | None, errors: Errors, progress: Progress) -> None:
    from ner.tagger import decision_line

    decoding = tagger.decoding
    for label, (before, after) in errors.items():
        progress.line(
            f"calibration error, {label}: {percent(before)} before, {percent(after)} after"
        )
    if line := decision_line(tagger.metrics):
        progress.line(line)
        return
    progress.line(f"temperature {decoding.temperature:.3f}")
    if score is not None:
        progress.line(
            f"threshold {decoding.threshold:.2f}, cost of a miss {decoding.miss_cost:g}: "
            "development precision "
            f"{percent(score.precision)}, recall {percent(score.recall)}, F1 {percent(score.f1)}"
        )
