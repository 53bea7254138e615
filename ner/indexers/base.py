"""The interface of every indexer, vocabularies, and caches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Protocol, Self, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ner.sentence import Document, Sentence

PADDING = 0
UNKNOWN = 1


class Vocabulary:
    """A fixed list of items, numbered from 2; 0 is padding and 1 the unknown item."""

    def __init__(self, items: Sequence[str]) -> None:
        self.items = tuple(items)
        self._index = {item: number for number, item in enumerate(self.items, start=2)}
        if len(self._index) != len(self.items):
            twice = [item for item, count in Counter(self.items).items() if count > 1]
            raise ValueError(f"vocabulary items must be unique, but {twice[0]!r} occurs twice")

    def __len__(self) -> int:
        return len(self.items) + 2

    def __contains__(self, item: str) -> bool:
        return item in self._index

    def __getitem__(self, item: str) -> int:
        return self._index.get(item, UNKNOWN)


def frequent(items: Iterable[str] | Counter[str], *, min_count: int = 1) -> list[str]:
    """Return the items seen at least that often, the most frequent first."""
    counts = items if isinstance(items, Counter) else Counter(items)
    return [item for item, count in counts.most_common() if count >= min_count]


@runtime_checkable
class Counted(Protocol):
    """Sentences that count their tokens themselves."""

    @property
    def token_counts(self) -> Counter[str]:
        """The number of times each token occurs, in the order of its first occurrence."""


class CountedOnce(Sequence[Sentence]):
    """Sentences whose tokens are counted once for all embeddings."""

    def __init__(self, sentences: Sequence[Sentence]) -> None:
        self._sentences = sentences

    def __len__(self) -> int:
        return len(self._sentences)

    def __iter__(self) -> Iterator[Sentence]:
        return iter(self._sentences)

    def __getitem__(self, place: Any) -> Any:
        return self._sentences[place]

    @cached_property
    def token_counts(self) -> Counter[str]:
        """The number of times each token occurs, in the order of its first occurrence."""
        return Counter(chain.from_iterable([sentence.tokens for sentence in self._sentences]))


def token_counts(sentences: Iterable[Sentence]) -> Counter[str]:
    """Count the tokens of sentences, in the order of their first occurrence."""
    if isinstance(sentences, Counted):
        return sentences.token_counts
    return CountedOnce(list(sentences)).token_counts


def form_counts(
    sentences: Iterable[Sentence], forms: Callable[[Sequence[str]], Iterable[str]]
) -> Counter[str]:
    """Count the forms of the tokens of sentences, in the order of their first occurrence."""
    tokens, counts = token_counts(sentences), Counter[str]()
    for form, number in zip(forms(list(tokens)), tokens.values(), strict=True):
        counts[form] += number
    return counts


Arrays = tuple[NDArray[np.int64], ...]


class Indexer(ABC):
    """Turns tokens into indices for an embedding."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the arguments that rebuild this indexer, as JSON values."""


class TypeIndexer(Indexer):
    """An indexer of the token alone, so that each distinct token is indexed once."""

    @abstractmethod
    def index(self, tokens: Sequence[str]) -> Arrays:
        """Index distinct tokens: arrays whose first axis is the tokens."""


class ContextIndexer(Indexer):
    """An indexer of the token in context: its sentence, its document, other columns."""

    @abstractmethod
    def index(self, sentence: Sentence) -> Arrays:
        """Index the tokens of a sentence: arrays whose first axis is the tokens."""

    def index_all(self, sentences: Sequence[Sentence]) -> list[Arrays]:
        """Index several sentences, which may be faster than one by one."""
        return [self.index(sentence) for sentence in sentences]


TOKENS = 1 << 16  # maximum number of cached tokens
CHARACTERS = 1 << 23  # maximum total length of cached tokens

Made = TypeVar("Made")


class TokenNumbers(dict[str, int]):
    """A cache of one number per token. Copies and pickles start empty.

    Threads may share it: at worst they compute a number twice.

    Args:
        vocabulary: The vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.characters = 0

    @abstractmethod
    def number(self, token: str) -> int:
        """Return the number of a token."""

    def __missing__(self, token: str) -> int:
        self.characters += len(token)
        found = self[token] = self.number(token)
        return found

    def bounded(self) -> Self:
        """Return this cache, or an empty one if it has grown too large."""
        if len(self) > TOKENS or self.characters > CHARACTERS:
            return type(self)(self.vocabulary)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.vocabulary,)


class OfDocuments(WeakKeyDictionary[Document, Made]):
    """A cache of one value per document. Copies and pickles start empty."""

    def __deepcopy__(self, memo: object) -> OfDocuments[Made]:
        return OfDocuments()

    def __reduce__(self) -> tuple[Any, ...]:
        return OfDocuments, ()
