"""The characters of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ner.indexers.base import Arrays, TypeIndexer, numbers
from ner.vocabulary import UNKNOWN, Vocabulary

HEAD, TAIL = 12, 6  # of a longer token, the first and the last characters are read
LONGEST = HEAD + TAIL


class CharacterIndexer(TypeIndexer):
    """The numbers of a token's characters.

    Args:
        characters: The characters it knows.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(characters)

    def settings(self) -> dict[str, Any]:
        return {"characters": self.vocabulary.items}

    def index(self, tokens: Sequence[str]) -> Arrays:
        """The characters of each token, ``(tokens, LONGEST)``, 0 beyond its end."""
        rows = ([self.vocabulary[c] for c in _ends(token)] or [UNKNOWN] for token in tokens)
        return (numbers(rows, LONGEST, len(tokens)),)


def _ends(token: str) -> str:
    return token if len(token) <= LONGEST else token[:HEAD] + token[-TAIL:]
