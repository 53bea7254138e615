"""The metrics of the server, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

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
            "ner_tag_seconds", "Time from a request to its answer", buckets=SECONDS, registry=own
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
