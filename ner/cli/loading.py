"""Shared by the verbs that tag and score: loading the model and choosing the decoding."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ner.cli.console import Progress
from ner.cli.parents import add_device, add_reading, add_threads, reading_of
from ner.errors import ConfigError
from ner.formats import read
from ner.inference import MOST_THREADS
from ner.inference.decoding import WAYS
from ner.sentence import Sentence, Span
from ner.storage.manifest import EXPORTED

if TYPE_CHECKING:
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger

    Some = TypeVar("Some", bound=Tagger | ExportedTagger)

CHOICES = ("decode", "threshold", "min_score")
CHUNK = 2_000  # sentences tagged at a time, so that progress can be shown


def add_loading_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for decoding, tokenizer and device."""
    add = parser.add_argument
    add("--min-score", type=float, metavar="P", help="omit spans less probable than this")
    add("--decode", choices=WAYS, help="decoding algorithm (default: the model's)")
    add(
        "--threshold",
        type=float,
        metavar="P",
        help="minimum span probability for posterior decoding (default: the model's)",
    )
    add(
        "--tokenizer",
        metavar="NAME",
        help="tokenizer of texts: builtin, spacy or spacy:LANGUAGE (default: the model's)",
    )
    add("--language", metavar="CODE", help="short for --tokenizer spacy:CODE")
    add_device(parser)
    add_threads(parser)


def check_loading(arguments: argparse.Namespace) -> None:
    """Check the arguments as far as possible without the model.

    Raises:
        ConfigError: A value is out of range.
    """
    from ner.inference.decoding import Decoding

    try:
        Decoding(**_chosen(arguments))
    except ConfigError as error:
        raise ConfigError(error.message, key=f"--{error.key.replace('_', '-')}") from None
    check_threads(arguments.threads)


def tokenizer_of(
    arguments: argparse.Namespace, tagger: Tagger | ExportedTagger | None = None
) -> str:
    """Return the name of the tokenizer of texts: the one given, or else the model's.

    Raises:
        ConfigError: Two tokenizers are given.
    """
    if arguments.language is None and arguments.tokenizer is None:
        from ner import models

        return tagger.tokenizer if tagger else models.tokenizer_of(arguments.model)
    if arguments.language is None:
        return str(arguments.tokenizer)
    if arguments.tokenizer not in (None, "spacy"):
        raise ConfigError("--language and --tokenizer name two tokenizers; give one of them")
    return f"spacy:{arguments.language}"


def check_threads(count: int) -> None:
    """Check the number of threads.

    Raises:
        ConfigError: It is not from 1 to ``MOST_THREADS``.
    """
    if not 1 <= count <= MOST_THREADS:
        raise ConfigError(f"--threads must be from 1 to {MOST_THREADS:,}, got {count:,}")


def loaded(arguments: argparse.Namespace) -> Tagger:
    """The tagger of a model that is not exported, set as the arguments say."""
    import torch

    from ner.tagger import load

    torch.set_num_threads(arguments.threads)
    return decoding_as(load(arguments.model, device=arguments.device), arguments)


def loaded_either(arguments: argparse.Namespace) -> Tagger | ExportedTagger:
    """The tagger, exported or not, set as the arguments say."""
    return decoding_as(model_of(arguments), arguments)


def model_of(arguments: argparse.Namespace) -> Tagger | ExportedTagger:
    """Load the tagger, exported or not; an exported one does not import torch."""
    from ner.models import load
    from ner.runtime import is_exported

    if not is_exported(arguments.model):
        import torch

        torch.set_num_threads(arguments.threads)
    return load(arguments.model, device=arguments.device, threads=arguments.threads)


def decoding_as(tagger: Some, arguments: argparse.Namespace) -> Some:
    """Return the same tagger with the decoding of the arguments.

    Raises:
        ConfigError: A threshold is given, but the decoding does not use it.
    """
    chosen = _chosen(arguments)
    tagger.decoding = replace(tagger.decoding, **chosen)
    if "threshold" in chosen and tagger.decoding.decode != "posterior":
        raise ConfigError(
            f"--threshold goes with --decode posterior, not with {tagger.decoding.decode}"
        )
    return tagger


def _chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the decoding settings that are given."""
    given = {name: getattr(arguments, name) for name in CHOICES}
    return {name: value for name, value in given.items() if value is not None}


def add_compared(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for reading gold and predictions."""
    reading = parser.add_argument_group("reading files")
    add_reading(reading, "GOLD")
    add_reading(reading, "the predictions", prefix="predictions")
    reading.add_argument(
        "--ignore-tokens",
        action="store_true",
        help="allow different tokens if each sentence has the same number of them",
    )


def read_gold(arguments: argparse.Namespace, **more: Any) -> list[Sentence]:
    """Read the sentences of GOLD."""
    return list(read(arguments.gold, **reading_of(arguments) | more))


def read_predictions(path: str, arguments: argparse.Namespace) -> list[Sentence]:
    """Read the sentences of a file of predictions."""
    return list(read(path, **reading_of(arguments, "predictions")))


def is_model(path: str) -> bool:
    """Return whether a path is a model directory, exported or not."""
    return any((Path(path) / name).is_file() for name in ("tagger.json", EXPORTED))


@dataclass(frozen=True, slots=True)
class Model:
    """A tagger that shows its progress.

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
        """Return the same sentences with predicted spans."""
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
