"""What the verbs that score share: reading gold and predictions, by file or by model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ner.cli.console import Progress
from ner.cli.parents import add_reading, reading_of
from ner.formats import read
from ner.sentence import Sentence, Span
from ner.storage.manifest import EXPORTED

CHUNK = 2_000  # sentences tagged at a time, so that progress can be shown


def add_compared(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how gold and predictions are read."""
    reading = parser.add_argument_group("reading files")
    add_reading(reading, "GOLD")
    add_reading(reading, "the predictions", prefix="predictions")
    reading.add_argument(
        "--ignore-tokens",
        action="store_true",
        help="let tokens differ as long as each sentence has equally many",
    )


def read_gold(arguments: argparse.Namespace, **more: Any) -> list[Sentence]:
    """The sentences of GOLD."""
    return list(read(arguments.gold, **reading_of(arguments) | more))


def read_predictions(path: str, arguments: argparse.Namespace) -> list[Sentence]:
    """The sentences of a file of predictions."""
    return list(read(path, **reading_of(arguments, "predictions")))


def is_model(path: str) -> bool:
    """Whether a path is a model directory, exported or not."""
    return any((Path(path) / name).is_file() for name in ("tagger.json", EXPORTED))


@dataclass(frozen=True, slots=True)
class Model:
    """A tagger that shows how far it is.

    Attributes:
        tagger: The tagger.
        progress: Where to show it.
    """

    tagger: Any
    progress: Progress

    @classmethod
    def load(cls, path: str, device: str, progress: Progress) -> Model:
        """Load a model directory."""
        from ner.models import load

        return cls(load(path, device=device), progress)

    def predict(self, sentences: Sequence[Sentence], title: str = "tagging") -> list[Sentence]:
        """The same sentences with predicted spans."""
        found: list[Sentence] = []
        with self.progress.bar(len(sentences), title, "sentences") as done:
            for start in range(0, len(sentences), CHUNK):
                some = sentences[start : start + CHUNK]
                spans = self.tagger.predict(some)
                found += map(_predicted, some, spans)
                done(len(some))
        return found


def _predicted(sentence: Sentence, spans: tuple[Span, ...]) -> Sentence:
    return replace(sentence, spans=spans, unknown=frozenset(), columns={}, tags=None, origin=None)
