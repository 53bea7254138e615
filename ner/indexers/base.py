"""What every indexer can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.sentence import Sentence

Arrays = tuple[NDArray[np.int64], ...]


class Indexer(ABC):
    """Turns tokens into numbers, of which only its embedding knows what they mean."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The arguments that make this indexer again, as JSON holds them."""


class TypeIndexer(Indexer):
    """An indexer that sees the token alone, so each distinct token is looked at once."""

    @abstractmethod
    def index(self, tokens: Sequence[str]) -> Arrays:
        """Distinct tokens as numbers: arrays whose first axis is the tokens."""


class ContextIndexer(Indexer):
    """An indexer that sees where a token stands: its sentence, its document, other columns."""

    @abstractmethod
    def index(self, sentence: Sentence) -> Arrays:
        """The tokens of a sentence as numbers: arrays whose first axis is the tokens."""

    def index_all(self, sentences: Sequence[Sentence]) -> list[Arrays]:
        """What ``index`` makes of each sentence; together it may take less time."""
        return [self.index(sentence) for sentence in sentences]
