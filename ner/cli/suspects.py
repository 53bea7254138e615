"""``ner suspects``: annotation that a tagger finds improbable, most improbable first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ner.cli.arguments import (
    CHUNK,
    add_model_and_file,
    add_number,
    in_range,
    output_file,
    reading_of,
)
from ner.cli.console import Progress
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
  ner suspects models/conll2003 test.conll --html review.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner suspects``."""
    add_model_and_file(parser, "annotated sentences")
    text = "train K taggers, each without one part of FILE"
    parser.add_argument("--folds", type=in_range(2), metavar="K", help=text)
    add_number(parser, "--top", 100, "number of suspects to show")
    text = "also write a page to accept or reject them; see ner convert --decisions"
    parser.add_argument("--html", type=output_file("--html"), metavar="PATH", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Rank."""
    from ner.evaluation.page import review_page
    from ner.evaluation.review import rank_suspects
    from ner.storage.atomic import write_text

    show = Progress.of(arguments)
    sentences = list(read(arguments.file, **reading_of(arguments)))
    if not any(sentence.spans is not None for sentence in sentences):
        raise ValueError(f"{arguments.file}: no sentence is annotated")
    found = rank_suspects(_opinions(arguments, sentences, show))[: arguments.top]
    for number, suspect in enumerate(found, 1):
        show.line(_line(number, suspect, arguments.file))
    if arguments.html:
        write_text(Path(arguments.html), review_page(found, f"Suspects in {arguments.file}"))
    show.result([suspect.as_json() for suspect in found])
    return 0


def _opinions(
    arguments: argparse.Namespace, sentences: Sequence[Sentence], show: Progress
) -> list[Opinion]:
    from ner.analysis.uncertainty import Doubts

    found: list[Opinion] = []
    if arguments.folds is None:
        from ner.models import load

        doubts = Doubts.of(load(arguments.model, device=arguments.device))
        with show.bar(len(sentences), "scoring", "sentences") as done:
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
        raise ValueError(f"{model} has no config.yaml, whose settings --folds trains with")
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
