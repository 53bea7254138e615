"""The characters of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ner.indexers.base import Arrays, TypeIndexer
from ner.vocabulary import PADDING, UNKNOWN, Vocabulary

HEAD, TAIL = 12, 6  # of a longer token, the first and the last characters are read
LONGEST = HEAD + TAIL


class CharacterIndexer(TypeIndexer):
    """The numbers of a token's characters.

    Args:
        characters: The characters it knows.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(characters)
        known = {ord(c): self.vocabulary[c] for c in self.vocabulary.items if len(c) == 1}
        # by code point; the last entry stands for all beyond
        self._numbers = np.full(max(known, default=0) + 2, UNKNOWN, np.int64)
        self._numbers[list(known)] = list(known.values())

    def settings(self) -> dict[str, Any]:
        return {"characters": self.vocabulary.items}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The characters of each token, ``(tokens, LONGEST)``, 0 beyond its end.

        All at once, by their code points; an empty token has one unknown character.
        """
        read = [t if len(t) <= LONGEST else t[:HEAD] + t[-TAIL:] for t in tokens]
        lengths = np.fromiter(map(len, read), np.int64, len(read))
        codes = np.frombuffer("".join(read).encode("utf-32-le", "surrogatepass"), "<u4")
        array = np.full((len(read), LONGEST), PADDING, np.int64)
        array[np.arange(LONGEST) < lengths[:, None]] = self._numbers.take(codes, mode="clip")
        array[lengths == 0, 0] = UNKNOWN
        return (array,)
