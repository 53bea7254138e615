"""The shelf of scores: everything here is made of gold spans and predicted spans."""

from ner.evaluation.report import Report, Settings, evaluate
from ner.evaluation.score import Average, Score

__all__ = ["Average", "Report", "Score", "Settings", "evaluate"]
