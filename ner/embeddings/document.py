"""Embeddings of the document context of a token: other mentions, and the topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import ContextEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.base import PADDING, form_counts, frequent
from ner.indexers.document import FLAGS, HEADLINE, POSITIONS, DocumentIndexer, TopicIndexer
from ner.indexers.words import normalised
from ner.sentence import Sentence


class DocumentEmbedding(ContextEmbedding):
    """Flags and bags of neighbouring words of the other mentions in the document.

    A name is often unambiguous in one sentence only: "Blackburn striker Alan Shearer" explains
    "Blackburn" in a table below. Only the text of the document is used, no labels, so training and
    prediction see the same evidence. It follows the idea of non-local features (Krishnan and
    Manning 2006; Ratinov and Roth 2009), here as embeddings of neighbouring words.

    A sentence without a document is treated as a document. During training, some sentences are
    shown without their document, so that the model also works if documents are unknown.

    Args:
        words: The known neighbouring words; other words are represented by their case.
        width: The width of the bag of words before, and of that of words after.
        flag_width: The width of the vector of each flag.
        context_dropout: The probability that a sentence's document is hidden in training.

    Raises:
        ValueError: A width is below 1, or the dropout is not between 0 and 1.
    """

    tokenwise = True

    def __init__(
        self,
        words: Sequence[str],
        *,
        width: int = 50,
        flag_width: int = 5,
        context_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_widths(width=width, flag_width=flag_width)
        check_shares(context_dropout=context_dropout)
        self.indexer = DocumentIndexer(words)
        self.bag_width = width
        self.flag_width = flag_width
        self.context_dropout = context_dropout
        self.width = 2 * width + flag_width * len(FLAGS)
        self.flags = nn.ModuleList(nn.Embedding(values, flag_width) for values in FLAGS)
        size = len(self.indexer)
        self.before = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))
        self.after = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        min_count: int = 3,
        width: int = 50,
        flag_width: int = 5,
        context_dropout: float = 0.2,
    ) -> Self:
        """Build the embedding for the neighbouring words seen at least ``min_count`` times."""
        words = frequent(form_counts(sentences, normalised), min_count=min_count)
        return cls(words, width=width, flag_width=flag_width, context_dropout=context_dropout)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.bag_width,
            "flag_width": self.flag_width,
            "context_dropout": self.context_dropout,
        }

    def forward(self, flags: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.context_dropout > 0.0:
            hidden = torch.rand(len(flags), 1, 1, device=flags.device) < self.context_dropout
            flags = torch.where(hidden, flags.clamp(max=1), flags)
            before, after = before.masked_fill(hidden, 0), after.masked_fill(hidden, 0)
        columns = zip(self.flags, flags.unbind(2), strict=True)
        vectors = [vectors_of(table, column) for table, column in columns]
        vectors += [_bags(self.before, before), _bags(self.after, after)]
        return torch.cat(vectors, dim=2)


def _bags(table: nn.EmbeddingBag, words: Tensor) -> Tensor:
    """Return the mean vector of each token's words, ``(batch, length, width)``; 0 if none."""
    batch, length, _ = words.shape
    flat = words.view(batch * length, -1)
    vectors = table.weight.new_zeros(batch * length, table.embedding_dim)
    rows = flat[:, 0].nonzero().squeeze(1)  # few tokens have another mention
    return vectors.index_copy(0, rows, table(flat[rows])).view(batch, length, -1)


class TopicEmbedding(ContextEmbedding):
    """The mean vectors of a document's first words and of its distinct words, and a position.

    "Blackburn" is a club in a football report and a town in a weather report, and the second line
    of an agency report is its author. Only the text is used, no labels.

    All tokens of a sentence get the same vector. A sentence that has no document, or is the only
    one of it, gets the vector of no words; so do some sentences during training, so that the model
    also works if documents are unknown.

    Args:
        words: The known words.
        width: The width of the bag of first words, and of that of distinct words.
        position_width: The width of the vector of the sentence's position.
        context_dropout: The probability that a sentence's document is hidden in training.

    Raises:
        ValueError: A width is below 1, or the dropout is not between 0 and 1.
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
        """Build the embedding for the words seen at least ``min_count`` times."""
        words = frequent(form_counts(sentences, normalised), min_count=min_count)
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
        """Return the vectors of the tokens, ``(batch, length, width)``."""
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
