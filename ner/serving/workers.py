"""The workers of the server: a thread that tags, and a process that runs spaCy's tokenizer.

The thread tags all waiting requests, in batches of bounded size (dynamic batching). spaCy's
tokenizer takes quadratic time on some texts (a run of `$` or of emoji) and blocks its process
meanwhile, so it has a process of its own, which is killed when it takes too long.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Condition, Thread
from typing import TYPE_CHECKING

from ner.analysis.alternatives import ClampedEngine
from ner.errors import ConfigError
from ner.sentence import Sentence, Span
from ner.serving.middleware import Metrics
from ner.serving.request import Limits, RefusedError, TagBody, parts_of
from ner.streaming.tokenizers import BUILTIN, SpacyTokenizer, TextTokenizer, text_tokenizer
from ner.streaming.writers import Tagged, as_record
from ner.texts import Parts, predict_parts
from ner.tokenizer import Offsets

if TYPE_CHECKING:
    from ner.runtime import ExportedTagger
    from ner.tagger import Tagger


BATCH = 4096  # tokens tagged together, possibly exceeded by one sentence
LONG = BATCH  # characters of a text or tokens of a sentence above which it is tagged alone
SHARE = 256  # the least tokens of a batch that a request gets at its turn

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Pending:
    """A request in progress.

    Attributes:
        sentences: The sentences still to be tagged.
        min_score: The minimum probability of spans.
        records: The results so far, as JSON.
        answer: The future of all results, or of an error.
    """

    parts: Iterator[Parts]
    min_score: float = 0.0
    records: list[bytes] = field(default_factory=list)
    answer: Future[list[bytes]] = field(default_factory=Future)

    def fail(self, error: Exception) -> None:
        """Fail; the client may have disconnected already."""
        if not self.answer.done() and self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)

    def finish(self) -> None:
        """Complete the future with the records."""
        if not self.answer.done() and self.answer.set_running_or_notify_cancel():
            self.answer.set_result(self.records)


# a request, some of its texts or sentences, and whether these are the last
Share = tuple[Pending, list[Parts], bool]


class Batcher:
    """Tags the sentences of several requests together, in one thread.

    Requests take turns: a share of a long one is tagged with the shares of others, so that a short
    one waits for a batch or two, never for all of a long one. A request with a long sentence, which
    takes seconds, is tagged alone: one after each batch of the others, so that nobody waits for
    more than one of them. A batch never waits for more requests: they gather while the last is
    tagged.

    Args:
        tagger: The tagger, used by this thread only.
        limits: The limits of requests.
        metrics: The metrics to update.
    """

    def __init__(self, tagger: Tagger | ExportedTagger, limits: Limits, metrics: Metrics) -> None:
        self._tagger, self._limits, self._metrics = tagger, limits, metrics
        self._waiting: deque[Pending] = deque()
        self._long: deque[Pending] = deque()
        self._changed = Condition()
        self._closing = False
        self._builtin = text_tokenizer(BUILTIN)
        self._thread = Thread(target=self._run, name="ner-tagging", daemon=True)

    def __len__(self) -> int:
        """Return the number of waiting requests."""
        return len(self._waiting) + len(self._long)

    @property
    def alive(self) -> bool:
        """Return whether the thread is running."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        """Accept no more requests, tag the waiting ones, and end.

        Args:
            seconds: How long to wait for the end; ``None`` for as long as it takes.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def submit(self, asked: TagBody, cut: TextTokenizer | None = None) -> Future[list[bytes]]:
        """Submit a request; return the future of its records as JSON, which may be cancelled.

        Args:
            asked: The request.
            cut: The tokenizer of its texts; by default the built-in one.

        Raises:
            RefusedError: The server is shutting down.
        """
        parts = parts_of(asked, cut or self._builtin, self._limits)
        pending = Pending(parts, asked.min_score)
        with self._changed:
            if self._closing:
                raise RefusedError(503, "the server is shutting down")
            long = max(map(len, asked.items()), default=0) > LONG
            (self._long if long else self._waiting).append(pending)
            self._changed.notify()
        return pending.answer

    def _run(self) -> None:
        while True:
            with self._changed:
                while not len(self) and not self._closing:
                    self._changed.wait()
                if not len(self):
                    return
            self._step(self._waiting)
            self._step(self._long, most=1)

    def _step(self, queue: deque[Pending], most: int = BATCH) -> None:
        """Tag shares of the requests of a queue, until they have ``most`` tokens or more."""
        shares: list[Share] = []
        tokens, turn = 0, len(queue)
        for _ in range(turn):
            pending = queue.popleft()
            share = self._take(pending, max(SHARE, BATCH // turn))
            if share is None:
                continue
            shares.append(share)
            tokens += sum(len(own.whole) for own in share[1])
            if tokens >= most:
                break
        if not shares:
            return
        try:
            self._tag(shares)
        except Exception:
            log.exception("a batch could not be tagged; tagging each request alone")
            for share in shares:
                self._tag_alone(share)
        self._metrics.batch(tokens)
        queue.extend(pending for pending, _, last in shares if not last)

    def _take(self, pending: Pending, size: int) -> Share | None:
        """Return the next texts of a request, about ``size`` tokens; ``None`` if it is over."""
        if pending.answer.done():  # cancelled, here or by the client
            return None
        some: list[Parts] = []
        tokens = 0
        try:
            for own in pending.parts:
                some.append(own)
                tokens += len(own.whole) + 1  # so that empty sentences count, too
                if tokens >= size:
                    return pending, some, False
        except Exception as error:
            pending.fail(error)
            return None
        return pending, some, True

    def _tag(self, shares: list[Share]) -> None:
        found = iter(predict_parts(self._predict, [own for _, some, _ in shares for own in some]))
        written = [
            [_record(own.whole, next(found), pending.min_score) for own in some]
            for pending, some, _ in shares
        ]
        for (pending, some, last), records in zip(shares, written, strict=True):
            pending.records += records
            self._metrics.tagged(len(some), sum(len(own.whole) for own in some))
            if last:
                pending.finish()

    def _predict(self, sentences: list[Sentence]) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence; given ones are among them."""
        if all(one.spans is None for one in sentences):
            return self._tagger.predict(sentences)
        free = iter(self._tagger.predict([one for one in sentences if one.spans is None]))
        bound = [one for one in sentences if one.spans is not None]
        engine = ClampedEngine(self._tagger, self._tagger.decoding)
        around = iter(engine.predict(bound))
        each = [next(free if one.spans is None else around) for one in sentences]
        # a sentence that is given as a whole has nothing left to find
        return [
            found if one.unknown or one.spans is None else one.spans
            for one, found in zip(sentences, each, strict=True)
        ]

    def _tag_alone(self, share: Share) -> None:
        try:
            self._tag([share])
        except Exception as error:
            share[0].fail(error)


def _record(sentence: Sentence, spans: tuple[Span, ...], min_score: float) -> bytes:
    """Return a result in the format of ``ner tag --to jsonl``, without improbable spans."""
    kept = tuple(span for span in spans if span.score is None or span.score >= min_score)
    record = as_record(Tagged(sentence, kept))
    if len(sentence) > LONG:  # in steps, between which other threads can run
        return "".join(json.JSONEncoder(ensure_ascii=False).iterencode(record)).encode()
    return json.dumps(record, ensure_ascii=False).encode()


START = 120.0  # seconds within which the process must start
LANGUAGES = 8  # whose tokenizers are cached


class SpacyWorker:
    """Tokenizes texts with spaCy, request by request.

    Args:
        seconds: The time limit for the texts of a request.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._closed = False
        self.thread = ThreadPoolExecutor(1, "ner-spacy")

    def tokenize(self, language: str, texts: Sequence[str]) -> list[Offsets]:
        """Return the tokens of each text; called in ``thread``.

        Raises:
            RefusedError: spaCy does not support the language, or timed out.
        """
        if self._connection is None:
            self._start()
        assert self._connection is not None, "it has been started"
        try:
            self._connection.send((language, texts))
            if not self._connection.poll(self._seconds):
                raise RefusedError(
                    503,
                    f"spaCy did not tokenize the texts within {self._seconds:g} s; "
                    "omit the language to use the built-in tokenizer",
                )
            found: list[Offsets] | str = self._connection.recv()
        except (EOFError, OSError):
            self.kill()
            raise RefusedError(503, "spaCy's process ended; try again later") from None
        except RefusedError:
            self.kill()
            raise
        if isinstance(found, str):
            raise RefusedError(422, f"language: {found}")
        return found

    def _start(self) -> None:
        if self._closed:
            raise RefusedError(503, "the server is shutting down")
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if not (self._connection.poll(START) and self._connection.recv()):
            self.kill()
            raise RefusedError(503, "spaCy's process did not start; try again later")

    def kill(self) -> None:
        """Kill the process; the next request starts another."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if process is not None:
            process.kill()
            process.join()
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Stop permanently."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()  # a request that waits for it is refused
        self.thread.shutdown(cancel_futures=True)
        self.kill()


def _work(connection: Connection) -> None:
    """Tokenize incoming texts until the connection closes."""
    import spacy  # noqa: F401 - before it reports that it runs, since importing takes seconds

    tokenizers = lru_cache(LANGUAGES)(SpacyTokenizer)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        connection.send(True)
        while True:
            language, texts = connection.recv()
            try:
                tokenizer = tokenizers(language)
            except ConfigError as error:
                connection.send(str(error))
                continue
            connection.send([tokenizer(text) for text in texts])
