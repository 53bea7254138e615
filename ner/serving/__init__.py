"""Tagging over HTTP: a server whose responses are the records of ``ner tag``."""

from __future__ import annotations

from ner.serving.application import application
from ner.serving.request import Limits
from ner.serving.server import serve

__all__ = ["Limits", "application", "serve"]
