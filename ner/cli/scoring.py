"""What the verbs that score share: reading gold and predictions, by file or by model."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ner.cli.console import Progress
from ner.sentence import Sentence, Span

CHUNK = 2_000  # sentences tagged at a time, so that progress can be shown


def add_reading(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how files are read."""
    reading = parser.add_argument_group("reading files")
    reading.add_argument("--format", help="of GOLD; without it its ending tells")
    reading.add_argument("--predictions-format", metavar="FORMAT", help="of predictions")
    reading.add_argument(
        "--reader",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of GOLD's reader, such as scheme=IOB1 or comment_prefix='# '",
    )
    reading.add_argument(
        "--predictions-reader",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="the same, of predictions",
    )
    reading.add_argument(
        "--ignore-tokens",
        action="store_true",
        help="let tokens differ as long as sentences have as many of them",
    )


def reader_options(given: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` arguments as options, the values read as YAML.

    Raises:
        ValueError: One is not of that form.
    """
    import yaml

    options: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise ValueError(f"a reader option is KEY=VALUE, got {one!r}")
        try:
            options[key.replace("-", "_")] = yaml.safe_load(value) if value.strip() else value
        except yaml.YAMLError:
            options[key.replace("-", "_")] = value  # such as "# ", which YAML takes for a comment
        if options[key.replace("-", "_")] is None:
            options[key.replace("-", "_")] = value
    return options


def read_gold(arguments: argparse.Namespace, **more: Any) -> list[Sentence]:
    """The sentences of GOLD."""
    return read_file(arguments.gold, arguments.format, reader_options(arguments.reader) | more)


def read_predictions(path: str, arguments: argparse.Namespace) -> list[Sentence]:
    """The sentences of a file of predictions."""
    options = reader_options(arguments.predictions_reader)
    return read_file(path, arguments.predictions_format, options)


def read_file(
    path: str, kind: str | None = None, options: Mapping[str, Any] | None = None
) -> list[Sentence]:
    """The sentences of a file of that format; what its reader remarks goes to standard error."""
    from ner.formats import DataWarning, read

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", DataWarning)
        sentences = list(read(path, format=kind, **(options or {})))
    for warning in told:
        print(f"warning: {warning.message}", file=sys.stderr)
    return sentences


def is_model(path: str) -> bool:
    """Whether a path is a model directory."""
    return (Path(path) / "tagger.json").is_file()


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
        from ner.tagger import load

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
    return replace(sentence, spans=spans, unknown=frozenset(), columns={})
