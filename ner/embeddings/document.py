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
from ner.embeddings.base import ContextEmbedding, numbers, spread, vectors_of
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
        mentions = mentions_in(document)
        count = len(sentence)
        flags = np.zeros((count, len(FLAGS)), dtype=np.int64)
        before: list[list[int]] = [[] for _ in range(count)]
        after: list[list[int]] = [[] for _ in range(count)]
        for position, token in enumerate(sentence.tokens):
            found = mentions.get(token.lower()) if is_name_like(token) else None
            if found is None:
                continue
            flags[position] = _flags(found, token, position)
            for row, column in _others(found, (here, position)):
                words = document.tokens[row]
                before[position].append(self._number(words, column - 1))
                after[position].append(self._number(words, column + 1))
        return flags, numbers(before, OTHERS, count), numbers(after, OTHERS, count)

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
    """How each form that is name-like somewhere is written in a document, computed once."""
    known = _MENTIONS.get(document)
    if known is None:
        known = {
            form: _summary(document, places)
            for form, places in document.mentions.items()
            if any(is_name_like(document.tokens[row][column]) for row, column in places)
        }
        _MENTIONS[document] = known
    return known


def _summary(document: Document, places: Sequence[tuple[int, int]]) -> Mentions:
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
