"""The other mentions of a token's form in its document, and what stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ner.indexers.affixes import case
from ner.indexers.base import Arrays, ContextIndexer
from ner.indexers.words import normalise
from ner.sentence import Document, Sentence
from ner.vocabulary import Vocabulary

OTHERS = 6  # of a form's other mentions, the neighbours of so many are looked at
BOUNDARY = "boundary"
CLASSES = (
    BOUNDARY, "number", "letter", "upper", "lower", "title", "capital", "digits", "mixed", "other",
)  # fmt: skip
FLAGS = (5, 3, 3, 3)  # values of: how many others; one in lower case; in mid-sentence; in capitals


@dataclass(frozen=True, slots=True)
class Mentions:
    """How one form is written in a document, and what stands beside its capitalised mentions.

    Attributes:
        count: How many mentions there are.
        lower, middle, upper: How many are in lower case; capitalised within a sentence; in
            capitals.
        places: The first capitalised mentions, those in mixed case first.
    """

    count: int
    lower: int
    middle: int
    upper: int
    places: tuple[tuple[int, int], ...]


class DocumentIndexer(ContextIndexer):
    """Flags and neighbouring words of the other mentions in the document.

    A sentence without a document is a document of its own.

    Args:
        words: The neighbouring words it knows; of others only the class of their case.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(words)
        self._last: tuple[Document, dict[tuple[int, int], tuple[int, int]]] | None = None

    def __len__(self) -> int:
        """How many numbers of words there are, those of classes among them."""
        return len(self.vocabulary) + len(CLASSES)

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items}

    def index(self, sentence: Sentence) -> Arrays:
        """Flags ``(tokens, 4)``, words before and words after ``(tokens, OTHERS)``."""
        document = sentence.document or Document((sentence.tokens,))
        here = sentence.position if sentence.document else 0
        mentions, beside = mentions_in(document), self._beside(document)
        count = len(sentence)
        flags = np.zeros((count, len(FLAGS)), dtype=np.int64)
        before = np.zeros((count, OTHERS), dtype=np.int64)
        after = np.zeros((count, OTHERS), dtype=np.int64)
        for position, (token, found) in enumerate(
            zip(sentence.tokens, map(mentions.get, sentence.tokens), strict=True)
        ):
            if found is None:
                continue
            flags[position] = _flags(found, token, position)
            others = _others(found, (here, position))
            if others:
                words = [beside.get(place) or self._look(document, place) for place in others]
                before[position, : len(words)] = [word for word, _ in words]
                after[position, : len(words)] = [word for _, word in words]
        return flags, before, after

    def _beside(self, document: Document) -> dict[tuple[int, int], tuple[int, int]]:
        """The numbers of the words beside places of a document, as far as they are known."""
        last = self._last
        if last is None or last[0] is not document:  # sentences come document by document
            last = self._last = document, {}
        return last[1]

    def _look(self, document: Document, place: tuple[int, int]) -> tuple[int, int]:
        """The numbers of the words before and after a place, remembered."""
        row, column = place
        words = document.tokens[row]
        found = self._number(words, column - 1), self._number(words, column + 1)
        self._beside(document)[place] = found
        return found

    def _number(self, words: Sequence[str], position: int) -> int:
        if not 0 <= position < len(words):
            return len(self.vocabulary) + CLASSES.index(BOUNDARY)
        word = normalise(words[position])
        if word in self.vocabulary:
            return self.vocabulary[word]
        return len(self.vocabulary) + CLASSES.index(case(words[position]))


def is_name_like(token: str) -> bool:
    """Whether a token may begin a name: it begins with a letter that is not in lower case.

    In scripts without case every word may.
    """
    return token[:1].isalpha() and not token[:1].islower()


_MENTIONS: WeakKeyDictionary[Document, dict[str, Mentions]] = WeakKeyDictionary()


def mentions_in(document: Document) -> dict[str, Mentions]:
    """How the form of each name-like token is written in a document, computed once.

    The keys are the name-like tokens as they stand; tokens of one form share what is said.
    """
    known = _MENTIONS.get(document)
    if known is None:
        forms = _places(document)
        found = {form: _summary(document, places) for form, places in forms.items()}
        tokens = {token for words in document.tokens for token in words}
        known = {token: found[token.lower()] for token in tokens if is_name_like(token)}
        _MENTIONS[document] = known
    return known


def _places(document: Document) -> dict[str, list[tuple[int, int]]]:
    """Where each form that is name-like somewhere stands: its sentences and tokens."""
    distinct = {token for words in document.tokens for token in words}
    places: dict[str, list[tuple[int, int]]] = {
        token.lower(): [] for token in distinct if is_name_like(token)
    }
    lists = {token: places.get(token.lower()) for token in distinct}
    for row, words in enumerate(document.tokens):
        for column, own in enumerate(map(lists.__getitem__, words)):
            if own is not None:
                own.append((row, column))
    return places


# of a form with one mention: what it says of others is nothing, whatever its own case
_ONCE = tuple(Mentions(1, lower, 0, 0, ()) for lower in (0, 1))


def _summary(document: Document, places: Sequence[tuple[int, int]]) -> Mentions:
    if len(places) == 1:
        return _ONCE[document.tokens[places[0][0]][places[0][1]].islower()]
    written = [document.tokens[row][column] for row, column in places]
    capitalised = [
        (len(token) > 1 and token.isupper(), place)
        for token, place in zip(written, places, strict=True)
        if is_name_like(token)
    ]
    capitalised.sort(key=lambda mention: mention[0])  # stable: mixed case first, in text order
    return Mentions(
        count=len(places),
        lower=sum(map(str.islower, written)),
        middle=sum(map(_in_the_middle, written, (column for _, column in places))),
        upper=sum(len(token) > 1 and token.isupper() for token in written),
        places=tuple(place for _, place in capitalised[: OTHERS + 1]),
    )


def _in_the_middle(token: str, position: int) -> bool:
    return position > 0 and is_name_like(token) and not (len(token) > 1 and token.isupper())


def _flags(found: Mentions, token: str, position: int) -> tuple[int, int, int, int]:
    """The flags of one mention, which does not count itself."""
    others = found.count - 1
    middle = found.middle - _in_the_middle(token, position)
    upper = found.upper - (len(token) > 1 and token.isupper())
    return min(others, 3) + 1, 1 + (found.lower > 0), 1 + (middle > 0), 1 + (upper > 0)


def _others(found: Mentions, here: tuple[int, int]) -> list[tuple[int, int]]:
    return [place for place in found.places if place != here][:OTHERS]
