"""``ner tag --processes N``: parts of a stream tagged by several processes, their order kept."""

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
    """Processes that each hold the model. They end with the block, or with their parent.

    All of them load it at once, and their parent not at all: it reads and writes.

    Args:
        arguments: Those of ``ner tag``.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.count: int = arguments.processes
        self._pool = ProcessPoolExecutor(
            self.count, multiprocessing.get_context("spawn"), _begin, (arguments,)
        )
        # a process is started for whatever is submitted while none is idle
        self._columns = [self._pool.submit(_columns) for _ in range(self.count)]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that the model looks at, as soon as it is loaded.

        Raises:
            Exception: It could not be loaded.
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
        """What becomes of each part, in their order; what is none to tag here is given back.

        Raises:
            MemoryError: A process was ended from outside, as the system does for want of memory.
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
        """The results of the oldest parts, until so many are left."""
        while len(waiting) > leave:
            yield self._result(waiting.popleft())

    def _result(self, future: Future[Some]) -> Some:
        with self._telling():
            return future.result()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in words that a process has ended, whether this comes out by asking or by giving."""
        try:
            yield
        except BrokenProcessPool:
            raise MemoryError(
                "a tagging process has ended; is there memory for --processes "
                f"{self.count}, each with its own copy of the model?"
            ) from None


class _Worker:
    """What a process holds: the tagger, and a place to write to."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tagger = loaded_either(arguments)
        self.job = Job(self.tagger, arguments, [])
        self.file = StringIO()
        self.writer = WRITERS[arguments.to](self.file)

    def tag(self, items: list[str | TagRequest]) -> Written:
        self.file.seek(0)
        self.file.truncate()  # what a writer begins with is the parent's to write
        before = self.job.sentences
        tokens = self.job.tag(items, self.writer)
        return Written(self.file.getvalue(), self.job.sentences - before, tokens)


_worker: _Worker | Exception | None = None  # or why there is none


def _begin(arguments: argparse.Namespace) -> None:
    """Make ready a process."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        _worker = _Worker(arguments)
    except Exception as error:  # the pool would print a traceback for each process
        _worker = error


def _end_with(sentinel: int) -> None:
    """End this process when that of the sentinel has ended, however it did."""
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
