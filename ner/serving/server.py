"""The server: a socket, uvicorn, and a graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from ner.config import ConfigError
from ner.serving.request import Limits

HEADERS = 1 << 16  # the maximum number of bytes of a request line and headers
HIGHEST = 65535  # port
IDLE = 15  # seconds that a connection without a request is kept open
PROBE = 1.0  # seconds between two probes of a client that has half-closed
SWITCH = 0.0005  # seconds until a thread yields to another, a tenth of the default


def serve(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT, then complete the accepted requests.

    A second SIGINT ends at once.

    Args:
        app: The application.
        listening: The socket, which is closed at the end.
        limits: The limits of requests.
    """
    with _signals_taken(), _threads_alternating():
        server(app, limits).run(sockets=[listening])


def server(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """Return a server that enforces the time limits on connections."""
    config = uvicorn.Config(
        app,
        http=type("Protocol", (TimedProtocol,), {"limits": limits}),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEADERS,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one.

    Raises:
        ConfigError: The address is not available.
    """
    if not 0 <= port <= HIGHEST:
        raise ConfigError(f"port must be from 0 to {HIGHEST:,}, got {port:,}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from None


class Deadline:
    """A timer that calls a function after some seconds, unless it is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, action: Callable[[], None]) -> None:
        """Start the timer, unless it is running."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, action)

    def lift(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimedProtocol(H11Protocol):
    """uvicorn's protocol with timeouts for slow clients.

    uvicorn itself waits for ever for the rest of the headers, for the rest of a body that has been
    responded to, and for a client to read its response; and it drops clients that half-close.
    """

    limits = Limits()
    _half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arriving, self._leaving = Deadline(self.loop), Deadline(self.loop)
        self._probing = Deadline(self.loop)
        self._arriving.set(self.limits.arrival, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:  # nothing else waits for the rest
            self._arriving.set(self.limits.arrival, self.transport.abort)
        else:
            self._arriving.lift()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a connection whose request is complete and whose response is due.

        Clients that half-close and clients that are gone look the same until something is written:
        the system of one that is gone replies with a reset.
        """
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        self._half_closed = True
        self._probe()
        return True

    def _probe(self) -> None:
        """Write interim responses, which HTTP/1.1 clients ignore, until the response starts."""
        if self.transport.is_closing() or self.conn.our_state is not h11.SEND_RESPONSE:
            return
        if self.conn.their_http_version != b"1.0":  # which has no interim responses
            going_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            self.transport.write(self.conn.send(going_on))
            self._probing.lift()
            self._probing.set(PROBE, self._probe)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._arriving.set(self.limits.arrival, self.transport.abort)
        if self._half_closed and self.cycle.response_complete:  # no pipelined request has begun
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arriving.lift()
        self._leaving.lift()
        self._probing.lift()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._leaving.set(self.limits.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._leaving.lift()
        super().resume_writing()


@contextlib.contextmanager
def _signals_taken() -> Iterator[None]:
    """Ignore the signal that uvicorn raises again after its shutdown."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _threads_alternating() -> Iterator[None]:
    """Reduce the time that the tagging thread blocks the others.

    Threads switch more often, and the garbage collector skips the objects that exist by now, which
    are permanent; going through them takes tenths of a second.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)
