"""What the document is about, and where in it the sentence stands.

"Blackburn" is a club in a football report and a town in a weather report, and the second line
of an agency's story is its author. As with the mentions of ``ner.embeddings.document`` no label
is used, only the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor, nn

from ner.batch import Arrays
from ner.embeddings.base import ContextEmbedding, spread, vectors_of
from ner.embeddings.words import normalise
from ner.sentence import Document, Sentence
from ner.vocabulary import PADDING, UNKNOWN, Vocabulary, frequent

HEADLINE, TOPIC = 16, 96  # the first words of a document, and the most distinct words of its topic
POSITIONS = 6  # no document; the first sentences, each by itself; any further one


class TopicEmbedding(ContextEmbedding):
    """The mean vectors of a document's first words and of its distinct words, and a position.

    All tokens of a sentence get the same vector. Of a sentence without a document, or alone in
    it, it is that of no words; in training some sentences are shown so, so that a model also
    works where documents are unknown.

    Args:
        words: The words it knows.
        width: The width of the bag of first words, and of that of distinct words.
        position_width: The width of the vector of the sentence's position.
        context_dropout: How often a sentence's document is hidden in training.
    """

    tokenwise = True

    def __init__(
        self,
        words: Sequence[str],
        *,
        width: int = 25,
        position_width: int = 5,
        context_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(words)
        self.bag_width = width
        self.context_dropout = context_dropout
        self.width = 2 * width + position_width
        self.position = nn.Embedding(POSITIONS, position_width)
        size = len(self.vocabulary)
        self.headline = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))
        self.topic = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))
        self._last: tuple[Document, NDArray[np.int64]] | None = None

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        min_count: int = 3,
        width: int = 25,
        position_width: int = 5,
        context_dropout: float = 0.2,
    ) -> Self:
        """Build it for the words seen at least ``min_count`` times."""
        counts = Counter(normalise(token) for sentence in sentences for token in sentence.tokens)
        words = frequent(counts.elements(), min_count=min_count)
        return cls(
            words, width=width, position_width=position_width, context_dropout=context_dropout
        )

    def settings(self) -> dict[str, Any]:
        return {
            "words": self.vocabulary.items,
            "width": self.bag_width,
            "position_width": self.position.embedding_dim,
            "context_dropout": self.context_dropout,
        }

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

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors of the tokens, ``(batch, length, width)``."""
        first = rows[:, 0]
        if self.training and self.context_dropout > 0.0:
            hidden = torch.rand(len(first), 1, device=rows.device) < self.context_dropout
            first = first.masked_fill(hidden, PADDING)
        headline, topic = first[:, 1 : 1 + HEADLINE], first[:, 1 + HEADLINE :]
        vectors = torch.cat(
            [
                vectors_of(self.position, first[:, 0]),
                self.headline(headline),
                self.topic(topic),
            ],
            dim=1,
        )
        return vectors.unsqueeze(1).expand(-1, rows.shape[1], -1)

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
