"""spaCy's tokenizer in a process of its own, which is killed when it takes too long.

Its time is quadratic in the length of some texts (a run of `$` or of emoji), and it blocks its
process meanwhile.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from ner.errors import ConfigError
from ner.serving.limits import RefusedError
from ner.streaming.tokenizers import SpacyTokenizer
from ner.tokenizer import Offsets

START = 120.0  # seconds in which the process must have begun
LANGUAGES = 8  # whose tokenizers are kept


class SpacyWorker:
    """Tokenizes texts by spaCy, those of one request after those of another.

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
            RefusedError: spaCy does not know the language, or took too long.
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
                    "leave out the language for the built-in tokenizer",
                )
            found: list[Offsets] | str = self._connection.recv()
        except (EOFError, OSError):
            self.kill()
            raise RefusedError(503, "spaCy's process ended; come again") from None
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
            raise RefusedError(503, "spaCy's process did not start; come again")

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
            process.kill()  # whoever waits for it is refused
        self.thread.shutdown(cancel_futures=True)
        self.kill()


def _work(connection: Connection) -> None:
    """Tokenize incoming texts until the connection closes."""
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
