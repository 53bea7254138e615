"""``ner tag --processes N``: tag parts of a stream in several processes, in order."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from io import StringIO
from multiprocessing.connection import wait
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

from ner.cli.loading import loaded_either
from ner.cli.tag_job import Job, Written
from ner.streaming.readers import Idle, TagRequest, UnboundedSentence
from ner.streaming.writers import WRITERS

Some = TypeVar("Some")
AHEAD = 2  # parts waiting for each process, so that none is idle and memory stays flat


class Workers:
    """Worker processes, each with the model. They end with the block, or with their parent.

    All of them load the model at once; their parent does not, it reads and writes.

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
        """Return the names of the columns that the model reads, once it is loaded.

        Raises:
            Exception: The model could not be loaded.
            MemoryError: As for ``tagged``.
        """
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
                "a tagging process has ended; is there memory for --processes "
                f"{self.count}, each with its own copy of the model?"
            ) from None


class _Worker:
    """The state of a process: the tagger, and a folder to write to."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tagger = loaded_either(arguments)
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
