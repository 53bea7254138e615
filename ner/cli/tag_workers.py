"""Several workers for ``ner tag``: processes of this machine, or those of a Ray cluster.

``--processes N`` tags parts of a stream in several processes, in order. ``--engine ray`` keeps a
pool of workers, each with the tagger, and gives every shard to one of them, and to another if that
one is lost. A shard is read, tagged and written by one worker as it is without Ray: in order, in
constant memory, and under its name only once it is complete.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from io import StringIO
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

from ner.cli.arguments import load_tagger
from ner.cli.console import Progress
from ner.cli.tag_job import Job, Shard, Written, tag_shard
from ner.errors import ConfigError
from ner.storage.addresses import exists
from ner.streaming.readers import Idle, TagRequest, UnboundedSentence
from ner.streaming.writers import WRITERS

Some = TypeVar("Some")
AHEAD = 2  # parts waiting for each process, so that none is idle and memory stays flat


class Workers:
    """Worker processes, each with the model. They end with the block, or with their parent.

    They load the model at the same time; their parent only reads and writes.

    Args:
        arguments: Those of ``ner tag``.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.count: int = arguments.processes
        self._pool = ProcessPoolExecutor(
            self.count, multiprocessing.get_context("spawn"), _begin, (arguments,)
        )
        # a process is started for each job submitted while none is idle
        self._columns = [self._pool.submit(_columns) for _ in range(self.count)]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that the model reads, once it is loaded."""
        return self._result(self._columns[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=error is None, cancel_futures=True)

    def tagged(
        self, parts: Iterable[list[str | TagRequest] | UnboundedSentence | Idle]
    ) -> Iterator[Written | UnboundedSentence | Idle]:
        """Yield the outcome of each part, in order; parts with nothing to tag are passed through.

        Raises:
            MemoryError: A process was killed, as the system does when memory runs out.
        """
        waiting: deque[Future[Written]] = deque()
        for part in parts:
            if isinstance(part, UnboundedSentence | Idle):  # what was read before it comes first
                yield from self._results(waiting, leave=0)
                yield part
            else:
                with self._telling():
                    waiting.append(self._pool.submit(_tag, part))
                yield from self._results(waiting, leave=AHEAD * self.count)
        yield from self._results(waiting, leave=0)

    def _results(self, waiting: deque[Future[Written]], *, leave: int) -> Iterator[Written]:
        """Yield the results of the oldest parts until ``leave`` are left."""
        while len(waiting) > leave:
            yield self._result(waiting.popleft())

    def _result(self, future: Future[Some]) -> Some:
        with self._telling():
            return future.result()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn the failure of a process into a clear error, on submitting and on waiting."""
        try:
            yield
        except BrokenProcessPool:
            raise MemoryError(
                "a tagging process has ended; is there enough memory for --processes "
                f"{self.count}, each with its own copy of the model?"
            ) from None


class _Worker:
    """The state of a process: the tagger, and a buffer to write to."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tagger = load_tagger(arguments)
        self.job = Job(self.tagger, arguments, [])
        self.file = StringIO()
        self.writer = WRITERS[arguments.to](self.file)

    def tag(self, items: list[str | TagRequest]) -> Written:
        self.file.seek(0)
        self.file.truncate()  # the parent writes the head of the output
        before = self.job.sentences
        tokens = self.job.tag(items, self.writer)
        return Written(self.file.getvalue(), self.job.sentences - before, tokens)


_worker: _Worker | Exception | None = None  # or the error that prevented it


def _begin(arguments: argparse.Namespace) -> None:
    """Initialise a process."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        _worker = _Worker(arguments)
    except Exception as error:  # the pool would print a traceback for each process
        _worker = error


def _end_with(sentinel: int) -> None:
    """End this process when that of the sentinel has ended, for whatever reason."""
    wait([sentinel])
    os._exit(1)


def _ready() -> _Worker:
    assert _worker is not None, "a process begins before it tags"
    if isinstance(_worker, Exception):
        raise _worker
    return _worker


def _columns() -> tuple[str, ...]:
    return _ready().tagger.columns


def _tag(items: list[str | TagRequest]) -> Written:
    return _ready().tag(items)


SHOWN = 5  # failed shards that are named


class Worker:
    """A tagger in a process of its own; made once, then called for each shard.

    Args:
        files: Where Ray keeps the files of the model, by name.
        arguments: Those of ``ner tag``.
    """

    def __init__(self, files: Any, arguments: argparse.Namespace) -> None:
        import ray

        self._arguments = arguments
        with tempfile.TemporaryDirectory() as folder:
            for name, content in ray.get(files).items():
                (Path(folder) / name).write_bytes(content)
            own = argparse.Namespace(**{**vars(arguments), "model": folder})
            self._tagger = load_tagger(own)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Tag a shard and return its number of tokens, or the error."""
        outcome = {"path": row["path"], "tokens": 0, "skipped": "", "error": ""}
        if exists(row["target"]):  # a worker was lost after it had written this
            return outcome
        try:
            job = tag_shard(self._tagger, self._arguments, Shard(row["path"], row["target"]))
        except (ValueError, OSError) as error:
            return {**outcome, "error": str(error)}
        return {**outcome, "tokens": job.tokens, "skipped": job.skipped()}


def tag_on_ray(arguments: argparse.Namespace, shards: Sequence[Shard]) -> tuple[list[str], int]:
    """Tag shards on a cluster, or in several processes of this machine if there is none.

    Returns:
        The malformed lines skipped in each shard that has any; the tokens of all shards.

    Raises:
        ConfigError: Ray is not installed, or some shards could not be tagged; the others are.
    """
    if not shards:
        return [], 0
    load_tagger(arguments)  # any error is reported once, and before workers start
    files = {one.name: one.read_bytes() for one in Path(arguments.model).iterdir() if one.is_file()}
    progress = Progress(quiet=arguments.quiet)
    rows = []
    with _cluster(arguments) as ray, progress.bar(len(shards), "tagging", "files") as done:
        for row in _tagged(ray, ray.put(files), arguments, shards):
            rows.append(row)
            done(1)
    failed = [row["error"] for row in rows if row["error"]]
    if failed:
        listed = "; ".join(failed[:SHOWN])
        raise ConfigError(f"{len(failed)} of {len(shards)} files could not be tagged: {listed}")
    skipped = [row["skipped"] for row in rows if row["skipped"]]
    return skipped, sum(row["tokens"] for row in rows)


def _tagged(
    ray: Any, files: Any, arguments: argparse.Namespace, shards: Sequence[Shard]
) -> Iterable[dict[str, Any]]:
    """Return the outcome of each shard as workers finish."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    rows = [{"path": shard.path, "target": shard.target} for shard in shards]
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Worker,
        fn_constructor_args=(files, arguments),
        num_cpus=arguments.threads,
        num_gpus=_gpus(ray, arguments),
        compute=ray.data.ActorPoolStrategy(size=min(_workers(ray, arguments), len(rows))),
    )
    found: Iterable[dict[str, Any]] = outcomes.iter_rows()
    return found


def _gpus(ray: Any, arguments: argparse.Namespace) -> int | None:
    """Return the number of GPUs of a worker; for ``auto``, one if the cluster has any."""
    if arguments.device == "auto":
        return 1 if ray.cluster_resources().get("GPU") else None
    return None if arguments.device == "cpu" else 1


def _workers(ray: Any, arguments: argparse.Namespace) -> int:
    """Return the number of workers: by default as many as the cluster has processors for."""
    cpus = int(ray.cluster_resources().get("CPU", 1))
    return int(arguments.workers or max(1, cpus // arguments.threads))


@contextmanager
def _cluster(arguments: argparse.Namespace) -> Iterator[Any]:
    """Connect to the Ray cluster of ``RAY_ADDRESS``, or to one that ends with the block.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # otherwise Ray reports usage statistics
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ConfigError(f"--engine ray needs {error.name}: pip install 'ner-crf[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        try:
            if "RAY_ADDRESS" in os.environ:
                ray.init(**quiet)
            else:
                count = (arguments.workers or os.cpu_count() or 1) * arguments.threads
                ray.init(
                    "local", num_cpus=count, include_dashboard=False, _temp_dir=folder, **quiet
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"cannot use Ray: {str(error).splitlines()[0]}") from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        try:
            yield ray
        finally:
            ray.shutdown()
