"""What other columns of the file say of a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

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
