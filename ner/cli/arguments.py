"""The arguments that verbs share, and the files and models that they name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from errno import EACCES, EISDIR, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ner.cli.console import Progress
from ner.errors import ConfigError
from ner.evaluation.score import percent
from ner.formats import read
from ner.inference import MOST_THREADS
from ner.inference.decoding import WAYS
from ner.sentence import Sentence, Span
from ner.storage.manifest import EXPORTED

if TYPE_CHECKING:
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger

    Some = TypeVar("Some", bound=Tagger | ExportedTagger)


STREAM = "-"


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu or cuda (default: auto, which uses a GPU if there is one)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="number of CPU threads (default: 1)"
    )


def add_report(parser: argparse._ActionsContainer) -> None:
    """Add ``--json`` and ``--quiet``."""
    parser.add_argument(
        "--json",
        type=output_file("--json"),
        metavar="PATH",
        help="write the result as JSON to this file; - is standard output",
    )
    add_quiet(parser)


def add_quiet(parser: argparse._ActionsContainer) -> None:
    """Add ``--quiet``."""
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing but warnings and errors"
    )


def add_reading(
    parser: argparse._ActionsContainer, of: str, *, prefix: str = "", alias: bool = True
) -> None:
    """Add ``--from`` and ``--reader``, for what is read into ``reading_of``.

    Args:
        parser: The parser, or a group of its arguments.
        of: The argument that names the file.
        prefix: A prefix of the option names if a verb reads several files: ``predictions``.
        alias: Whether ``--format`` is another name of ``--from``.
    """
    from ner.formats import FORMATS

    before, after = (f"--{prefix}-", f"{prefix}_") if prefix else ("--", "")
    parser.add_argument(
        f"{before}from",
        *([f"{before}format"] if alias else []),
        dest=f"{after}source",
        metavar="FORMAT",
        help=f"format of {of}: {', '.join(FORMATS)} (default: by its extension, else its content)",
    )
    parser.add_argument(
        f"{before}reader",
        dest=f"{after}reader",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help=f"reader option for {of}, such as tag_column=2; may be repeated; see docs/formats.md",
    )


def reading_of(arguments: argparse.Namespace, prefix: str = "") -> dict[str, Any]:
    """Return the keyword arguments of ``ner.read`` given by ``--from`` and ``--reader``.

    Raises:
        ConfigError: A reader option is not of the form ``KEY=VALUE``.
    """
    before, after = (f"--{prefix}-", f"{prefix}_") if prefix else ("--", "")
    given = getattr(arguments, f"{after}reader")
    options = parse_options(given, option=f"{before}reader")
    return {"format": getattr(arguments, f"{after}source"), **options}


def parse_options(given: Iterable[str], *, option: str) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` arguments; a hyphen in a key is an underscore.

    Raises:
        ConfigError: One is not of that form.
    """
    given = list(given)
    if not given:
        return {}  # an exported model needs no YAML
    from ner.config import read_assignments

    return {key.replace("-", "_"): value for key, value in read_assignments(given, option=option)}


def output_file(option: str = "") -> Callable[[str], str]:
    """Return a check, run before the work begins, that a file can be written.

    Its folder need not exist yet.

    Args:
        option: The argument that names the file, for messages.
    """

    def check(path: str) -> str:
        if path == STREAM:
            return path
        named = f"{option} {path}".strip()
        if Path(path).is_dir():
            raise IsADirectoryError(EISDIR, "is a folder; name a file", named)
        folder = next(one for one in Path(path).absolute().parents if one.exists())
        if not folder.is_dir():
            raise NotADirectoryError(ENOTDIR, f"cannot be written: {folder} is not a folder", named)
        if not os.access(folder, os.W_OK):
            raise PermissionError(EACCES, f"cannot be written: folder {folder} is read-only", named)
        return path

    return check


def check_extension(path: str, advice: str) -> None:
    """Check that the extension of an output is that of a format; no extension is CoNLL.

    Raises:
        ConfigError: The extension is unknown; the message ends with the advice.
    """
    from ner.formats import ending_of, format_by_ending

    if ending_of(path) and format_by_ending(path) is None:
        raise ConfigError(f"cannot infer the format of {path} from its extension; {advice}")


def add_settings(parser: argparse.ArgumentParser, config: str, *, needed: bool = True) -> None:
    """Say how a configuration is given, for every verb that trains.

    Args:
        parser: The parser of the verb.
        config: What the configuration is.
        needed: Whether there must be one.
    """
    count = None if needed else "?"
    parser.add_argument("config", metavar="CONFIG.yaml", nargs=count, help=config)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="assignments",
        help="change a setting, such as model.encoder.width=200; may be repeated",
    )
    add_reading(parser, "the files of `data`, before its own settings")


def add_shortcuts(parser: argparse.ArgumentParser) -> None:
    """Add names of their own for what every run has."""
    add = parser.add_argument
    for split, use in (
        ("train", "to train on"),
        ("development", "to choose the best epoch by"),
        ("test", "to score the finished model on"),
    ):
        add(
            f"--{split}",
            action="append",
            metavar="FILE",
            help=f"file {use}, in place of data.{split}; may be repeated",
        )
    add("--labels", metavar="LABELS", help="the labels to learn, such as PER,LOC (default: all)")
    add("--epochs", type=int, metavar="N", help="number of epochs, in place of training.epochs")


def assignments_of(arguments: argparse.Namespace) -> list[str]:
    """Return the settings that the arguments change, as ``KEY=VALUE``."""
    from ner.training.settings import SHORTCUTS, shortcuts

    source = [] if arguments.source is None else [f"data.format={arguments.source}"]
    given = {name: getattr(arguments, name, None) for name in SHORTCUTS}
    if given["labels"] is not None:
        given["labels"] = [one.strip() for one in given["labels"].split(",") if one.strip()]
    source += shortcuts(given)
    return [*arguments.assignments, *source, *(f"data.reader.{one}" for one in arguments.reader)]


def add_outcome(parser: argparse.ArgumentParser) -> None:
    """Add the device and report arguments of verbs that train."""
    add_device(parser)
    add_report(parser)


def scores_line(scores: dict[str, Any]) -> str:
    """Return a line with precision, recall, F1 and the number of entities."""
    return (
        f"precision {percent(scores['precision'])}  recall {percent(scores['recall'])}  "
        f"F1 {percent(scores['f1'])}  ({scores['gold']} entities)"
    )


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
