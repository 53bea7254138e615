"""``ner suspects``: annotation that a tagger finds improbable, most improbable first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ner.cli.arguments import CHUNK, add_device, add_reading, add_report, reading_of
from ner.cli.console import Progress, write_json
from ner.formats import read
from ner.sentence import Sentence

if TYPE_CHECKING:
    from ner.evaluation.review import Opinion, Suspect
    from ner.training import RunSettings

EXAMPLE = """\
The tagger must not have been trained on FILE, or it repeats the errors there. For training files
give --folds: FILE is split by documents, and each part is scored by a tagger trained on the
others with MODEL's own settings.

example:
  ner suspects models/conll2003 test.conll --top 100
  ner suspects models/conll2003 train.conll --folds 4 --json suspects.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner suspects``."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a model directory")
    parser.add_argument("file", metavar="FILE", help="annotated sentences")
    parser.add_argument(
        "--folds", type=int, metavar="K", help="train K taggers, each without one part of FILE"
    )
    parser.add_argument(
        "--top",
        type=int,
        default=100,
        metavar="N",
        help="number of suspects to show (default: 100)",
    )
    add_reading(parser, "FILE")
    add_device(parser)
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    """Rank."""
    from ner.evaluation.review import rank_suspects

    if arguments.top < 1:
        raise ValueError(f"--top is at least 1, got {arguments.top}")
    show = Progress(quiet=arguments.quiet or arguments.json == "-")
    sentences = list(read(arguments.file, **reading_of(arguments)))
    if not any(sentence.spans is not None for sentence in sentences):
        raise ValueError(f"{arguments.file}: no sentence is annotated, nothing to suspect")
    found = rank_suspects(_opinions(arguments, sentences, show))[: arguments.top]
    for number, suspect in enumerate(found, 1):
        show.line(_line(number, suspect, arguments.file))
    if arguments.json:
        write_json([suspect.as_json() for suspect in found], arguments.json)
    return 0


def _opinions(
    arguments: argparse.Namespace, sentences: Sequence[Sentence], show: Progress
) -> list[Opinion]:
    from ner.analysis.uncertainty import Doubts

    found: list[Opinion] = []
    if arguments.folds is None:
        from ner.models import load

        tagger = load(arguments.model, device=arguments.device)
        doubts = Doubts.of(tagger)
        with show.bar(len(sentences), "looking", "sentences") as done:
            for start in range(0, len(sentences), CHUNK):
                found += doubts.opinions(sentences[start : start + CHUNK])
                done(len(found) - start)
        return found
    from ner.training.multiple_runs import cross_fit

    held: dict[int, Opinion] = {}
    settings = _settings(arguments.model)
    fitted = cross_fit(
        sentences, settings, arguments.folds, device=arguments.device, tell=show.line
    )
    for fold, tagger in fitted:
        opinions = Doubts(tagger.network).opinions([sentences[number] for number in fold])
        held.update(zip(fold, opinions, strict=True))
    return [held[number] for number in range(len(sentences))]


def _settings(model: str) -> RunSettings:
    """Return the settings a model was trained with."""
    from ner.training import read_settings

    path = Path(model) / "config.yaml"
    if not path.is_file():
        raise ValueError(f"{model}: no config.yaml there to train by; --folds needs one")
    return read_settings(path)


def _line(number: int, suspect: Suspect, file: str) -> str:
    place = suspect.sentence.line or suspect.number + 1
    span = suspect.gold or suspect.suggestion
    if suspect.sentence.line and span:
        place = suspect.sentence.line_of(span.start)
    more = f"  (and {len(suspect.repeats)} more like it)" if suspect.repeats else ""
    return (
        f"{number:4}  {file}:{place}  {suspect.kind:8}  {suspect.probability:.4f}  "
        f"{suspect.shown()}  ->  {suspect.change()}{more}"
    )
