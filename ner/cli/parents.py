"""The arguments that verbs share, and the reading of their values."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from errno import EACCES, EISDIR, ENOTDIR
from pathlib import Path
from typing import Any

from ner.errors import ConfigError
from ner.evaluation.tables import percent

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
