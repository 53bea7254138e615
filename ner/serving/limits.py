"""Limits of one request and of all together, and their error responses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from ner.config import ConfigError
from ner.streaming.readers import HELD, TEXT

HIGHEST = {"characters": TEXT, "tokens": HELD}  # `ner tag` cuts longer ones into several records


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits beyond which requests are refused.

    Attributes:
        body: The most bytes of a request's body.
        texts: The most texts or sentences of a request.
        characters: The most characters of one text, or of one sentence's tokens.
        tokens: The most tokens of a request.
        requests: The most concurrent requests to tag.
        held: The most bytes of request bodies in memory at the same time.
        arrival: The seconds within which a request must have arrived.
        seconds: The seconds after which a request times out.

    Raises:
        ConfigError: A limit is not above 0, or too high to be kept.
    """

    body: int = 1 << 20
    texts: int = 1000
    characters: int = 100_000
    tokens: int = 50_000
    requests: int = 1024
    held: int = 64 << 20
    arrival: float = 10.0
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"the limit of {field.name} must be above 0, got {value}")
            if value > HIGHEST.get(field.name, value):
                raise ConfigError(
                    f"the limit of {field.name} is at most {HIGHEST[field.name]:,}, got {value:,}"
                )
        if self.held < self.body:
            raise ConfigError(
                f"the limit of bytes held ({self.held:,}) is below that of one body ({self.body:,})"
            )

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Return the default limits except for those given; ``held`` grows with ``body``."""
        usual = cls()
        return cls(**{"held": max(usual.held, 64 * given.get("body", usual.body)), **given})


class RefusedError(Exception):
    """A refused request, with the HTTP status and the message for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the response: ``Retry-After``, if that may help."""
        return {"Retry-After": "1"} if self.status in (429, 503) else {}
