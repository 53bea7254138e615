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

HEADERS = 1 << 16  # the most bytes of a request's line and headers
HIGHEST = 65535  # port
IDLE = 15  # seconds a connection may be kept without a request
PROBE = 1.0  # seconds between two looks whether a client that half-closed is still there
SWITCH = 0.0005  # seconds after which one thread gives way to another, a tenth of the usual


def serve(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Serve until SIGTERM or SIGINT, then complete the accepted requests.

    A second SIGINT ends at once. Meanwhile threads of this process take turns more often.

    Args:
        app: The application.
        listening: The socket; it is closed at the end.
        limits: The time limits.
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
        raise ConfigError(f"a port is a number from 0 to {HIGHEST:,}, got {port:,}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen at {host}:{port}: {reason}") from None


class Deadline:
    """Calls a function after some seconds unless it is cancelled before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, action: Callable[[], None]) -> None:
        """Start waiting, unless already waiting."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, action)

    def lift(self) -> None:
        """Stop waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimedProtocol(H11Protocol):
    """uvicorn's protocol with timeouts for slow clients.

    By itself it waits for ever for the end of a request's headers, of a body whose answer has been
    given, and for a client to read its answer; and it closes on clients that half-close.
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
        """Keep a connection on which a whole request has come and its answer is due.

        A client that half-closes and one that is gone send the same. What is written tells them
        apart: the system of one that is gone answers with a reset.
        """
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        self._half_closed = True
        self._probe()
        return True

    def _probe(self) -> None:
        """Write an interim answer, which clients of HTTP/1.1 pass over, until the answer begins."""
        if self.transport.is_closing() or self.conn.our_state is not h11.SEND_RESPONSE:
            return
        if self.conn.their_http_version != b"1.0":  # which knows no interim answers
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
    """Ignore the signal that uvicorn raises again after it has shut down."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _threads_alternating() -> Iterator[None]:
    """Let the thread that tags keep the others waiting for less.

    They take turns more often, and what is in memory by now, which stays, is no longer gone through
    when garbage is collected; that takes tenths of a second.
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
