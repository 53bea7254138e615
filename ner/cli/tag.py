"""``ner tag``: find the entities in a stream of text, sentence by sentence."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ner.cli.arguments import (
    add_model,
    add_output,
    add_quiet,
    add_repeated,
    add_tagging,
    check_decoding,
    in_range,
    load_tagger,
    parse_options,
)
from ner.cli.console import STREAM, note
from ner.cli.tag_job import (
    KINDS,
    TARGETS,
    Job,
    kind_of,
    shards_of,
    summarise,
    tag_shard,
    target_of,
)
from ner.errors import ConfigError
from ner.formats import expand
from ner.options import check_options
from ner.storage.addresses import is_remote

if TYPE_CHECKING:
    from ner.cli.tag_workers import Workers

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
    add = parser.add_argument
    add_model(parser)
    text = "files or globs (default: -, standard input)"
    add("input", metavar="INPUT", nargs="*", default=[], help=text)
    text = "format of the input (default: by its extension; text for .txt or none)"
    add("--from", dest="source", choices=KINDS, help=text)
    add_repeated(parser, "--reader", "reader option, encoding or tokenizer, as encoding=latin-1")
    text = "encoding of the input, such as latin-1 (default: utf-8)"
    add("--encoding", default="utf-8", help=text)
    add("--to", choices=TARGETS, help="output format (default: by its extension, else jsonl)")
    add_output(parser, "--output", "output file (default: standard output)", default=STREAM)
    text = "write a file per input here; existing ones are skipped"
    add("--output-dir", metavar="DIR", help=text)
    text = "with --output-dir, tag only every Nth input, starting at the Ith"
    add("--shard", metavar="I/N", help=text)
    add("--engine", choices=["here", "ray"], default="here", help="where to tag (default: here)")
    text = "number of Ray workers (each loads the model)"
    add("--workers", type=in_range(1), metavar="N", help=text)
    text = "also give the K most probable parses of each line or text, unsplit; jsonl only"
    add("--alternatives", type=in_range(0), default=0, metavar="K", help=text)
    text = "tag each line or text as one sentence, instead of splitting it into sentences"
    add("--no-split", dest="split", action="store_false", help=text)
    add_tagging(parser)
    text = "number of worker processes, at most one per core (default: 1)"
    add("--processes", type=in_range(1, MOST_PROCESSES), default=1, metavar="N", help=text)
    add("--skip-bad", action="store_true", help="skip malformed lines instead of stopping")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tag one stream, or each file into its own output file."""
    if arguments.to is None:
        arguments.to = target_of(arguments.output)
    _check(arguments)
    paths = [str(path) for path in expand(arguments.input or [STREAM])]
    kinds = {kind_of(path, arguments) for path in paths}
    shards = shards_of(arguments, paths) if arguments.output_dir else None
    if shards is None:
        _check_near(arguments, paths)
    if arguments.engine == "ray":
        from ner.cli.tag_workers import tag_on_ray

        began = time.perf_counter()
        skipped, tokens = tag_on_ray(arguments, shards or ())
        _warn(skipped, arguments)
        summarise(arguments, len(shards or ()), len(paths), tokens, began)
        return 0
    with _workers(arguments) as workers:
        tagger = None if workers else load_tagger(arguments)
        model = workers or tagger
        if model and kinds != {"jsonl"} and not arguments.quiet and model.columns:
            note(
                f"warning: the model reads the columns {', '.join(model.columns)}, which only JSON "
                "lines have; in this input their values are unknown"
            )
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
    summarise(arguments, len(shards), len(paths), tokens, began)
    return 0


def _warn(skipped: Iterable[str], arguments: argparse.Namespace) -> None:
    for one in skipped:
        if one and not arguments.quiet:
            note(f"warning: skipped {one}")


def _workers(arguments: argparse.Namespace) -> AbstractContextManager[Workers | None]:
    """Return the worker processes, if any are requested."""
    if arguments.processes == 1:
        return nullcontext()
    from ner.cli.tag_workers import Workers

    return Workers(arguments)


def _check(arguments: argparse.Namespace) -> None:
    check_decoding(arguments)
    _read_options(arguments)
    if arguments.alternatives and arguments.to != "jsonl":
        raise ConfigError("--alternatives goes with --to jsonl")
    if arguments.shard and not arguments.output_dir:
        raise ConfigError("--shard goes with --output-dir")
    if arguments.engine == "ray" and (not arguments.output_dir or arguments.processes != 1):
        raise ConfigError("--engine ray goes with --output-dir, and without --processes")
    if arguments.workers is not None and arguments.engine == "here":
        raise ConfigError("--workers goes with --engine ray")


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
            raise ConfigError(f"{path}: URLs go with --output-dir")
