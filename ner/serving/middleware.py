"""What stands around the application: the names it answers to, headers, faults, counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ner.serving.backpressure import GONE, JSON
from ner.serving.limits import Limits
from ner.serving.metrics import Metrics

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
PATHS = {"/", "/tag", "/health", "/metrics", "/model", "/openapi.json"}
LINGER = 32 << 20  # bytes of a refused body that are read past, at most

log = logging.getLogger(__name__)


class Middleware:
    """Middleware.

    A page of another site can lead a browser here under a name of its own (DNS rebinding), and
    then read what is answered; so the names of this host can be told.

    Args:
        app: What is guarded.
        limits: What is refused.
        metrics: Where requests are counted.
        hosts: The names that requests may give; any, if there are none.
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
                await exchange.refuse(421, "this server does not answer to that Host")
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("a request could not be answered")
            if exchange.status != GONE:
                raise
            await exchange.refuse(500, "something went wrong here; the server's log says more")
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self._metrics.request(path, exchange.status)


class Exchange:
    """A request and its answer, as they pass.

    A connection that is closed while its client still sends is reset, and the answer may be lost
    on its way: so the rest of a body that is refused is read past before the end.

    Attributes:
        status: That of the answer, or that nobody was there to take it.
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
        """Answer with an error."""
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
    """The name in the header Host, without the port."""
    given: bytes = dict(scope["headers"]).get(b"host", b"")
    name = given.decode("latin-1").lower()
    return name.rpartition(":")[0] if name.rpartition(":")[2].isdecimal() else name
