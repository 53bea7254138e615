"""The settings of pretraining."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ner.errors import ConfigError

FROM_ZERO = ("seed", "own_classes")  # whole numbers that may be 0; others are at least 1
SHARES = ("learning_rate", "dropout")


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """The settings of `ner pretrain`.

    Attributes:
        seed: Drives the random projection, the first centres of the classes, initial weights, the
            order of sentences, and dropout.
        width: The width of the word vectors.
        contexts: How many of the most frequent words are counted as neighbours.
        min_count: How often a word must occur to take part in the decomposition.
        known_count: How often a word must occur for the network to have a vector of its own for it.
        classes: The number of classes that words are clustered into.
        own_classes: The number of most frequent words that are classes of their own.
        tokens: About how many tokens the network learns from; of a longer text a random part.
        batch_tokens: The tokens of a batch.
        learning_rate: The highest.
        dropout: That of the encoder.
        checkpoint_minutes: Save a checkpoint every so many minutes.
    """

    seed: int = 1
    width: int = 200
    contexts: int = 10_000
    min_count: int = 3
    known_count: int = 5
    classes: int = 1000
    own_classes: int = 200
    tokens: int = 3_000_000
    batch_tokens: int = 1500
    learning_rate: float = 3e-3
    dropout: float = 0.1
    checkpoint_minutes: float = 2.0

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            if name in SHARES:
                if not 0.0 <= value < 1.0:
                    raise ConfigError(f"{name} must be at least 0 and below 1, got {value}")
            elif isinstance(value, float):
                if not value > 0.0:
                    raise ConfigError(f"{name} must be more than 0, got {value}")
            elif value < (least := int(name not in FROM_ZERO)):
                raise ConfigError(f"{name} must be at least {least}, got {value}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
