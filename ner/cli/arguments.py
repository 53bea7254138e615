"""The arguments that verbs share, and the files and models that they name."""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from errno import EACCES, EISDIR, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ner.cli.console import STREAM, Progress, note
from ner.errors import ConfigError
from ner.evaluation.score import percent
from ner.formats import FORMATS, ending_of, format_by_ending, read
from ner.inference import MOST_THREADS
from ner.inference.decoding import WAYS, Decoding
from ner.sentence import Sentence, Span
from ner.storage.addresses import is_remote
from ner.storage.manifest import EXPORTED
from ner.streaming.tokenizers import BUILTIN

if TYPE_CHECKING:
    from ner.integrations.trackers import Trackers
    from ner.redaction import Pattern
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger

    Some = TypeVar("Some", bound=Tagger | ExportedTagger)

CHOICES = ("decode", "threshold", "min_score")
CHUNK = 2_000  # sentences tagged at a time, so that progress can be shown
Parser = argparse._ActionsContainer  # a parser, or a group of its arguments


def in_range(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range."""

    def number(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            wanted = f"at least {least}" if most is None else f"from {least} to {most:,}"
            raise ArgumentTypeError(f"must be {wanted}, got {value:,}")
        return value

    return number


def add_number(parser: Parser, name: str, default: int, what: str, least: int = 1) -> None:
    """Add an option that takes a whole number and has a default."""
    text = f"{what} (default: {default})"
    parser.add_argument(name, type=in_range(least), default=default, metavar="N", help=text)


def share(text: str) -> float:
    """Parse a share, above 0 and at most 1."""
    value = float(text)
    if not 0.0 < value <= 1.0:
        raise ArgumentTypeError(f"must be above 0 and at most 1, got {value}")
    return value


def add_output(parser: Parser, name: str, what: str, metavar: str = "PATH", **more: Any) -> None:
    """Add an option that names a file to write."""
    parser.add_argument(name, type=output_file(name), metavar=metavar, help=what, **more)


def add_repeated(parser: Parser, name: str, what: str, dest: str | None = None) -> None:
    """Add an option that takes ``KEY=VALUE`` and may be given several times."""
    text = f"{what}; may be repeated"
    parser.add_argument(
        name, dest=dest, metavar="KEY=VALUE", action="append", default=[], help=text
    )


def add_resuming(parser: Parser) -> None:
    """Add ``--resume`` and ``--overwrite``, for an interrupted run."""
    add, text = parser.add_argument, "continue an interrupted run from its last checkpoint"
    add("--resume", action="store_true", help=text)
    text = "discard an interrupted run with the same output, and start again"
    add("--overwrite", action="store_true", help=text)


def add_model(parser: Parser, what: str = "a model directory") -> None:
    """Add ``MODEL``."""
    parser.add_argument("model", metavar="MODEL", help=what)


def add_include(parser: Parser) -> None:
    """Add ``--include-transformer``."""
    text = "store the weights of a frozen transformer in the model (default: refer to them)"
    parser.add_argument("--include-transformer", action="store_true", help=text)


def add_model_and_file(parser: Parser, file: str) -> None:
    """Add ``MODEL`` and ``FILE``, how to read the latter, the device, and the report."""
    add_model(parser)
    parser.add_argument("file", metavar="FILE", help=file)
    add_reading(parser, "FILE")
    add_outcome(parser)


def add_device(parser: Parser) -> None:
    """Add ``--device``."""
    text = "auto, cpu or cuda (default: auto, which uses a GPU if there is one)"
    parser.add_argument("--device", default="auto", help=text)


def add_threads(parser: Parser) -> None:
    """Add ``--threads``."""
    text = "number of CPU threads (default: 1)"
    parser.add_argument(
        "--threads", type=in_range(1, MOST_THREADS), default=1, metavar="N", help=text
    )


def add_report(parser: Parser) -> None:
    """Add ``--json`` and ``--quiet``."""
    add_output(parser, "--json", "write the result as JSON to this file; - is standard output")
    add_quiet(parser)


def add_quiet(parser: Parser) -> None:
    """Add ``--quiet``."""
    text = "print nothing but warnings and errors"
    parser.add_argument("--quiet", action="store_true", help=text)


def add_outcome(parser: Parser) -> None:
    """Add the device and the report."""
    add_device(parser)
    add_report(parser)


def add_resampling(parser: Parser, resamples: int) -> None:
    """Add the arguments of intervals and tests that draw samples."""
    add_number(parser, "--resamples", resamples, "number of bootstrap resamples")
    add_number(parser, "--seed", 0, "random seed", least=0)
    text = "confidence level of intervals (default: 0.95)"
    parser.add_argument("--level", type=float, default=0.95, help=text)


def add_reading(parser: Parser, of: str, *, prefix: str = "", alias: bool = True) -> None:
    """Add ``--from`` and ``--reader``, which ``reading_of`` reads.

    Args:
        parser: The parser.
        of: The argument that names the file.
        prefix: A prefix of the option names if a verb reads several files: ``predictions``.
        alias: Whether ``--format`` is another name of ``--from``.
    """
    before, after = _prefixes(prefix)
    parser.add_argument(
        f"{before}from",
        *([f"{before}format"] if alias else []),
        dest=f"{after}source",
        metavar="FORMAT",
        help=f"format of {of}: {', '.join(FORMATS)} (default: by its extension, else its content)",
    )
    text = f"reader option for {of}, such as tag_column=2 (see docs/formats.md)"
    add_repeated(parser, f"{before}reader", text, f"{after}reader")


def _prefixes(prefix: str) -> tuple[str, str]:
    """Return how options with this prefix begin, and their names in the parsed arguments."""
    return (f"--{prefix}-", f"{prefix}_") if prefix else ("--", "")


def reading_of(arguments: argparse.Namespace, prefix: str = "") -> dict[str, Any]:
    """Return the keyword arguments of ``ner.read`` given by ``--from`` and ``--reader``.

    Raises:
        ConfigError: A reader option is not of the form ``KEY=VALUE``.
    """
    before, after = _prefixes(prefix)
    options = parse_options(getattr(arguments, f"{after}reader"), option=f"{before}reader")
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


class Output(str):
    """The path of a file to write, as given on the command line."""


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
        return Output(path)

    return check


def check_extension(path: str, advice: str) -> None:
    """Check that the extension of an output is that of a format; no extension is CoNLL.

    Raises:
        ConfigError: The extension is unknown; the message ends with the advice.
    """
    if ending_of(path) and format_by_ending(path) is None:
        raise ConfigError(f"cannot infer the format of {path} from its extension; {advice}")


def add_settings(parser: Parser, config: str, *, needed: bool = True) -> None:
    """Add the configuration of a verb that trains, and what changes its settings.

    Args:
        parser: The parser.
        config: The description of the configuration.
        needed: Whether there must be one.
    """
    count = None if needed else "?"
    parser.add_argument("config", metavar="CONFIG.yaml", nargs=count, help=config)
    text = "change a setting, such as model.encoder.width=200"
    add_repeated(parser, "--set", text, "assignments")
    add_reading(parser, "the files of the configuration, in place of what it sets")


def add_patterns(parser: Parser, what: str) -> None:
    """Add ``--patterns`` and ``--gazetteer``."""
    text = (
        f"{what} what these patterns match (lines of LABEL, a tab, and a regular expression; or "
        ".jsonl of spaCy's entity ruler)"
    )
    parser.add_argument("--patterns", metavar="FILE", help=text)
    text = f"{what} these words and phrases (lines of LABEL, a tab, and the phrase)"
    parser.add_argument("--gazetteer", metavar="FILE", help=text)


def patterns_of(arguments: argparse.Namespace, tokenizer: str = BUILTIN) -> list[Pattern]:
    """Return the patterns of ``--patterns`` and ``--gazetteer``.

    Raises:
        ConfigError: A line or a pattern is invalid.
    """
    from ner.redaction import by_label, gazetteer, read_patterns

    found: list[Pattern] = []
    if arguments.patterns:
        found += read_patterns(arguments.patterns, tokenizer)
    if arguments.gazetteer:
        found += gazetteer(by_label(arguments.gazetteer))
    return found


def add_tracking(parser: Parser) -> None:
    """Add ``--track``."""
    text = "log training to mlflow, tensorboard or wandb (each an extra); may be repeated"
    parser.add_argument("--track", metavar="TRACKER", action="append", default=[], help=text)


def trackers_of(arguments: argparse.Namespace) -> Trackers:
    """Return the trackers to log to.

    Raises:
        ConfigError: One is unknown or not installed.
    """
    from ner.integrations.trackers import Trackers

    given = vars(arguments)
    folder = given.get("tensorboard")
    return Trackers(
        tuple(dict.fromkeys([*arguments.track, *(["tensorboard"] if folder else [])])),
        lambda text: note(f"warning: {text}"),
        folder=Path(folder) if folder else None,
        upload=given.get("track_model", False),
    )


def add_shortcuts(parser: Parser) -> None:
    """Add short names of the settings that every run has."""
    for split, use in (
        ("train", "to train on"),
        ("development", "to choose the best epoch by"),
        ("test", "to score the finished model on"),
    ):
        text = f"file {use}, in place of data.{split}; may be repeated"
        parser.add_argument(f"--{split}", action="append", metavar="FILE", help=text)
    text = "the labels to learn, such as PER,LOC (default: all)"
    parser.add_argument("--labels", metavar="LABELS", help=text)
    text = "number of epochs, in place of training.epochs"
    parser.add_argument("--epochs", type=int, metavar="N", help=text)


def assignments_of(arguments: argparse.Namespace) -> list[str]:
    """Return the settings that the arguments change, as ``KEY=VALUE``."""
    from ner.training.settings import SHORTCUTS, shortcuts

    source = [] if arguments.source is None else [f"data.format={arguments.source}"]
    given = {name: getattr(arguments, name, None) for name in SHORTCUTS}
    if given["labels"] is not None:
        given["labels"] = [one.strip() for one in given["labels"].split(",") if one.strip()]
    source += shortcuts(given)
    return [*arguments.assignments, *source, *(f"data.reader.{one}" for one in arguments.reader)]


def scores_line(scores: dict[str, Any]) -> str:
    """Return a line with precision, recall, F1 and the number of entities."""
    return (
        f"precision {percent(scores['precision'])}  recall {percent(scores['recall'])}  "
        f"F1 {percent(scores['f1'])}  ({scores['gold']} entities)"
    )


def add_tagging(parser: Parser) -> None:
    """Add the arguments for decoding, tokenizer and device."""
    add = parser.add_argument
    add("--min-score", type=float, metavar="P", help="omit spans less probable than this")
    add("--decode", choices=WAYS, help="decoding algorithm (default: the model's)")
    text = "minimum span probability for posterior decoding (default: the model's)"
    add("--threshold", type=float, metavar="P", help=text)
    text = "tokenizer of texts: builtin, spacy or spacy:LANGUAGE (default: the model's)"
    add("--tokenizer", metavar="NAME", help=text)
    add("--language", metavar="CODE", help="short for --tokenizer spacy:CODE")
    add_device(parser)
    add_threads(parser)


def check_decoding(arguments: argparse.Namespace) -> None:
    """Check the decoding as far as possible without the model.

    Raises:
        ConfigError: A value is out of range.
    """
    try:
        Decoding(**_chosen(arguments))
    except ConfigError as error:
        raise ConfigError(error.message, key=f"--{error.key.replace('_', '-')}") from None


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


def load_model(arguments: argparse.Namespace) -> Tagger | ExportedTagger:
    """Load the tagger, exported or not; torch is imported only if numpy cannot do its work."""
    from ner.models import load

    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # for torch, if it is imported later
    return load(arguments.model, device=arguments.device, threads=arguments.threads)


def load_tagger(arguments: argparse.Namespace) -> Tagger | ExportedTagger:
    """Load the tagger, exported or not, with the decoding of the arguments.

    Raises:
        ConfigError: A threshold is given, but the decoding does not use it.
    """
    tagger, chosen = load_model(arguments), _chosen(arguments)
    if "threshold" in chosen:  # of every label
        chosen["label_thresholds"] = {}
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
    text = "allow different tokens if each sentence has the same number of them"
    reading.add_argument("--ignore-tokens", action="store_true", help=text)


def read_gold(arguments: argparse.Namespace, **more: Any) -> list[Sentence]:
    """Read the sentences of GOLD."""
    return list(read(arguments.gold, **reading_of(arguments) | more))


def read_predictions(path: str, arguments: argparse.Namespace) -> list[Sentence]:
    """Read the sentences of a file of predictions."""
    return list(read(path, **reading_of(arguments, "predictions")))


def is_model(path: str) -> bool:
    """Return whether a path is a model directory, exported or not, or the address of one."""
    return is_remote(path) or any(
        (Path(path) / name).is_file() for name in ("tagger.json", EXPORTED)
    )


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
                found += map(_predicted, some, self.tagger.predict(some))
                done(len(some))
        return found


def _predicted(sentence: Sentence, spans: tuple[Span, ...]) -> Sentence:
    return replace(sentence, spans=spans, unknown=frozenset(), columns={}, tags=None, origin=None)
