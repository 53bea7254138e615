"""Training: a loop the caller can see. ``for epoch in train(config): print(epoch)``."""

from ner.training.loop import Epoch, Run, score_tagger, train
from ner.training.settings import DataSettings, RunSettings, TrainingSettings, read_settings

__all__ = [
    "DataSettings",
    "Epoch",
    "Run",
    "RunSettings",
    "TrainingSettings",
    "read_settings",
    "score_tagger",
    "train",
]
