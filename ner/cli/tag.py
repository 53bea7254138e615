"""``ner tag``: find the entities in a stream of text, sentence by sentence."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ner.cli.console import Progress, Step
from ner.cli.loading import add_loading_arguments, check_loading, loaded_either
from ner.errors import ConfigError

if TYPE_CHECKING:
    from ner.cli.tag_processes import Workers
    from ner.inference.output import JsonlWriter
    from ner.inference.streams import Endless, Item, Source, Work
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger

EXAMPLE = """\
example:
  echo "Angela Merkel met Tim Cook in Berlin." | ner tag models/conll2003 --to jsonl
  ner tag models/conll2003 news.conll --to conll --output tagged.conll
  ner tag models/conll2003 'corpus/*.jsonl' --output-dir tagged --shard 1/4
  ner tag models/conll2003 news.conll --to conll --processes 8 > tagged.conll
"""
CHUNK = 20_000  # tokens tagged at a time, and at least one sentence
STREAM = "-"
PACKED = (".gz", ".bz2", ".xz", ".zst")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``ner tag`` takes."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model directory")
    add("input", metavar="INPUT", nargs="*", help="files or globs; - or none is standard input")
    add(
        "--from",
        dest="source",
        choices=["text", "conll", "jsonl"],
        help="what the input is; by its ending, else text",
    )
    add("--to", choices=["conll", "jsonl", "html"], default="jsonl")
    add("--output", metavar="PATH", default=STREAM, help="where to write")
    add("--output-dir", metavar="DIR", help="one file for each input; those there are skipped")
    add("--shard", metavar="I/N", help="with --output-dir, every Nth input from the Ith on")
    add("--alternatives", type=int, default=0, metavar="K", help="give K readings; jsonl only")
    add_loading_arguments(parser)
    add("--processes", type=int, default=1, metavar="N", help="tag in so many processes")
    add("--skip-bad", action="store_true", help="leave out bad lines and go on")
    add("--quiet", action="store_true", help="no progress, no summary")


def run(arguments: argparse.Namespace) -> int:
    """Tag one stream, or each file into a file of its own."""
    _check(arguments)
    jobs = list(_jobs(arguments))
    from ner.inference.streams import Source

    tagger = loaded_either(arguments)
    with _workers(arguments) as workers:
        for paths, target in jobs:
            sources = [Source(path, arguments.skip_bad, arguments.language) for path in paths]
            job = Job(tagger, arguments, sources, workers)
            job.run(target)
            for source in sources:
                if source.skipped and not arguments.quiet:
                    print(f"warning: left out: {source.told()}", file=sys.stderr)
    return 0


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
    if arguments.processes < 1:
        raise ConfigError(f"--processes must be at least 1, got {arguments.processes}")


def _jobs(arguments: argparse.Namespace) -> Iterator[tuple[list[str], str]]:
    """What is read together, and where it goes.

    Raises:
        ConfigError: The arguments do not go together.
    """
    from ner.formats.lines import expand

    paths = [str(path) for path in expand(arguments.input or [STREAM])]
    if not arguments.output_dir:
        yield paths, arguments.output
        return
    if STREAM in paths or arguments.output != STREAM:
        raise ConfigError("--output-dir takes files, and goes without --output")
    names = [f"{_bare(path).stem}.{arguments.to}" for path in paths]
    if len(set(names)) < len(names):
        raise ConfigError("--output-dir: two inputs have the same name")
    folder = Path(arguments.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    first, count = _shard(arguments.shard or "1/1")
    for path, name in list(zip(paths, names, strict=True))[first - 1 :: count]:
        target = folder / name
        if not target.exists():  # it takes its name only when it is whole
            yield [path], str(target)


def _shard(text: str) -> tuple[int, int]:
    first, slash, count = text.partition("/")
    if slash and first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count):
        return int(first), int(count)
    raise ConfigError(f"--shard is I/N with 1 <= I <= N, got {text!r}")


def _bare(path: str) -> Path:
    """A path without the ending of its compression."""
    name = Path(path)
    return name.with_suffix("") if name.suffix.lower() in PACKED else name


@dataclass(slots=True)
class Job:
    """Some sources tagged into one target."""

    tagger: Tagger | ExportedTagger
    arguments: argparse.Namespace
    sources: list[Source]
    workers: Workers | None = None
    sentences: int = 0
    tokens: int = 0

    def run(self, target: str) -> None:
        """Read, tag and write."""
        from ner.inference.output import WRITERS

        progress = Progress(quiet=self.arguments.quiet)
        began = time.perf_counter()
        with _opened(target) as file, progress.bar(None, "tagging", "tokens") as done:
            writer = WRITERS[self.arguments.to](file)
            for source in self.sources:
                self._read(source, writer, done)
            writer.end()
        took = max(time.perf_counter() - began, 1e-9)
        if not self.arguments.quiet:
            rate = f"{self.tokens / took:,.0f} tokens/s"
            counts = f"{self.sentences:,} sentences, {self.tokens:,} tokens"
            print(f"{counts}, {took:,.1f} s, {rate}", file=sys.stderr)

    def _read(self, source: Source, writer: JsonlWriter, done: Step) -> None:
        from ner.inference.streams import READERS, Endless

        kind = self.arguments.source or _guess(source.path)
        parts = chunks(READERS[kind](source))
        for part in parts if self.workers is None else self.workers.tagged(parts):
            if isinstance(part, list):
                done(self.tag(part, writer))
            elif isinstance(part, Endless):
                self._stream(part, writer, done)
            else:
                writer.file.write(part.text)
                self.sentences += part.sentences
                self.tokens += part.tokens
                done(part.tokens)

    def tag(self, items: list[str | Work], writer: JsonlWriter) -> int:
        """Tag some sentences and write them, the lines between them at their places."""
        from ner.inference.output import Tagged

        sentences = [item.sentence for item in items if not isinstance(item, str)]
        found = iter(self.tagger.predict(sentences))
        count = self.arguments.alternatives
        readings = iter(self.tagger.alternatives(sentences, count) if count else ())
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

    def _stream(self, endless: Endless, writer: JsonlWriter, done: Step) -> None:
        """Tag a sentence that is too long to be held."""
        from ner.inference.output import Tagged
        from ner.sentence import Sentence

        for tokens, spans in self.tagger.stream(endless.tokens()):
            lines = [endless.waiting.popleft() for _ in tokens]
            writer.write(Tagged(Sentence(tokens), spans, lines, ends=False))
            self.tokens += len(tokens)
            done(len(tokens))
        self.sentences += 1


def chunks(items: Iterable[Item]) -> Iterator[list[str | Work] | Endless]:
    """The items, some thousand tokens at a time; what is too long to be held, by itself."""
    from ner.inference.streams import Endless

    some: list[str | Work] = []
    size = 0
    for item in items:
        if isinstance(item, Endless):
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
    if path == STREAM:
        yield sys.stdout
        return
    from ner.storage import replacing

    with replacing(Path(path)) as file:
        yield file


def _guess(path: str) -> str:
    name = _bare(path)
    if path == STREAM or name.suffix.lower() in ("", ".txt"):
        return "text"
    return "jsonl" if name.suffix.lower() in (".jsonl", ".json", ".ndjson") else "conll"
