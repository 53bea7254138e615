"""``ner tag``: find the entities in a stream of text, sentence by sentence."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ner.cli.arguments import (
    STREAM,
    add_loading_arguments,
    add_quiet,
    check_loading,
    loaded_either,
    output_file,
    parse_options,
)
from ner.cli.console import note
from ner.cli.remote import expand, is_remote
from ner.cli.tag_job import (
    KINDS,
    TARGETS,
    Folder,
    Job,
    kind_of,
    shards_of,
    summarise,
    tag_shard,
    target_of,
)
from ner.errors import ConfigError
from ner.options import check_options

if TYPE_CHECKING:
    from ner.cli.tag_workers import Workers
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  echo "Angela Merkel met Tim Cook in Berlin." | ner tag models/conll2003 --to jsonl
  ner tag models/conll2003 news.conll --to conll --output tagged.conll
  ner tag models/conll2003 'corpus/*.jsonl' --output-dir tagged --shard 1/4
  ner tag models/conll2003 's3://bucket/*.jsonl' --output-dir s3://bucket/tagged --engine ray
  ner tag models/conll2003 news.conll --to conll --processes 8 > tagged.conll
"""
OPTIONS = {"encoding": (str, False), "tokenizer": (str, False)}
MOST_PROCESSES = 1024  # each loads the model, and more than one per core do not help


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ner tag``."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model directory")
    add(
        "input",
        metavar="INPUT",
        nargs="*",
        default=[],
        help="files or globs (default: -, standard input)",
    )
    add(
        "--from",
        dest="source",
        choices=KINDS,
        help="format of the input (default: by its extension; text for .txt or none)",
    )
    add(
        "--reader",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="reader option, encoding or tokenizer, such as encoding=latin-1",
    )
    add(
        "--encoding",
        default="utf-8",
        help="encoding of the input, such as latin-1 (default: utf-8)",
    )
    add("--to", choices=TARGETS, help="output format (default: by its extension, else jsonl)")
    output = output_file("--output")
    add(
        "--output",
        type=output,
        metavar="PATH",
        default=STREAM,
        help="output file (default: standard output)",
    )
    add(
        "--output-dir", metavar="DIR", help="write a file per input here; existing ones are skipped"
    )
    add(
        "--shard",
        metavar="I/N",
        help="with --output-dir, tag only every Nth input, starting at the Ith",
    )
    add("--engine", choices=["here", "ray"], default="here", help="where to tag (default: here)")
    add("--workers", type=int, metavar="N", help="number of Ray workers (each loads the model)")
    add(
        "--alternatives",
        type=int,
        default=0,
        metavar="K",
        help="also give the K most probable readings of each sentence; jsonl only",
    )
    add_loading_arguments(parser)
    add(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="number of worker processes (default: 1)",
    )
    add("--skip-bad", action="store_true", help="skip malformed lines instead of stopping")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tag one stream, or each file into its own output file."""
    if arguments.to is None:
        arguments.to = target_of(arguments.output)
    _check(arguments)
    paths = expand(arguments.input or [STREAM])
    kinds = {kind_of(path, arguments) for path in paths}
    shards = shards_of(arguments, paths) if arguments.output_dir else None
    if shards is None:
        _check_near(arguments, paths)
    if arguments.engine == "ray":
        from ner.cli.tag_workers import tag_on_ray

        began = time.perf_counter()
        skipped, tokens = tag_on_ray(arguments, shards or ())
        _warn(skipped, arguments)
        seconds = time.perf_counter() - began
        summarise(arguments, Folder(len(shards or ()), len(paths), tokens, seconds))
        return 0
    with _workers(arguments) as workers:
        tagger = None if workers else loaded_either(arguments)
        if kinds != {"jsonl"} and not arguments.quiet:
            _warn_of_columns(workers or tagger)
        if shards is None:
            job = Job.of(tagger, arguments, paths, workers)
            job.run(arguments.output)
            _warn([job.skipped()], arguments)
            return 0
        began, tokens = time.perf_counter(), 0
        for shard in shards:
            job = tag_shard(tagger, arguments, shard, workers)
            _warn([job.skipped()], arguments)
            tokens += job.tokens
    summarise(arguments, Folder(len(shards), len(paths), tokens, time.perf_counter() - began))
    return 0


def _warn(told: Iterable[str], arguments: argparse.Namespace) -> None:
    for one in told:
        if one and not arguments.quiet:
            note(f"warning: left out: {one}")


def _warn_of_columns(model: Workers | Tagger | ExportedTagger | None) -> None:
    if model and model.columns:
        note(
            f"warning: the model looks at the columns {', '.join(model.columns)}, which are read "
            "from JSON lines alone; here their values are unknown"
        )


def _workers(arguments: argparse.Namespace) -> AbstractContextManager[Workers | None]:
    """Return the worker processes, if any are requested."""
    if arguments.processes == 1:
        return nullcontext()
    from ner.cli.tag_workers import Workers

    return Workers(arguments)


def _check(arguments: argparse.Namespace) -> None:
    check_loading(arguments)
    _read_options(arguments)
    if arguments.alternatives < 0 or (arguments.alternatives and arguments.to != "jsonl"):
        raise ConfigError("--alternatives takes a number above 0, and goes with --to jsonl")
    if arguments.shard and not arguments.output_dir:
        raise ConfigError("--shard goes with --output-dir")
    if arguments.engine == "ray" and (not arguments.output_dir or arguments.processes != 1):
        raise ConfigError("--engine ray goes with --output-dir, and without --processes")
    if arguments.workers is not None and (arguments.workers < 1 or arguments.engine == "here"):
        raise ConfigError("--workers takes a number above 0, and goes with --engine ray")
    if not 1 <= arguments.processes <= MOST_PROCESSES:
        raise ConfigError(
            f"--processes must be from 1 to {MOST_PROCESSES:,}, got {arguments.processes:,}; "
            "one a core is best"
        )


def _read_options(arguments: argparse.Namespace) -> None:
    """Read the options of the reader, some of which have arguments of their own.

    Raises:
        ConfigError: An option is unknown, or has an invalid value.
    """
    options = parse_options(arguments.reader, option="--reader")
    check_options(options, OPTIONS, "the reader of `ner tag`")
    arguments.encoding = options.get("encoding", arguments.encoding)
    arguments.tokenizer = options.get("tokenizer", arguments.tokenizer)


def _check_near(arguments: argparse.Namespace, paths: Sequence[str]) -> None:
    """Check that inputs are local, since remote files are transferred as a whole, one by one."""
    for path in (*paths, arguments.output):
        if is_remote(path):
            raise ConfigError(f"{path}: addresses go with --output-dir")
