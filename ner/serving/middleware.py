"""Middleware of the application: host names, admission, limits, errors, and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ner.serving.request import Limits, RefusedError

GONE = 499  # nginx's status for a client that disconnected before the response
JSON = "application/json"
SMALL = 64  # a body below this fraction of the limit is accepted when large ones fill the memory
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
PATHS = {"/", "/tag", "/health", "/metrics", "/model", "/openapi.json"}
LINGER = 32 << 20  # the most bytes of a refused body that are read and discarded
log = logging.getLogger(__name__)


class Backpressure:
    """Counts the requests in progress, and the bytes of their bodies."""

    def __init__(self, limits: Limits) -> None:
        self.requests = 0
        self.held = 0
        self._limits = limits

    @contextmanager
    def one(self) -> Iterator[None]:
        """Admit a request while the block runs.

        Raises:
            RefusedError: There are too many requests.
        """
        if self.requests >= self._limits.requests:
            raise RefusedError(503, f"{self.requests:,} requests in progress; try again later")
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Read the body of a request; its bytes are counted while the block runs.

        Raises:
            RefusedError: Its content type is not JSON, or it is too long or too slow.
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
                raise RefusedError(408, f"no complete body within {seconds:g} s") from None
            except ClientDisconnect:
                raise RefusedError(GONE, "the client disconnected") from None
            yield bytes(content)
        finally:
            self.held -= len(content)

    def _hold(self, chunk: bytes, content: bytearray) -> None:
        content += chunk
        self.held += len(chunk)
        if len(content) > self._limits.body:
            raise _too_long(self._limits)
        if self.held > self._limits.held and len(content) > self._limits.body // SMALL:
            raise RefusedError(503, f"{self.held:,} bytes of requests in memory; try again later")


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
    return RefusedError(413, f"request body has more than {limits.body:,} bytes")


async def left(request: Request) -> None:
    """Wait until the client of a request disconnects, after its body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Middleware:
    """Checks host names, counts requests, and responds to errors.

    A page of another site can direct a browser to this server under its own name (DNS rebinding)
    and read the responses; therefore the accepted host names can be restricted.

    Args:
        app: The application.
        limits: The limits of requests.
        metrics: The metrics to update.
        hosts: The accepted host names; empty for any.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, metrics: Metrics, hosts: tuple[str, ...] = ()
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(receive, send, self._limits.arrival)
        try:
            if self._hosts and _host(scope) not in self._hosts:
                await exchange.refuse(421, "this server does not accept that Host header")
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("a request failed")
            if exchange.status != GONE:
                raise
            await exchange.refuse(500, "internal error; see the server's log")
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self._metrics.request(path, exchange.status)


class Exchange:
    """A request and its response.

    A connection that is closed while its client is still sending is reset, and the response may be
    lost: therefore the rest of a refused body is read and discarded first.

    Attributes:
        status: The status of the response, or that of a client that disconnected.
    """

    def __init__(self, receive: Receive, send: Send, patience: float) -> None:
        self.status = GONE
        self._receive, self._send, self._patience = receive, send, patience
        self._whole = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *HEADERS]}
        elif not message.get("more_body", False) and not self._whole:
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {**message, "body": b""}
        await self._send(message)

    async def refuse(self, status: int, why: str) -> None:
        """Respond with an error."""
        content = json.dumps({"error": why}).encode()
        length = str(len(content)).encode()
        headers = [(b"content-type", JSON.encode()), (b"content-length", length)]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": content})

    async def _linger(self) -> None:
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while not self._whole and size < LINGER:
                    size += len((await self.receive()).get("body", b""))


def _host(scope: Scope) -> str:
    """Return the name in the Host header, without the port."""
    given: bytes = dict(scope["headers"]).get(b"host", b"")
    name = given.decode("latin-1").lower()
    return name.rpartition(":")[0] if name.rpartition(":")[2].isdecimal() else name


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TOKENS = (16, 64, 256, 1024, 2048, 4096, 8192, 65536)


class Metrics:
    """The metrics of one server, and of its process if the system provides them."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        ProcessCollector(registry=own)
        self._requests = Counter(
            "ner_requests", "Requests by path and status", ["path", "status"], registry=own
        )
        self._seconds = Histogram(
            "ner_tag_seconds", "Time from a request to its response", buckets=SECONDS, registry=own
        )
        self._sentences = Counter("ner_sentences", "Texts or sentences tagged", registry=own)
        self._tokens = Counter("ner_tokens", "Tokens tagged", registry=own)
        self._batch = Histogram(
            "ner_batch_tokens", "Tokens tagged together", buckets=TOKENS, registry=own
        )

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge."""
        Gauge(name, description, registry=self.registry).set_function(value)

    def request(self, path: str, status: int) -> None:
        """Count a completed request."""
        self._requests.labels(path, status).inc()

    def answered(self, seconds: float) -> None:
        """Record the duration of a successful response."""
        self._seconds.observe(seconds)

    def tagged(self, sentences: int, tokens: int) -> None:
        """Count tagged sentences and tokens."""
        self._sentences.inc(sentences)
        self._tokens.inc(tokens)

    def batch(self, tokens: int) -> None:
        """Record the size of a batch."""
        self._batch.observe(tokens)

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self.registry)
