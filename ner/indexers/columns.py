"""Numbers of what is known beside the text: columns of the file, lists of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.indexers.base import Arrays, ContextIndexer
from ner.sentence import Sentence
from ner.vocabulary import UNKNOWN, Vocabulary


class ColumnIndexer(ContextIndexer):
    """The value of each of some columns; the unknown one where a sentence has not got it.

    Args:
        values: The values of each column by its name.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self.vocabularies = {name: Vocabulary(known) for name, known in values.items()}

    def settings(self) -> dict[str, Any]:
        return {"values": {name: known.items for name, known in self.vocabularies.items()}}

    def index(self, sentence: Sentence) -> Arrays:
        """The number of each token's value in each column, ``(tokens, columns)``."""
        found = np.full((len(sentence), len(self.vocabularies)), UNKNOWN, dtype=np.int64)
        for place, (name, known) in enumerate(self.vocabularies.items()):
            if name in sentence.columns:
                found[:, place] = [known[value] for value in sentence.columns[name]]
        return (found,)


def columns_of(indexers: Iterable[ContextIndexer]) -> tuple[str, ...]:
    """The names of the columns that some of these indexers look at."""
    found = (one.vocabularies for one in indexers if isinstance(one, ColumnIndexer))
    return tuple(name for vocabularies in found for name in vocabularies)


OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)  # where in a name of a list a token stands


class GazetteerIndexer(ContextIndexer):
    """Where in a name of each list a token stands.

    In each list the longest name counts, from left to right. Case does not.

    Args:
        lists: The names of each list, by the list's own name, each as its tokens with blanks
            between.
    """

    def __init__(self, lists: Mapping[str, Sequence[str]]) -> None:
        self.lists = {title: tuple(names) for title, names in lists.items()}
        self._tries = [_trie(names) for names in self.lists.values()] or [{}]

    def __len__(self) -> int:
        """How many lists there are; without any, one that is empty."""
        return len(self._tries)

    def settings(self) -> dict[str, Any]:
        return {"lists": self.lists}

    def index(self, sentence: Sentence) -> Arrays:
        """Where in a name of each list each token stands, ``(tokens, lists)``."""
        tokens = [token.lower() for token in sentence.tokens]
        found = np.zeros((len(tokens), len(self._tries)), dtype=np.int64)
        for column, trie in enumerate(self._tries):
            _mark(found[:, column], tokens, trie)
        return (found,)


_NAME_ENDS = ""  # no token is empty, so this key of a trie is none's


def _trie(names: Iterable[str]) -> dict[str, Any]:
    """Names by their tokens, nested: what may come after which tokens."""
    root: dict[str, Any] = {}
    for name in names:
        node = root
        for token in name.lower().split():
            node = node.setdefault(token, {})
        node[_NAME_ENDS] = {}
    return root


def _mark(marks: NDArray[np.int64], tokens: Sequence[str], trie: Mapping[str, Any]) -> None:
    """Write where in the longest names of a trie the tokens stand."""
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
    """How many tokens the longest name has that begins at a token; 0 where none does."""
    node, longest = trie, 0
    for place in range(start, len(tokens)):
        if tokens[place] not in node:
            break
        node = node[tokens[place]]
        if _NAME_ENDS in node:
            longest = place - start + 1
    return longest
