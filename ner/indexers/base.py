"""What every indexer can do, and what indexers remember."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ner.sentence import Document, Sentence
from ner.vocabulary import Vocabulary

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


TOKENS = 1 << 16  # the most distinct tokens remembered,
CHARACTERS = 1 << 23  # and the most characters of them: then all is forgotten

Made = TypeVar("Made")


class TokenNumbers(dict[str, int]):
    """A number for each token, found once. Copies and pickles of it begin empty.

    Several threads may share it: at worst they find a number twice.

    Args:
        vocabulary: What the numbers are of.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.characters = 0

    @abstractmethod
    def number(self, token: str) -> int:
        """The number of a token."""

    def __missing__(self, token: str) -> int:
        self.characters += len(token)
        found = self[token] = self.number(token)
        return found

    def bounded(self) -> Self:
        """Itself, or an empty one where it has grown too large."""
        if len(self) > TOKENS or self.characters > CHARACTERS:
            return type(self)(self.vocabulary)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.vocabulary,)


class OfDocuments(WeakKeyDictionary[Document, Made]):
    """What was made of documents. Copies and pickles of it begin empty."""

    def __deepcopy__(self, memo: object) -> OfDocuments[Made]:
        return OfDocuments()

    def __reduce__(self) -> tuple[Any, ...]:
        return OfDocuments, ()
