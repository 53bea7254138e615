"""What a token looks like: its first and last letters, its shape, its case."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from ner.indexers.base import Arrays, TypeIndexer
from ner.vocabulary import Vocabulary

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


class AffixIndexer(TypeIndexer):
    """The value of each of some features of a token's spelling.

    Args:
        values: For each feature the values it knows.

    Raises:
        ValueError: There is no such feature.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        for name in values:
            if name not in FEATURES:
                raise ValueError(f"no feature is called {name!r}; there are {', '.join(FEATURES)}")
        self.vocabularies = {name: Vocabulary(known) for name, known in values.items()}

    def settings(self) -> dict[str, Any]:
        return {"values": {name: known.items for name, known in self.vocabularies.items()}}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The values of each token's features, ``(tokens, features)``."""
        columns = [
            [known[FEATURES[name](token)] for token in tokens]
            for name, known in self.vocabularies.items()
        ]
        return (np.array(columns, dtype=np.int64).reshape(len(columns), len(tokens)).T,)


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
