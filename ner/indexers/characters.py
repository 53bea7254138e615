"""Indexers of the spelling of a token: characters, token pairs, affixes and shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ner.indexers.base import PADDING, UNKNOWN, Arrays, ContextIndexer, TypeIndexer, Vocabulary
from ner.indexers.words import normalise
from ner.sentence import Sentence

HEAD, TAIL = 12, 6  # characters used at the beginning and end of long tokens
LONGEST = HEAD + TAIL


class CharacterIndexer(TypeIndexer):
    """The indices of a token's characters.

    Args:
        characters: The known characters.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(characters)
        known = {ord(c): self.vocabulary[c] for c in self.vocabulary.items if len(c) == 1}
        # by code point; the last entry stands for all higher ones
        self._numbers = np.full(max(known, default=0) + 2, UNKNOWN, np.int64)
        self._numbers[list(known)] = list(known.values())

    def settings(self) -> dict[str, Any]:
        return {"characters": self.vocabulary.items}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """Return the characters of each token, ``(tokens, LONGEST)``, 0 beyond its end.

        All are looked up at once by code point; an empty token has one unknown character.
        """
        read = [t if len(t) <= LONGEST else t[:HEAD] + t[-TAIL:] for t in tokens]
        lengths = np.fromiter(map(len, read), np.int64, len(read))
        codes = np.frombuffer("".join(read).encode("utf-32-le", "surrogatepass"), "<u4")
        array = np.full((len(read), LONGEST), PADDING, np.int64)
        array[np.arange(LONGEST) < lengths[:, None]] = self._numbers.take(codes, mode="clip")
        array[lengths == 0, 0] = UNKNOWN
        return (array,)


_BETWEEN = "\t"  # never occurs in a token of a column file


class PairIndexer(ContextIndexer):
    """The pairs of a token with its predecessor, and with its successor.

    Args:
        pairs: The known pairs, each as two normalised tokens separated by a tab.
    """

    def __init__(self, pairs: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(pairs)

    def settings(self) -> dict[str, Any]:
        return {"pairs": self.vocabulary.items}

    def index(self, sentence: Sentence) -> Arrays:
        """Return the indices of the pairs that end and begin with each token, ``(tokens, 2)``."""
        count = len(sentence)
        found = [self.vocabulary[pair] for pair in pairs_of(sentence.tokens)]
        flat = np.array(found, dtype=np.int64)  # tokens + 1 pairs, or none
        return (np.stack([flat[:count], flat[1 : count + 1]], axis=1),)


def pairs_of(tokens: Sequence[str]) -> Iterator[str]:
    """Yield each pair of neighbours, including both ends of the sentence."""
    if tokens:
        yield from map(_BETWEEN.join, pairwise(["", *map(normalise, tokens), ""]))


_DIGIT = re.compile(r"\d")
_RUN, _SHAPE = 3, 12  # maximum length of a run of one sign, and of a shape
_LONG_RUN = re.compile(rf"((.)\2{{{_RUN - 1}}})\2+", re.DOTALL)


def shape(token: str) -> str:
    """Return the shape of a token, with runs shortened: ``Xxx`` for London."""
    signs = "".join(map(_SIGNS.__getitem__, token[: 8 * _SHAPE]))
    return _LONG_RUN.sub(r"\1", signs)[:_SHAPE]


def case(token: str) -> str:
    """Return the class of a token's case."""
    for name, holds in _CASES.items():
        if holds(token):
            return name
    return "other"


def form(token: str) -> str:
    """Return the token with each digit replaced by 0."""
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
    """The values of features of a token's spelling.

    Args:
        values: The known values of each feature.

    Raises:
        ValueError: A feature is unknown.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        for name in values:
            if name not in FEATURES:
                raise ValueError(f"unknown feature {name!r}; expected {', '.join(FEATURES)}")
        self.vocabularies = {name: Vocabulary(known) for name, known in values.items()}

    def settings(self) -> dict[str, Any]:
        return {"values": {name: known.items for name, known in self.vocabularies.items()}}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """Return the values of each token's features, ``(tokens, features)``."""
        columns = [
            [known[FEATURES[name](token)] for token in tokens]
            for name, known in self.vocabularies.items()
        ]
        return (np.array(columns, dtype=np.int64).reshape(len(columns), len(tokens)).T,)


class _Signs(dict[str, str]):
    """The sign of each character in a shape."""

    def __missing__(self, character: str) -> str:
        letter = "X" if character.isupper() else "x" if character.isalpha() else ""
        self[character] = sign = letter or ("d" if character.isdigit() else character)
        return sign


_SIGNS = _Signs()
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
