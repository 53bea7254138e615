"""What the document is about, and where in it the sentence stands.

"Blackburn" is a club in a football report and a town in a weather report, and the second line
of an agency's story is its author. As with the mentions of ``ner.embeddings.document`` no label
is used, only the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import ContextEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.topic import HEADLINE, POSITIONS, TopicIndexer
from ner.indexers.words import normalise
from ner.sentence import Sentence
from ner.vocabulary import PADDING, frequent


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

    Raises:
        ValueError: A width is below 1, or the dropout no share.
    """

    tokenwise = sentencewise = True

    def __init__(
        self,
        words: Sequence[str],
        *,
        width: int = 25,
        position_width: int = 5,
        context_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_widths(width=width, position_width=position_width)
        check_shares(context_dropout=context_dropout)
        self.indexer = TopicIndexer(words)
        self.bag_width = width
        self.context_dropout = context_dropout
        self.width = 2 * width + position_width
        self.position = nn.Embedding(POSITIONS, position_width)
        size = len(self.indexer.vocabulary)
        self.headline = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))
        self.topic = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))

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
            **self.indexer.settings(),
            "width": self.bag_width,
            "position_width": self.position.embedding_dim,
            "context_dropout": self.context_dropout,
        }

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
