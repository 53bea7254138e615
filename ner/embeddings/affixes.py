"""Vectors for what a token looks like: its first and last letters, its shape, its case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ner.embeddings.base import TypeEmbedding, check_widths, spread, vectors_of
from ner.indexers.affixes import FEATURES, AffixIndexer, form
from ner.sentence import Sentence
from ner.vocabulary import frequent

DEFAULT = ("prefix3", "suffix3", "shape", "case", "form")


class AffixEmbedding(TypeEmbedding):
    """A learned vector for each value of each feature of a token's spelling.

    Args:
        values: For each feature the values it knows.
        width: The width of the vectors of one feature.

    Raises:
        ValueError: There is no feature, or the width is below 1.
    """

    def __init__(self, values: Mapping[str, Sequence[str]], *, width: int = 20) -> None:
        super().__init__()
        check_widths(width=width)
        if not values:
            raise ValueError(f"features must name at least one of {', '.join(FEATURES)}")
        self.indexer = AffixIndexer(values)
        self.feature_width = width
        self.width = width * len(values)
        self.vectors = nn.ModuleDict(
            {
                name: spread(nn.Embedding(len(known), width))
                for name, known in self.indexer.vocabularies.items()
            }
        )

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        features: Sequence[str] = DEFAULT,
        min_count: int = 2,
        width: int = 20,
    ) -> Self:
        """Build it for the values that at least ``min_count`` distinct tokens have.

        Of forms, whose values are all but the tokens themselves, occurrences are counted.
        """
        for name in features:
            if name not in FEATURES:
                raise ValueError(f"no feature is called {name!r}; there are {', '.join(FEATURES)}")
        counts = Counter(token for sentence in sentences for token in sentence.tokens)
        values = {
            name: frequent(
                (form(token) for token in counts.elements())
                if name == "form"
                else map(FEATURES[name], counts),
                min_count=min_count,
            )
            for name in features
        }
        return cls(values, width=width)

    def settings(self) -> dict[str, Any]:
        return {**self.indexer.settings(), "width": self.feature_width}

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the tokens, ``(tokens, width)``."""
        columns = indices.unbind(1)
        tables = self.vectors.values()
        return torch.cat(
            [vectors_of(table, column) for table, column in zip(tables, columns, strict=True)],
            dim=1,
        )
