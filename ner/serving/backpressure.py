"""Who is let in: the names of this host, the requests at a time, the size and speed of bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from starlette.requests import ClientDisconnect, Request

from ner.serving.limits import Limits, RefusedError

GONE = 499  # what nginx logs of a client that left before its answer
JSON = "application/json"


class Backpressure:
    """Counts the requests to tag that are looked after, and the bytes of their bodies."""

    def __init__(self, limits: Limits) -> None:
        self.requests = 0
        self.held = 0
        self._limits = limits

    @contextmanager
    def one(self) -> Iterator[None]:
        """Let a request in while the block runs.

        Raises:
            RefusedError: There are too many.
        """
        if self.requests >= self._limits.requests:
            raise RefusedError(503, f"{self.requests:,} requests are being answered; come again")
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, its bytes counted while the block runs.

        Raises:
            RefusedError: It is no JSON by its headers, too long, or too slow.
        """
        _check_headers(request, self._limits)
        content = bytearray()
        try:
            try:
                async with asyncio.timeout(self._limits.arrival):
                    async for chunk in request.stream():
                        self._hold(chunk, content)
            except TimeoutError:
                seconds = self._limits.arrival
                raise RefusedError(408, f"the body did not come within {seconds:g} s") from None
            except ClientDisconnect:
                raise RefusedError(GONE, "the client left") from None
            yield bytes(content)
        finally:
            self.held -= len(content)

    def _hold(self, chunk: bytes, content: bytearray) -> None:
        content += chunk
        self.held += len(chunk)
        if len(content) > self._limits.body:
            raise _too_long(self._limits)
        if self.held > self._limits.held:
            raise RefusedError(503, f"{self.held:,} bytes of requests are being held; come again")


def _check_headers(request: Request, limits: Limits) -> None:
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != JSON:
        raise RefusedError(415, f"expected Content-Type: {JSON}, got {kind or 'none'}")
    packed = request.headers.get("content-encoding", "identity")
    if packed.lower() != "identity":
        raise RefusedError(415, f"expected a body without Content-Encoding, got {packed}")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body:
        raise _too_long(limits)


def _too_long(limits: Limits) -> RefusedError:
    return RefusedError(413, f"the body has more than {limits.body:,} bytes")


async def left(request: Request) -> None:
    """Wait until the client of a request whose body was read has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
