"""The work of ``ner tag``: its inputs and outputs, and the tagging of a stream."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from ner.cli.arguments import load_tagger, tokenizer_of
from ner.cli.console import STREAM, Advance, Progress, counted, note
from ner.errors import ConfigError
from ner.storage.addresses import exists, is_remote, joined, nearby

if TYPE_CHECKING:
    from ner.runtime import ExportedTagger
    from ner.streaming.readers import Idle, Item, Source, TagRequest, UnboundedSentence
    from ner.streaming.writers import JsonlWriter
    from ner.tagger import Tagger

KINDS = ("text", "conll", "jsonl")  # of input; the readers of ner.streaming.readers
TARGETS = ("conll", "jsonl", "html")  # of output; the writers of ner.streaming.writers
CHUNK = 20_000  # tokens tagged at a time, and at least one sentence
PACKED = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True, slots=True)
class Shard:
    """A file to tag, and its output, which appears only when it is complete."""

    path: str
    target: str


def shards_of(arguments: argparse.Namespace, paths: list[str]) -> list[Shard]:
    """Return the shards that this machine has yet to tag.

    Raises:
        ConfigError: The arguments do not fit together.
    """
    if STREAM in paths or arguments.output != STREAM:
        raise ConfigError("--output-dir needs input files, and cannot be used with --output")
    names = [f"{bare(path).stem}.{arguments.to}" for path in paths]
    if len(set(names)) < len(names):
        raise ConfigError("--output-dir: two inputs have the same name")
    if not is_remote(arguments.output_dir):
        Path(arguments.output_dir).mkdir(parents=True, exist_ok=True)
    shards = [
        Shard(path, joined(arguments.output_dir, name))
        for path, name in zip(paths, names, strict=True)
    ]
    inputs = {_place(path) for path in paths}
    for shard in shards:
        if _place(shard.target) in inputs:
            raise ConfigError(f"--output-dir: {shard.target} is an input; name another folder")
    first, count = _share(arguments.shard or "1/1")
    return [shard for shard in shards[first - 1 :: count] if not exists(shard.target)]


def bare(path: str) -> Path:
    """Return a path without the extension of its compression."""
    name = Path(path.partition("?")[0] if is_remote(path) else path)
    return name.with_suffix("") if name.suffix.lower() in PACKED else name


def _place(path: str) -> str:
    """Return a canonical path of a file."""
    return path if is_remote(path) else os.path.realpath(path)


def _share(text: str) -> tuple[int, int]:
    first, slash, count = text.partition("/")
    if slash and first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count):
        return int(first), int(count)
    raise ConfigError(f"--shard must be I/N with 1 <= I <= N, got {text!r}")


def summarise(
    arguments: argparse.Namespace, tagged: int, inputs: int, tokens: int, began: float
) -> None:
    """Report how many of the inputs were tagged into ``--output-dir``, and how fast."""
    if arguments.quiet:
        return
    left, seconds = inputs - tagged, max(time.perf_counter() - began, 1e-9)
    others = f" ({left:,} more exist already or belong to other shards)" if left else ""
    note(
        f"{arguments.output_dir}: {counted(tagged, 'file')}{others}, {counted(tokens, 'token')}, "
        f"{seconds:,.1f} s, {tokens / seconds:,.0f} tokens/s"
    )


class Written(NamedTuple):
    """The output for one part of a stream, and how much was tagged."""

    text: str
    sentences: int
    tokens: int


class Pool(Protocol):
    """A pool of workers that tag parts of a stream."""

    def tagged(
        self, parts: Iterable[list[str | TagRequest] | UnboundedSentence | Idle]
    ) -> Iterator[Written | UnboundedSentence | Idle]:
        """Yield the outcome of each part, in order; parts without text are passed through."""


def tag_shard(
    tagger: Tagger | ExportedTagger | None,
    arguments: argparse.Namespace,
    shard: Shard,
    pool: Pool | None = None,
) -> Job:
    """Tag a file into its own output file, local or remote."""
    with nearby(shard.path, shard.target) as (path, target):
        job = Job.of(tagger, arguments, [path], pool)
        job.run(target)
    return job


@dataclass(slots=True)
class Job:
    """Tagging of sources into one target.

    Attributes:
        tagger: The tagger; with worker processes it is loaded only if needed.
    """

    tagger: Tagger | ExportedTagger | None
    arguments: argparse.Namespace
    sources: list[Source]
    pool: Pool | None = None
    sentences: int = 0
    tokens: int = 0

    @classmethod
    def of(
        cls,
        tagger: Tagger | ExportedTagger | None,
        arguments: argparse.Namespace,
        paths: Sequence[str],
        pool: Pool | None = None,
    ) -> Job:
        """Return the job of tagging files."""
        from ner.streaming.readers import Source

        skip, encoding = arguments.skip_bad, arguments.encoding
        tokenizer = tokenizer_of(arguments, tagger)
        sources = [Source(path, skip, tokenizer, encoding) for path in paths]
        return cls(tagger, arguments, sources, pool)

    def skipped(self) -> str:
        """Describe what was skipped, or return nothing."""
        return "; ".join(source.report() for source in self.sources if source.skipped)

    def run(self, target: str) -> None:
        """Read, tag and write."""
        from ner.streaming.writers import WRITERS

        # a progress bar would be drawn between the lines
        shown = target == STREAM and sys.stdout.isatty()
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
            counts = f"{counted(self.sentences, 'sentence')}, {counted(self.tokens, 'token')}"
            note(f"{counts}, {took:,.1f} s, {rate}{self._tokenizer()}")

    def _tokenizer(self) -> str:
        """Name the tokenizer, if texts were tokenized."""
        cut = [one for one in self.sources if kind_of(one.path, self.arguments) != "conll"]
        return f"; tokenizer: {cut[0].tokenizer}" if cut else ""

    def _invite(self) -> None:
        """Prompt for input on a terminal, where waiting would look like a hang."""
        typed = any(source.path == STREAM for source in self.sources) and sys.stdin.isatty()
        if typed and not self.arguments.quiet:
            note("reading standard input; Ctrl-D ends it")

    def _read(self, source: Source, writer: JsonlWriter, done: Advance) -> None:
        from ner.streaming.readers import READERS, Idle, UnboundedSentence

        kind = kind_of(source.path, self.arguments)
        parts = chunks(READERS[kind](source))
        for part in parts if self.pool is None else self.pool.tagged(parts):
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
        """Tag sentences and write them, with the lines between them in place."""
        from ner.streaming.writers import Tagged
        from ner.texts import Parts, predict_parts

        requests = [item for item in items if not isinstance(item, str)]
        sentences = [request.sentence for request in requests]
        tagger, count = self._loaded(), self.arguments.alternatives
        split = self.arguments.split and not count
        parts = [
            Parts.of(one.sentence, split=split and "tokens" not in one.extra) for one in requests
        ]
        found = iter(predict_parts(tagger.predict, parts))
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
            self.tagger = load_tagger(self.arguments)
        return self.tagger

    def _stream(self, endless: UnboundedSentence, writer: JsonlWriter, done: Advance) -> None:
        """Tag a sentence that is too long to be held in memory."""
        from ner.sentence import Sentence
        from ner.streaming.writers import Tagged

        for tokens, spans in self._loaded().stream(endless.tokens()):
            lines = [endless.waiting.popleft() for _ in tokens]
            writer.write(Tagged(Sentence(tokens), spans, lines, ends=False))
            self.tokens += len(tokens)
            done(len(tokens))
        self.sentences += 1


def chunks(items: Iterable[Item]) -> Iterator[list[str | TagRequest] | UnboundedSentence | Idle]:
    """Group items by some thousand tokens, or up to a pause of the input.

    A sentence too long to be held comes by itself.
    """
    from ner.streaming.readers import Idle, UnboundedSentence

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
    """Open the output, compressed if its extension says so, as for inputs."""
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
    """Return the format of an input: as given, or by its extension.

    Raises:
        ConfigError: The format cannot be tagged as a stream.
    """
    if arguments.source is not None:
        return str(arguments.source)
    name = bare(path)
    if path == STREAM:
        return "text"
    if name.suffix.lower() in ("", ".txt"):
        _refuse_columns(path)
        return "text"
    from ner.formats import format_by_ending

    kind = format_by_ending(name)
    if kind in KINDS:
        return kind
    if kind is not None:
        raise ConfigError(f"{path}: cannot tag {kind} files; convert it with `ner convert` first")
    raise ConfigError(
        f"cannot infer the format of {path} from its extension; pass --from {', '.join(KINDS)}"
    )


def _refuse_columns(path: str) -> None:
    """Refuse to take columns for prose.

    Raises:
        ConfigError: The file looks like columns of tokens and tags.
    """
    from ner.formats.advice import looks_like_columns

    if Path(path).is_file() and (shown := looks_like_columns(path)):
        raise ConfigError(
            f"{path} looks like CoNLL ({shown!r}); pass --from conll, or --from text to tag it as "
            "prose"
        )


def target_of(path: str) -> str:
    """Return the format of an output, by its extension; JSON lines without one.

    Raises:
        ConfigError: The extension is unknown or that of another format.
    """
    from ner.formats import ending_of, format_by_ending

    ending = ending_of(path)
    if ending == ".json":
        raise ConfigError(
            f"{path}: the extension of JSON lines is .jsonl; use it, or pass --to jsonl"
        )
    kind = "html" if ending in (".html", ".htm") else format_by_ending(path)
    if path == STREAM or not ending:
        return "jsonl"
    if kind not in TARGETS:
        raise ConfigError(
            f"cannot infer the format of {path} from its extension; pass --to {', '.join(TARGETS)}"
        )
    return str(kind)
