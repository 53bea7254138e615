"""What surrounds the other mentions of a token's form in its document.

A name is often plain in one sentence and not in another: "Blackburn" in a table is known from
"Blackburn striker Alan Shearer" above. No label is used, only the text of the document, so the
evidence is there in training and in use alike. It follows the idea of non-local features
(Krishnan and Manning 2006; Ratinov and Roth 2009), here as embeddings of neighbouring words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ner.batch import Arrays
from ner.embeddings.affixes import case
from ner.embeddings.base import ContextEmbedding, spread, vectors_of
from ner.embeddings.words import normalise
from ner.sentence import Document, Sentence
from ner.vocabulary import PADDING, Vocabulary, frequent

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


class DocumentEmbedding(ContextEmbedding):
    """Flags and bags of neighbouring words of the other mentions in the document.

    A sentence without a document is a document of its own. In training some sentences are
    shown without their document, so that a model also works where documents are unknown.

    Args:
        words: The neighbouring words it knows; of others only the class of their case.
        width: The width of the bag of words before, and of that of words after.
        flag_width: The width of the vector of each flag.
        context_dropout: How often a sentence's document is hidden in training.
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
        self.vocabulary = Vocabulary(words)
        self.bag_width = width
        self.flag_width = flag_width
        self.context_dropout = context_dropout
        self.width = 2 * width + flag_width * len(FLAGS)
        self.flags = nn.ModuleList(nn.Embedding(values, flag_width) for values in FLAGS)
        size = len(self.vocabulary) + len(CLASSES)
        self.before = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))
        self.after = spread(nn.EmbeddingBag(size, width, mode="mean", padding_idx=PADDING))
        self._last: tuple[Document, dict[tuple[int, int], tuple[int, int]]] | None = None

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
            "words": self.vocabulary.items,
            "width": self.bag_width,
            "flag_width": self.flag_width,
            "context_dropout": self.context_dropout,
        }

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


def _bags(table: nn.EmbeddingBag, words: Tensor) -> Tensor:
    """The mean of the vectors of each token's words, ``(batch, length, width)``; 0 of none."""
    batch, length, _ = words.shape
    flat = words.view(batch * length, -1)
    vectors = table.weight.new_zeros(batch * length, table.embedding_dim)
    rows = flat[:, 0].nonzero().squeeze(1)  # few tokens have another mention
    return vectors.index_copy(0, rows, table(flat[rows])).view(batch, length, -1)
