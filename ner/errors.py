"""The errors of our own; every one is a ``ValueError``."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting that cannot be used; the message says which, and what would do."""


class ModelError(ValueError):
    """A model directory that cannot be used; the message says why and what to do."""
