"""What the document is about, and where in it the sentence stands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.indexers.base import Arrays, ContextIndexer, OfDocuments, TokenNumbers
from ner.indexers.words import normalise
from ner.sentence import Document, Sentence
from ner.vocabulary import UNKNOWN, Vocabulary

HEADLINE, TOPIC = 16, 96  # the first words of a document, and the most distinct words of its topic
POSITIONS = 6  # no document; the first sentences, each by itself; any further one


class TopicIndexer(ContextIndexer):
    """The first words of a document, its distinct ones, and the position of the sentence.

    Args:
        words: The words it knows.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(words)
        self._numbers = WordNumbers(self.vocabulary)
        self._known: OfDocuments[NDArray[np.int64]] = OfDocuments()

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items}

    def index(self, sentence: Sentence) -> Arrays:
        """The position, the first words and the distinct ones: ``(tokens, 1 + words)``.

        The rows of all tokens are the same, and one in memory.
        """
        row = np.zeros(1 + HEADLINE + TOPIC, dtype=np.int64)
        document = sentence.document
        if document is not None and len(document.tokens) > 1:
            row[0] = min(sentence.position + 1, POSITIONS - 1)
            row[1:] = self._words(document)
        # written once, and seen by every token: what as_strided gives, without its checks
        return (np.ndarray((len(sentence), len(row)), row.dtype, row, 0, (0, row.itemsize)),)

    def _words(self, document: Document) -> NDArray[np.int64]:
        """The first words of a document, then its distinct ones, the rare first."""
        words = self._known.get(document)
        if words is not None:
            return words
        self._numbers = numbers = self._numbers.bounded()
        words = np.zeros(HEADLINE + TOPIC, dtype=np.int64)
        first = [numbers[word] for tokens in document.tokens[:2] for word in tokens[:HEADLINE]]
        words[: len(first[:HEADLINE])] = first[:HEADLINE]
        distinct = set(map(numbers.__getitem__, chain.from_iterable(document.tokens)))
        rare = sorted(distinct - {UNKNOWN}, reverse=True)[:TOPIC]
        words[HEADLINE : HEADLINE + len(rare)] = rare
        self._known[document] = words
        return words


class WordNumbers(TokenNumbers):
    """The number of each token's word."""

    def number(self, token: str) -> int:
        return self.vocabulary[normalise(token)]
