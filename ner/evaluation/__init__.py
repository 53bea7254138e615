"""The shelf of scores: everything here is made of gold spans and predicted spans."""

from typing import TYPE_CHECKING

from ner.evaluation.score import Average, Score
from ner.loading import lazily

if TYPE_CHECKING:
    from ner.evaluation.report import Report, Settings, evaluate

__all__ = ["Average", "Report", "Score", "Settings", "evaluate"]


# many modules need only scores
__getattr__ = lazily(
    __name__, dict.fromkeys(("Report", "Settings", "evaluate"), "ner.evaluation.report")
)
