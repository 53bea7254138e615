"""What surrounds the other mentions of a token's form in its document.

A name is often plain in one sentence and not in another: "Blackburn" in a table is known from
"Blackburn striker Alan Shearer" above. No label is used, only the text of the document, so the
evidence is there in training and in use alike. It follows the idea of non-local features
(Krishnan and Manning 2006; Ratinov and Roth 2009), here as embeddings of neighbouring words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import ContextEmbedding, check_shares, check_widths, spread, vectors_of
from ner.indexers.document import FLAGS, DocumentIndexer
from ner.indexers.words import normalise
from ner.sentence import Sentence
from ner.vocabulary import PADDING, frequent


class DocumentEmbedding(ContextEmbedding):
    """Flags and bags of neighbouring words of the other mentions in the document.

    A sentence without a document is a document of its own. In training some sentences are
    shown without their document, so that a model also works where documents are unknown.

    Args:
        words: The neighbouring words it knows; of others only the class of their case.
        width: The width of the bag of words before, and of that of words after.
        flag_width: The width of the vector of each flag.
        context_dropout: How often a sentence's document is hidden in training.

    Raises:
        ValueError: A width is below 1, or the dropout no share.
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
        """Build it for the neighbouring words seen at least ``min_count`` times."""
        counts = Counter(normalise(token) for sentence in sentences for token in sentence.tokens)
        words = frequent(counts.elements(), min_count=min_count)
        return cls(words, width=width, flag_width=flag_width, context_dropout=context_dropout)

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "width": self.bag_width,
            "flag_width": self.flag_width,
            "context_dropout": self.context_dropout,
        }

    def forward(self, flags: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Vectors of the tokens, ``(batch, length, width)``."""
        if self.training and self.context_dropout > 0.0:
            hidden = torch.rand(len(flags), 1, 1, device=flags.device) < self.context_dropout
            flags = torch.where(hidden, flags.clamp(max=1), flags)
            before, after = before.masked_fill(hidden, 0), after.masked_fill(hidden, 0)
        columns = zip(self.flags, flags.unbind(2), strict=True)
        vectors = [vectors_of(table, column) for table, column in columns]
        vectors += [_bags(self.before, before), _bags(self.after, after)]
        return torch.cat(vectors, dim=2)


def _bags(table: nn.EmbeddingBag, words: Tensor) -> Tensor:
    """The mean of the vectors of each token's words, ``(batch, length, width)``; 0 of none."""
    batch, length, _ = words.shape
    flat = words.view(batch * length, -1)
    vectors = table.weight.new_zeros(batch * length, table.embedding_dim)
    rows = flat[:, 0].nonzero().squeeze(1)  # few tokens have another mention
    return vectors.index_copy(0, rows, table(flat[rows])).view(batch, length, -1)
