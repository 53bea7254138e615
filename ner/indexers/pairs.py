"""A token together with its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ner.indexers.base import Arrays, ContextIndexer
from ner.indexers.words import normalise
from ner.sentence import Sentence
from ner.vocabulary import Vocabulary

_BETWEEN = "\t"  # stands in no token of a file of columns


class PairIndexer(ContextIndexer):
    """The pairs of a token with the one before it, and with the one after it.

    Args:
        pairs: The pairs it knows, each as two normalised tokens with a tabulator between them.
    """

    def __init__(self, pairs: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(pairs)

    def settings(self) -> dict[str, Any]:
        return {"pairs": self.vocabulary.items}

    def index(self, sentence: Sentence) -> Arrays:
        """The numbers of the pairs that end and that begin with each token, ``(tokens, 2)``."""
        count = len(sentence)
        found = [self.vocabulary[pair] for pair in pairs_of(sentence.tokens)]
        flat = np.array(found, dtype=np.int64)  # one more than there are tokens, or none
        return (np.stack([flat[:count], flat[1 : count + 1]], axis=1),)


def pairs_of(tokens: Sequence[str]) -> Iterator[str]:
    """Each two neighbours, the ends of the sentence among them."""
    if tokens:
        yield from map(_BETWEEN.join, pairwise(["", *map(normalise, tokens), ""]))
