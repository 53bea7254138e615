"""``ner tag``: find the entities in a stream of text, sentence by sentence."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ner.cli.console import Progress, Step
from ner.cli.loading import add_loading_arguments, check_loading, loaded_either, tokenizer_of
from ner.cli.printing import note
from ner.cli.remote import expand, is_remote, nearby
from ner.cli.shards import STREAM, Shard, bare, shards_of
from ner.errors import ConfigError

if TYPE_CHECKING:
    from ner.cli.tag_processes import Workers
    from ner.runtime import ExportedTagger
    from ner.streaming.readers import Item, TagRequest, UnboundedSentence
    from ner.streaming.source import Idle, Source
    from ner.streaming.writers import JsonlWriter
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  echo "Angela Merkel met Tim Cook in Berlin." | ner tag models/conll2003 --to jsonl
  ner tag models/conll2003 news.conll --to conll --output tagged.conll
  ner tag models/conll2003 'corpus/*.jsonl' --output-dir tagged --shard 1/4
  ner tag models/conll2003 's3://bucket/*.jsonl' --output-dir s3://bucket/tagged --engine ray
  ner tag models/conll2003 news.conll --to conll --processes 8 > tagged.conll
"""
KINDS = ("text", "conll", "jsonl")  # of input; the readers of ner.streaming.readers
CHUNK = 20_000  # tokens tagged at a time, and at least one sentence
MOST_PROCESSES = 1024  # each loads the model, and more than there are cores do not help


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner tag`` takes."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model directory")
    add(
        "input",
        metavar="INPUT",
        nargs="*",
        default=[],
        help="files or globs; - or none is standard input",
    )
    add(
        "--from",
        dest="source",
        choices=KINDS,
        help="what the input is; without it its ending tells, none or .txt being text",
    )
    add("--encoding", default="utf-8", help="of the input, such as latin-1 (default: utf-8)")
    add("--to", choices=["conll", "jsonl", "html"], default="jsonl")
    add("--output", metavar="PATH", default=STREAM, help="where to write")
    add("--output-dir", metavar="DIR", help="one file for each input; those there are skipped")
    add("--shard", metavar="I/N", help="with --output-dir, every Nth input from the Ith on")
    add("--engine", choices=["here", "ray"], default="here", help="what shares out the inputs")
    add("--workers", type=int, metavar="N", help="of Ray, each with the model in it")
    add("--alternatives", type=int, default=0, metavar="K", help="give K readings; jsonl only")
    add_loading_arguments(parser)
    add("--processes", type=int, default=1, metavar="N", help="tag in so many processes")
    add("--skip-bad", action="store_true", help="leave out bad lines and go on")
    add("--quiet", action="store_true", help="no progress, no summary")


def run(arguments: argparse.Namespace) -> int:
    """Tag one stream, or each file into a file of its own."""
    _check(arguments)
    paths = expand(arguments.input or [STREAM])
    kinds = {kind_of(path, arguments) for path in paths}
    shards = shards_of(arguments, paths) if arguments.output_dir else None
    if shards is None:
        _check_near(arguments, paths)
    if arguments.engine == "ray":
        from ner.cli.tag_ray import tag_on_ray

        _warn(tag_on_ray(arguments, shards or ()), arguments)
        return 0
    with _workers(arguments) as workers:
        tagger = None if workers else loaded_either(arguments)
        if kinds != {"jsonl"} and not arguments.quiet:
            _warn_of_columns(workers or tagger)
        if shards is None:
            job = Job.of(tagger, arguments, paths, workers)
            job.run(arguments.output)
            _warn([job.skipped()], arguments)
        for shard in shards or ():
            _warn([tag_shard(tagger, arguments, shard, workers).skipped()], arguments)
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
    """The other processes, if there are to be any."""
    if arguments.processes == 1:
        return nullcontext()
    from ner.cli.tag_processes import Workers

    return Workers(arguments)


def _check(arguments: argparse.Namespace) -> None:
    check_loading(arguments)
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


def _check_near(arguments: argparse.Namespace, paths: Sequence[str]) -> None:
    """Refuse addresses of files elsewhere, which are fetched and stored as a whole, one by one."""
    for path in (*paths, arguments.output):
        if is_remote(path):
            raise ConfigError(f"{path}: addresses go with --output-dir")


def tag_shard(
    tagger: Tagger | ExportedTagger | None,
    arguments: argparse.Namespace,
    shard: Shard,
    workers: Workers | None = None,
) -> Job:
    """Tag a file into one of its own, wherever they are."""
    with nearby(shard.path, shard.target) as (path, target):
        job = Job.of(tagger, arguments, [path], workers)
        job.run(target)
    return job


@dataclass(slots=True)
class Job:
    """Some sources tagged into one target.

    Attributes:
        tagger: What tags; where that is for others to do, it is loaded when it is needed after all.
    """

    tagger: Tagger | ExportedTagger | None
    arguments: argparse.Namespace
    sources: list[Source]
    workers: Workers | None = None
    sentences: int = 0
    tokens: int = 0

    @classmethod
    def of(
        cls,
        tagger: Tagger | ExportedTagger | None,
        arguments: argparse.Namespace,
        paths: Sequence[str],
        workers: Workers | None = None,
    ) -> Job:
        """The job of tagging some files."""
        from ner.streaming.source import Source

        skip, encoding = arguments.skip_bad, arguments.encoding
        tokenizer = tokenizer_of(arguments)
        sources = [Source(path, skip, tokenizer, encoding) for path in paths]
        return cls(tagger, arguments, sources, workers)

    def skipped(self) -> str:
        """What was left out, or nothing."""
        return "; ".join(source.told() for source in self.sources if source.skipped)

    def run(self, target: str) -> None:
        """Read, tag and write."""
        from ner.streaming.writers import WRITERS

        shown = target == STREAM and sys.stdout.isatty()  # a bar would be drawn between the lines
        progress = Progress(quiet=self.arguments.quiet or shown)
        began = time.perf_counter()
        self._invite()
        with _opened(target) as file, progress.bar(None, "tagging", "tokens") as done:
            writer = WRITERS[self.arguments.to](file)
            for source in self.sources:
                self._read(source, writer, done)
            writer.end()
        took = max(time.perf_counter() - began, 1e-9)
        if not self.arguments.quiet:
            rate = f"{self.tokens / took:,.0f} tokens/s"
            counts = f"{self.sentences:,} sentences, {self.tokens:,} tokens"
            note(f"{counts}, {took:,.1f} s, {rate}")

    def _invite(self) -> None:
        """Say that the input is to be typed, which looks as if nothing happened."""
        typed = any(source.path == STREAM for source in self.sources) and sys.stdin.isatty()
        if typed and not self.arguments.quiet:
            note("reading standard input; Ctrl-D ends it")

    def _read(self, source: Source, writer: JsonlWriter, done: Step) -> None:
        from ner.streaming.readers import READERS, UnboundedSentence
        from ner.streaming.source import Idle

        kind = kind_of(source.path, self.arguments)
        parts = chunks(READERS[kind](source))
        for part in parts if self.workers is None else self.workers.tagged(parts):
            if isinstance(part, list):
                done(self.tag(part, writer))
            elif isinstance(part, Idle):
                writer.file.flush()
            elif isinstance(part, UnboundedSentence):
                self._stream(part, writer, done)
            else:
                writer.file.write(part.text)
                self.sentences += part.sentences
                self.tokens += part.tokens
                done(part.tokens)

    def tag(self, items: list[str | TagRequest], writer: JsonlWriter) -> int:
        """Tag some sentences and write them, the lines between them at their places."""
        from ner.streaming.writers import Tagged

        sentences = [item.sentence for item in items if not isinstance(item, str)]
        tagger, count = self._loaded(), self.arguments.alternatives
        found = iter(tagger.predict(sentences))
        readings = iter(tagger.alternatives(sentences, count) if count else ())
        for item in items:
            if isinstance(item, str):
                writer.aside(item)
            else:
                writer.write(
                    Tagged(item.sentence, next(found), item.lines, item.extra, next(readings, ()))
                )
        tokens = sum(map(len, sentences))
        self.sentences += len(sentences)
        self.tokens += tokens
        return tokens

    def _loaded(self) -> Tagger | ExportedTagger:
        if self.tagger is None:
            self.tagger = loaded_either(self.arguments)
        return self.tagger

    def _stream(self, endless: UnboundedSentence, writer: JsonlWriter, done: Step) -> None:
        """Tag a sentence that is too long to be held."""
        from ner.sentence import Sentence
        from ner.streaming.writers import Tagged

        for tokens, spans in self._loaded().stream(endless.tokens()):
            lines = [endless.waiting.popleft() for _ in tokens]
            writer.write(Tagged(Sentence(tokens), spans, lines, ends=False))
            self.tokens += len(tokens)
            done(len(tokens))
        self.sentences += 1


def chunks(items: Iterable[Item]) -> Iterator[list[str | TagRequest] | UnboundedSentence | Idle]:
    """The items, some thousand tokens at a time, or those before a time in which none come.

    What is too long to be held comes by itself.
    """
    from ner.streaming.readers import UnboundedSentence
    from ner.streaming.source import Idle

    some: list[str | TagRequest] = []
    size = 0
    for item in items:
        if isinstance(item, UnboundedSentence | Idle):
            if some:
                yield some
            yield item
            some, size = [], 0
            continue
        some.append(item)
        size += 1 if isinstance(item, str) else len(item.sentence)
        if size >= CHUNK:
            yield some
            some, size = [], 0
    yield some


@contextmanager
def _opened(path: str) -> Iterator[IO[Any]]:
    """Where the output goes: compressed as its ending says, as inputs are."""
    if path == STREAM:
        yield sys.stdout
        return
    from ner.formats.lines import compressing
    from ner.storage.atomic import atomic_write

    with atomic_write(Path(path), "wb") as file, compressing(file, path) as packed:
        text = TextIOWrapper(packed, encoding="utf-8", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            text.detach()


def kind_of(path: str, arguments: argparse.Namespace) -> str:
    """What an input is: as the arguments say, or by its ending.

    Raises:
        ConfigError: It is in a format that is not tagged as a stream.
    """
    if arguments.source is not None:
        return str(arguments.source)
    name = bare(path)
    if path == STREAM or name.suffix.lower() in ("", ".txt"):
        return "text"
    from ner.formats import format_by_ending

    kind = format_by_ending(name)
    if kind in KINDS:
        return kind
    told = "is of no kind by its ending; name it .txt, .conll or .jsonl"
    if kind is not None:
        told = f"is {kind} by its ending; make conll or jsonl of it with `ner convert`"
    raise ConfigError(f"{path}: {told}, or say what it is by --from {', '.join(KINDS)}")
