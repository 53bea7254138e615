"""A running server for tests, and what clients do that no decent library can."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import httpx

from ner.serving import application
from ner.serving.server import listen, server


class Running:
    """The application in a thread, at ``address``."""

    def __init__(self, tagger, limits, **settings):
        self.app = application(tagger, limits=limits, **settings)
        self.service = self.app.state.service
        self._socket = listen("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.address, timeout=300, verify=False)
        self.server = server(self.app, limits)
        self.thread = threading.Thread(target=self.server.run, args=([self._socket],))
        self.thread.start()
        wait_for(lambda: self.server.started)

    def stop(self):
        self.client.close()
        self.server.should_exit = True
        self.thread.join(300)
        assert not self.thread.is_alive()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=300)


@contextlib.contextmanager
def running(tagger, limits, **settings):
    it = Running(tagger, limits, **settings)
    try:
        yield it
    finally:
        it.stop()


def wait_for(true, seconds=300):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def all_of(connection):
    """What comes until the other side ends."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)
