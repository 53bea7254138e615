"""Training: a loop the caller can see. ``for epoch in train(config): print(epoch)``."""

from ner.training.loop import Run, StoppedError, train
from ner.training.results import Epoch, Step, score_tagger
from ner.training.settings import DataSettings, RunSettings, TrainingSettings, read_settings

__all__ = [
    "DataSettings",
    "Epoch",
    "Run",
    "RunSettings",
    "Step",
    "StoppedError",
    "TrainingSettings",
    "read_settings",
    "score_tagger",
    "train",
]
