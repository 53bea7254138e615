"""What the document is about, and where in it the sentence stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ner.indexers.base import Arrays, ContextIndexer
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
        self._last: tuple[Document, NDArray[np.int64]] | None = None

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
        return (as_strided(row, (len(sentence), len(row)), (0, row.itemsize)),)

    def _words(self, document: Document) -> NDArray[np.int64]:
        """The first words of a document, then its distinct ones, the rare first."""
        last = self._last
        if last is not None and last[0] is document:  # sentences come document by document
            return last[1]
        words = np.zeros(HEADLINE + TOPIC, dtype=np.int64)
        first = [word for tokens in document.tokens[:2] for word in tokens][:HEADLINE]
        words[: len(first)] = [self.vocabulary[normalise(word)] for word in first]
        distinct = {self.vocabulary[normalise(w)] for tokens in document.tokens for w in tokens}
        rare = sorted(distinct - {UNKNOWN}, reverse=True)[:TOPIC]
        words[HEADLINE : HEADLINE + len(rare)] = rare
        self._last = document, words
        return words
