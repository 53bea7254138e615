"""Indexers of words: by a vocabulary, a table of vectors, or vectors of the sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ner.indexers.base import UNKNOWN, Arrays, ContextIndexer, TypeIndexer, Vocabulary
from ner.sentence import Sentence

_DIGIT = re.compile(r"\d")


def normalise(token: str) -> str:
    """Return the token in lower case, with each digit replaced by 0."""
    return _DIGIT.sub("0", token.lower())


def normalised(tokens: Sequence[str]) -> list[str]:
    """Normalise tokens, all at once as one text unless a token contains a line break."""
    words = normalise("\n".join(tokens)).split("\n")
    return words if len(words) == len(tokens) else list(map(normalise, tokens))


class WordIndexer(TypeIndexer):
    """The index of each token's word.

    Args:
        words: The known words.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(words)

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """Return the index of each token's word, ``(tokens,)``."""
        known = map(self.vocabulary.__getitem__, normalised(tokens))
        return (np.fromiter(known, np.int64, len(tokens)),)


class PretrainedIndexer(TypeIndexer):
    """The row of each token's vector.

    A token is looked up as written, then in lower case, then with each digit replaced by 0.

    Args:
        words: The words that have a vector.
        rows: The row of each word, from 0, where several words share one.

    Raises:
        ValueError: There is not a row for each word.
    """

    def __init__(self, words: Sequence[str], *, rows: Sequence[int] = ()) -> None:
        self.vocabulary = Vocabulary(words)
        self._rows = np.asarray(rows, np.int64)
        if len(rows) and (len(rows) != len(words) or self._rows.min() < 0):
            raise ValueError(f"each of the {len(words):,} words needs a row, got {len(rows):,}")

    @property
    def count(self) -> int:
        """The number of rows, with those of padding and unknown words."""
        return int(self._rows.max()) + 3 if len(self._rows) else len(self.vocabulary)

    def settings(self) -> dict[str, Any]:
        words = {"words": self.vocabulary.items}
        return {**words, "rows": self._rows.tolist()} if len(self._rows) else words

    def place(self, token: str) -> int:
        """Return the row of a token's vector."""
        known = (self.vocabulary[form] for form in forms(token) if form in self.vocabulary)
        place = next(known, UNKNOWN)
        shared = len(self._rows) and place != UNKNOWN
        return int(self._rows[place - 2]) + 2 if shared else place

    def index(self, tokens: Sequence[str]) -> Arrays:
        """Return the row of each token's vector, ``(tokens,)``."""
        return (np.fromiter(map(self.place, tokens), np.int64, len(tokens)),)


def forms(token: str) -> tuple[str, str, str]:
    """Return the forms under which a token is looked up, in order."""
    return token, token.lower(), normalise(token)


class VectorIndexer(TypeIndexer):
    """The row of each token's vector; a token is looked up as written, then in lower case.

    Args:
        words: The words of the list.
        rows: The index of each word's vector, from 0; several words may share one.
        count: The number of vectors.
    """

    def __init__(self, words: Sequence[str], rows: Sequence[int], *, count: int = 0) -> None:
        self.vocabulary = Vocabulary(words)
        self.rows = tuple(rows)
        self.count = count
        if len(self.rows) != len(words) or not all(0 <= row < count for row in self.rows):
            raise ValueError(f"rows must be one number from 0 to {count - 1} per word")
        self._places = np.array([0, 0, *(row + 1 for row in self.rows)], dtype=np.int64)

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items, "rows": self.rows, "count": self.count}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """Return the row of each token's vector, ``(tokens,)``; 0 for tokens without one."""
        known = self.vocabulary
        found = (known[token if token in known else token.lower()] for token in tokens)
        return (self._places[np.fromiter(found, np.int64, len(tokens))],)


class GivenIndexer(ContextIndexer):
    """The vectors supplied with a sentence, unchanged.

    Args:
        width: The width of the vectors.
    """

    def __init__(self, width: int) -> None:
        self.width = width

    def settings(self) -> dict[str, Any]:
        return {"width": self.width}

    def index(self, sentence: Sentence) -> Arrays:
        """Return the vectors, ``(tokens, width)``, float32.

        Raises:
            ValueError: The sentence has no vectors, or their shape is different.
        """
        if not self.width:
            return cast("Arrays", (np.zeros((len(sentence), 0), dtype=np.float32),))
        expected = (len(sentence), self.width)
        found = None if sentence.vectors is None else np.asarray(sentence.vectors, np.float32)
        if found is None or found.shape != expected:
            raise ValueError(
                f"this model needs the vectors of each sentence: expected shape {expected}, got "
                f"{'no vectors' if found is None else found.shape}. Use it in a spaCy pipeline "
                "with its tok2vec, or pass Sentence(tokens, vectors=...)"
            )
        return cast("Arrays", (found,))
