"""The shelf of scores: everything here is made of gold spans and predicted spans."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ner.evaluation.score import Average, Score

if TYPE_CHECKING:
    from ner.evaluation.report import Report, Settings, evaluate

__all__ = ["Average", "Report", "Score", "Settings", "evaluate"]


def __getattr__(name: str) -> Any:
    """Import reports when they are first asked for: many modules need only scores."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("ner.evaluation.report"), name)
