"""The command line: ``ner VERB ...``. Each verb is a module of this folder.

Only the module of the verb called is imported, so that ``--help`` is instant.
A verb module has ``add_arguments(parser)`` and ``run(arguments) -> int``, the exit status.
"""

from __future__ import annotations

import argparse
import errno
import gc
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, TextIO

from ner import __version__
from ner.cli.console import note, printable
from ner.errors import ConfigError, DataWarning
from ner.options import lookup, nearest

VERBS = {
    "init": "inspect annotated files and write a configuration for them",
    "train": "train a tagger on files and save it",
    "pretrain": "learn word vectors and a network from unlabelled text",
    "distil": "train a tagger on what a teacher finds in raw text",
    "tune": "search for better settings",
    "cv": "cross-validate a configuration by document",
    "evaluate": "score predictions or a model against gold annotation",
    "tag": "find the entities in a stream of text",
    "redact": "replace the entities in texts",
    "serve": "serve a model over HTTP",
    "calibrate": "fit a model's probabilities and threshold on development data",
    "export": "write a model so that it runs without torch",
    "bench": "measure the speed and memory of tagging on this machine",
    "check": "describe a corpus and report its problems",
    "agreement": "measure how far annotators of the same sentences agree",
    "compare": "test whether two sets of predictions differ by more than chance",
    "convert": "convert between formats and schemes",
    "push": "share a model at an address",
    "suspects": "list annotation that may be wrong, most likely first",
    "select": "choose the sentences to annotate next",
}
NO_MEMORY = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
_JARGON = {
    "invalid int value:": "expected a whole number, got",
    "invalid float value:": "expected a number, got",
}
INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


class Parser(argparse.ArgumentParser):
    """Raises an error of one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        meant = nearest(unknown[1], self._option_string_actions) if unknown else None
        hint = f"; did you mean {meant}?" if meant else ";"
        for jargon, plain in _JARGON.items():
            message = message.replace(jargon, plain)
        raise ConfigError(f"{message}{hint} see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb.

    Returns:
        0; 1 if a check found problems; 2 for invalid input, settings or arguments.
    """
    if arguments is not None:
        return _main(list(arguments))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's products are small
    gc.set_threshold(20_000)  # modules and vocabularies are many objects, of which none is garbage
    try:
        return _main(sys.argv[1:])
    finally:
        gc.freeze()  # at exit, Python would search all objects for garbage, for 50 ms
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to stop


def _main(given: list[str]) -> int:
    """Run a verb, and report every error of its input in one line."""
    _prepare_streams()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            warnings.simplefilter("always", DataWarning)
            return _run(given)
    except BrokenPipeError:  # the reader of our output has ended, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        note("stopped")
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "ner":
            raise
        note(f"error: this needs {error.name}, which is not installed")
        return 2
    except (ValueError, OSError, MemoryError) as error:
        note(f"error: {_one_line(error)}")
        return 2
    except RuntimeError as error:  # torch has no error class for this on every device
        if not any(sign in str(error) for sign in NO_MEMORY):
            raise
        note(f"error: not enough memory; reduce the width or the batch ({_one_line(error)})")
        return 2


def _prepare_streams() -> None:
    """Reopen standard streams that the caller closed, and write UTF-8."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper) and "utf" not in sys.stdout.encoding.lower():
        sys.stdout.reconfigure(encoding="utf-8")  # as files are


def _run(given: list[str]) -> int:
    if not given or given[0] not in VERBS:
        return _without_verb(given)
    parser, module = parser_of(given[0]), import_module(f"ner.cli.{given[0]}")
    arguments = parser.parse_intermixed_args(given[1:])
    _refuse_overwriting(arguments)
    status: int = module.run(arguments)
    sys.stdout.flush()
    return status


def _refuse_overwriting(arguments: argparse.Namespace) -> None:
    """Check that no file is both read and written.

    Raises:
        ConfigError: An output is also an input.
    """
    from ner.cli.arguments import Output

    values = [
        one
        for value in vars(arguments).values()
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, str) and os.path.isfile(one)  # noqa: PTH113  # not only of paths
    ]
    for output in values:
        for other in values:
            same = isinstance(output, Output) and not isinstance(other, Output)
            if same and Path(output).samefile(other):
                raise ConfigError(f"{output} is an input and would be overwritten; name another")


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Return the parser of a verb's arguments."""
    module = import_module(f"ner.cli.{verb}")
    parser = Parser(
        prog=f"ner {verb}",
        description=VERBS[verb][0].upper() + VERBS[verb][1:] + ".",
        epilog=module.EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def _without_verb(given: list[str]) -> int:
    """Show the help or the version, or refuse an unknown verb."""
    width = max(map(len, VERBS))
    parser = Parser(
        prog="ner",
        usage="ner VERB ...",
        description="Named entity recognition with a BiLSTM and a CRF.",
        epilog="verbs:\n" + "\n".join(f"  {verb:{width}}  {text}" for verb, text in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="store_true", help="show the version and the kernels in use"
    )
    if given and not given[0].startswith("-"):
        lookup(VERBS, given[0], of="verb")
    if parser.parse_args(given).version:
        from ner.native import described

        print(f"ner {__version__} ({described()})")
        return 0
    parser.print_help()
    return 0


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning without the line of code that raised it."""
    if issubclass(category, UserWarning):
        text = f"warning: {printable(str(message))}"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line).rstrip()
    print(text, file=file or sys.stderr)


def _one_line(error: BaseException) -> str:
    """Return the message of an error, with the file name for a system error."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    from ner.storage.atomic import FULL

    if isinstance(error, OSError) and error.errno in (*FULL, errno.EIO):
        return f"the output cannot be written: {error.strerror}"
    return str(error) or type(error).__name__
