"""The vectors that come with a sentence."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ner.indexers.base import Arrays, ContextIndexer
from ner.sentence import Sentence


class GivenIndexer(ContextIndexer):
    """The vectors of each token that its sentence brings along, as they are.

    Args:
        width: Their width.
    """

    def __init__(self, width: int) -> None:
        self.width = width

    def settings(self) -> dict[str, Any]:
        return {"width": self.width}

    def index(self, sentence: Sentence) -> Arrays:
        """The vectors, ``(tokens, width)``, the only numbers of an indexer that are float32.

        Raises:
            ValueError: The sentence brings none, or others.
        """
        if not self.width:
            return cast("Arrays", (np.zeros((len(sentence), 0), dtype=np.float32),))
        expected = (len(sentence), self.width)
        found = None if sentence.vectors is None else np.asarray(sentence.vectors, np.float32)
        if found is None or found.shape != expected:
            raise ValueError(
                f"this model reads vectors that come with a sentence, of shape {expected}; got "
                f"{'none' if found is None else found.shape}; in a spaCy pipeline its tok2vec "
                "gives them, elsewhere Sentence(tokens, vectors=...)"
            )
        return cast("Arrays", (found,))
