"""What indexers remember: of tokens a bounded number, of documents as long as they are there."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

from ner.sentence import Document
from ner.vocabulary import Vocabulary

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
