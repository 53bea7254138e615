"""Indexers of further information: columns of the file, gazetteers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.indexers.base import UNKNOWN, Arrays, ContextIndexer, Vocabulary
from ner.sentence import Sentence


class ColumnIndexer(ContextIndexer):
    """The value of each column; the unknown value if a sentence does not have the column.

    Args:
        values: The values of each column by its name.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self.vocabularies = {name: Vocabulary(known) for name, known in values.items()}

    def settings(self) -> dict[str, Any]:
        return {"values": {name: known.items for name, known in self.vocabularies.items()}}

    def index(self, sentence: Sentence) -> Arrays:
        """Return the index of each token's value in each column, ``(tokens, columns)``."""
        found = np.full((len(sentence), len(self.vocabularies)), UNKNOWN, dtype=np.int64)
        for place, (name, known) in enumerate(self.vocabularies.items()):
            if name in sentence.columns:
                found[:, place] = [known[value] for value in sentence.columns[name]]
        return (found,)


def columns_of(indexers: Iterable[ContextIndexer]) -> tuple[str, ...]:
    """Return the names of the columns that these indexers read."""
    found = (one.vocabularies for one in indexers if isinstance(one, ColumnIndexer))
    return tuple(name for vocabularies in found for name in vocabularies)


OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)  # the position of a token in a name


class GazetteerIndexer(ContextIndexer):
    """Marks the position of a token within names of each gazetteer.

    Names are matched from left to right, the longest first, regardless of case.

    Args:
        lists: The names of each gazetteer, by the gazetteer's name, each as tokens joined by
            blanks.
    """

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        self.lists = {title: tuple(names) for title, names in lists.items()}
        self._tries = [_trie(names) for names in self.lists.values()] or [{}]

    def __len__(self) -> int:
        """Return the number of gazetteers, at least 1 (an empty one)."""
        return len(self._tries)

    def settings(self) -> dict[str, Any]:
        return {"lists": self.lists}

    def index(self, sentence: Sentence) -> Arrays:
        """Return the position of each token in a name of each gazetteer, ``(tokens, lists)``."""
        tokens = [token.lower() for token in sentence.tokens]
        found = np.zeros((len(tokens), len(self._tries)), dtype=np.int64)
        for column, trie in enumerate(self._tries):
            _mark(found[:, column], tokens, trie)
        return (found,)


_NAME_ENDS = ""  # no token is empty, so this key of a trie is free


def _trie(names: Iterable[str]) -> dict[str, Any]:
    """Build a trie of names by their tokens."""
    root: dict[str, Any] = {}
    for name in names:
        node = root
        for token in name.lower().split():
            node = node.setdefault(token, {})
        node[_NAME_ENDS] = {}
    return root


def _mark(marks: NDArray[np.int64], tokens: Sequence[str], trie: Mapping[str, Any]) -> None:
    """Mark the positions of the tokens in the longest names of a trie."""
    start = 0
    while start < len(tokens):
        length = _longest(tokens, start, trie)
        if length == 1:
            marks[start] = SINGLE
        elif length > 1:
            marks[start : start + length] = INSIDE
            marks[start], marks[start + length - 1] = BEGIN, END
        start += max(length, 1)


def _longest(tokens: Sequence[str], start: int, trie: Mapping[str, Any]) -> int:
    """Return the length in tokens of the longest name that begins at a token, or 0."""
    node, longest = trie, 0
    for place in range(start, len(tokens)):
        if tokens[place] not in node:
            break
        node = node[tokens[place]]
        if _NAME_ENDS in node:
            longest = place - start + 1
    return longest
