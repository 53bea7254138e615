"""Vectors for what a token looks like: its first and last letters, its shape, its case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ner.batch import Arrays
from ner.embeddings.base import TypeEmbedding, spread, vectors_of
from ner.sentence import Sentence
from ner.vocabulary import Vocabulary, frequent

_DIGIT = re.compile(r"\d")
_RUN, _SHAPE = 3, 12  # longest run of one sign in a shape, longest shape


def shape(token: str) -> str:
    """The token with its letters and digits blotted out and runs cut: ``Xxx`` for London."""
    signs = (_sign(character) for character in token[: 8 * _SHAPE])
    return "".join("".join(list(run)[:_RUN]) for _, run in groupby(signs))[:_SHAPE]


def case(token: str) -> str:
    """The class of a token's case."""
    for name, holds in _CASES.items():
        if holds(token):
            return name
    return "other"


def form(token: str) -> str:
    """The token itself, every digit a 0."""
    return _DIGIT.sub("0", token)


FEATURES: Mapping[str, Callable[[str], str]] = {
    "prefix1": lambda token: token[:1],
    "prefix2": lambda token: token[:2],
    "prefix3": lambda token: token[:3],
    "prefix4": lambda token: token[:4],
    "suffix1": lambda token: token[-1:],
    "suffix2": lambda token: token[-2:],
    "suffix3": lambda token: token[-3:],
    "suffix4": lambda token: token[-4:],
    "shape": shape,
    "case": case,
    "form": form,
}
DEFAULT = ("prefix3", "suffix3", "shape", "case", "form")


class AffixEmbedding(TypeEmbedding):
    """A learned vector for each value of each feature of a token's spelling.

    Args:
        values: For each feature the values it knows.
        width: The width of the vectors of one feature.
    """

    def __init__(self, values: Mapping[str, Sequence[str]], *, width: int = 20) -> None:
        super().__init__()
        self.vocabularies = {name: Vocabulary(known) for name, known in values.items()}
        self.feature_width = width
        self.width = width * len(values)
        self.vectors = nn.ModuleDict(
            {
                name: spread(nn.Embedding(len(known), width))
                for name, known in self.vocabularies.items()
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
        values = {name: known.items for name, known in self.vocabularies.items()}
        return {"values": values, "width": self.feature_width}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The values of each token's features, ``(tokens, features)``."""
        columns = [
            [known[FEATURES[name](token)] for token in tokens]
            for name, known in self.vocabularies.items()
        ]
        return (np.array(columns, dtype=np.int64).reshape(len(columns), len(tokens)).T,)

    def forward(self, indices: Tensor) -> Tensor:
        """Vectors of the tokens, ``(tokens, width)``."""
        columns = indices.unbind(1)
        tables = self.vectors.values()
        return torch.cat(
            [vectors_of(table, column) for table, column in zip(tables, columns, strict=True)],
            dim=1,
        )


def _sign(character: str) -> str:
    if character.isupper():
        return "X"
    if character.isalpha():
        return "x"
    return "d" if character.isdigit() else character


_CASES: Mapping[str, Callable[[str], bool]] = {
    "number": str.isdigit,
    "letter": lambda token: len(token) == 1 and token.isupper(),
    "upper": str.isupper,
    "lower": str.islower,
    "title": lambda token: token[:1].isupper() and token[1:].islower(),
    "capital": lambda token: token[:1].isupper(),
    "digits": lambda token: any(character.isdigit() for character in token),
    "mixed": str.isalpha,
}
