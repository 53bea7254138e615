"""The document context of a token: its topic, and the other mentions of the same form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ner.indexers.base import UNKNOWN, Arrays, ContextIndexer, OfDocuments, TokenNumbers, Vocabulary
from ner.indexers.characters import case
from ner.indexers.words import normalise
from ner.sentence import Document, Sentence

HEADLINE, TOPIC = 16, 96  # number of first words of a document, of its distinct words
POSITIONS = 6  # no document; the first four sentences, one by one; all further ones
OTHERS = 6  # maximum number of other mentions of a form whose neighbours are used
BOUNDARY = "boundary"
CLASSES = (
    BOUNDARY, "number", "letter", "upper", "lower", "title", "capital", "digits", "mixed", "other",
)  # fmt: skip
FLAGS = (5, 3, 3, 3)  # sizes of: number of others; any in lower case, mid-sentence, in capitals
NAME, CAPITALS, LOWER = 1, 2, 4  # flag bits of packed facts
WORD, FORM = 3, 32  # first bits of the word index and the form index in packed facts
FEW = 64  # tokens of a document whose context is found in a simpler way where no name recurs
Integers = NDArray[np.int64]
Kept = NDArray[np.int32]
Known = tuple[list[int], tuple[Kept, ...]]  # starts of a document's sentences, and its contexts


class TopicIndexer(ContextIndexer):
    """The first words of a document, its distinct words, and the position of the sentence.

    Args:
        words: The known words.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(words)
        self._numbers = WordNumbers(self.vocabulary)
        self._known: OfDocuments[NDArray[np.int64]] = OfDocuments()

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items}

    def index(self, sentence: Sentence) -> Arrays:
        """Return the position, the first and the distinct words, ``(tokens, 1 + words)``.

        All tokens share one row in memory.
        """
        row = np.zeros(1 + HEADLINE + TOPIC, dtype=np.int64)
        document = sentence.document
        if document is not None and len(document.tokens) > 1:
            row[0] = min(sentence.position + 1, POSITIONS - 1)
            row[1:] = self._words(document)
        # one row with stride 0, like as_strided but without its checks
        return (np.ndarray((len(sentence), len(row)), row.dtype, row, 0, (0, row.itemsize)),)

    def _words(self, document: Document) -> NDArray[np.int64]:
        """Return the first words of a document, then its distinct words, rare ones first."""
        words = self._known.get(document)
        if words is not None:
            return words
        self._numbers = numbers = self._numbers.bounded()
        words = np.zeros(HEADLINE + TOPIC, dtype=np.int64)
        first = [numbers[word] for tokens in document.tokens[:2] for word in tokens[:HEADLINE]]
        words[: len(first[:HEADLINE])] = first[:HEADLINE]
        distinct = set(map(numbers.__getitem__, chain.from_iterable(document.tokens)))
        rare = sorted(distinct - {UNKNOWN}, reverse=True)[:TOPIC]
        words[HEADLINE : HEADLINE + len(rare)] = rare
        self._known[document] = words
        return words


class WordNumbers(TokenNumbers):
    """The index of each token's word."""

    def number(self, token: str) -> int:
        return self.vocabulary[normalise(token)]


class DocumentIndexer(ContextIndexer):
    """Flags and neighbouring words of the other mentions in the document.

    A sentence without a document is treated as a document.

    Args:
        words: The known neighbouring words; other words are represented by their case.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(words)
        self._facts = TokenFacts(self.vocabulary)
        self._known: OfDocuments[Known] = OfDocuments()

    def __len__(self) -> int:
        """Return the number of word indices, including those of the classes."""
        return len(self.vocabulary) + len(CLASSES)

    def settings(self) -> dict[str, Any]:
        return {"words": self.vocabulary.items}

    def index(self, sentence: Sentence) -> Arrays:
        """Return flags ``(tokens, 4)``, words before and words after ``(tokens, OTHERS)``."""
        return self.index_all([sentence])[0]

    def index_all(self, sentences: Sequence[Sentence]) -> list[Arrays]:
        """Return ``index`` of each sentence; new documents are processed together."""
        if len(sentences) == 1 and sentences[0].document is None:  # nothing to remember
            ((_, only),) = self._read([_document_of(sentences[0])])
            return [tuple(array.astype(np.int64) for array in only)]
        documents = [_document_of(sentence) for sentence in sentences]
        known = {document: self._known.get(document) for document in documents}
        new = [document for document, found in known.items() if found is None]
        read = dict(zip(new, self._read(new), strict=True))
        self._known.update(read)
        arrays: list[Arrays] = []
        for sentence, document in zip(sentences, documents, strict=True):
            starts, whole = known[document] or read[document]
            place = sentence.position if document is sentence.document else _place(sentence)
            start, end = starts[place], starts[place + 1]
            arrays.append(tuple(array[start:end].astype(np.int64) for array in whole))
        return arrays

    def _read(self, documents: Sequence[Document]) -> list[Known]:
        """Return the contexts of the tokens of documents."""
        self._facts = facts = self._facts.bounded()
        rows = [tokens for document in documents for tokens in document.tokens]
        ends = list(accumulate(map(len, rows), initial=0))
        numbers = list(map(facts.__getitem__, chain.from_iterable(rows)))
        if len(documents) == 1 and len(numbers) <= FEW:
            arrays = _without_others(numbers)
            if arrays is not None:
                return [(ends, arrays)]
        packed = np.array(numbers, dtype=np.int64)
        sentences = list(accumulate((len(d.tokens) for d in documents), initial=0))
        bounds = [ends[row] for row in sentences]
        tokens = _unpacked(packed, np.diff(bounds), np.array(ends[:-1], dtype=np.int64))
        arrays = _contexts(tokens, len(self.vocabulary) + CLASSES.index(BOUNDARY))
        return [
            (
                [end - start for end in ends[first : last + 1]],
                arrays if len(documents) == 1 else tuple(a[start:end].copy() for a in arrays),
            )
            for first, last, start, end in zip(
                sentences, sentences[1:], bounds, bounds[1:], strict=False
            )
        ]


class TokenFacts(TokenNumbers):
    """Facts about tokens, packed: name-like or not, letter case, word and form."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self._forms: dict[str, int] = {}
        self._next = count()

    def number(self, token: str) -> int:
        name, capitals = is_name_like(token), len(token) > 1 and token.isupper()
        form = self._forms.setdefault(token.lower(), next(self._next))
        flags = NAME * name | CAPITALS * capitals | LOWER * token.islower()
        return form << FORM | self._word(token) << WORD | flags

    def _word(self, token: str) -> int:
        word = normalise(token)
        if word in self.vocabulary:
            return self.vocabulary[word]
        return len(self.vocabulary) + CLASSES.index(case(token))


def is_name_like(token: str) -> bool:
    """Return whether a token may begin a name: it starts with a letter not in lower case.

    In scripts without case, this is true for every word.
    """
    return token[:1].isalpha() and not token[:1].islower()


def _document_of(sentence: Sentence) -> Document:
    """Return the document of a sentence, updated if the sentence was changed."""
    document = sentence.document
    if document is None:
        return Document((sentence.tokens,))
    rows, position = document.tokens, sentence.position
    if position < len(rows) and rows[position] == sentence.tokens:
        return document
    return Document((*rows[:position], sentence.tokens, *rows[position + 1 :]))


def _place(sentence: Sentence) -> int:
    """Return the index of the sentence in a document made for it."""
    return min(sentence.position, len(sentence.document.tokens)) if sentence.document else 0


class _Tokens(NamedTuple):
    """The tokens of documents, ``(tokens,)`` each.

    Attributes:
        names, capitals, lower: Whether each is name-like; in capitals; in lower case.
        words: The index of its word.
        firsts: Whether it is the first of a sentence.
        groups: The index of its form within its document.
        order: The tokens sorted by group, then by position.
        heads: The start of each group in `order`, ``(groups,)``.
    """

    names: NDArray[np.bool_]
    capitals: NDArray[np.bool_]
    lower: NDArray[np.bool_]
    words: Integers
    firsts: NDArray[np.bool_]
    groups: Integers
    order: Integers
    heads: Integers

    def totals(self, which: NDArray[np.bool_]) -> Integers:
        """Return the number of selected tokens of each group, ``(groups,)``."""
        return np.bincount(self.groups[which], minlength=len(self.heads))


def _unpacked(packed: Integers, sizes: Integers, starts: Integers) -> _Tokens:
    """Unpack the facts about tokens.

    Args:
        packed: The value of ``TokenFacts`` for each token.
        sizes: The number of tokens of each document.
        starts: The first token of each sentence; entries beyond the last token are ignored.
    """
    firsts = np.zeros(len(packed), dtype=bool)
    firsts[starts[starts < len(packed)]] = True
    names, capitals, lower = (packed & bit != 0 for bit in (NAME, CAPITALS, LOWER))
    keys = packed >> FORM | np.repeat(np.arange(len(sizes)) << FORM, sizes)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    differs = np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(keys)]
    groups = np.empty_like(keys)
    groups[order] = np.cumsum(differs) - 1
    words = (packed >> WORD) & ((1 << FORM - WORD) - 1)
    return _Tokens(names, capitals, lower, words, firsts, groups, order, np.flatnonzero(differs))


def _contexts(tokens: _Tokens, boundary: int) -> tuple[Kept, ...]:
    """Return the flags of tokens, and the words before and after other mentions of their forms.

    In a small integer type, since they are cached as long as the document exists.
    """
    flags = np.zeros((len(tokens.words), len(FLAGS)), dtype=np.int32)
    before, after = (np.zeros((len(tokens.words), OTHERS), dtype=np.int32) for _ in "ba")
    own = np.flatnonzero(tokens.names)
    if not len(own):
        return flags, before, after
    counts = np.bincount(tokens.groups)
    flags[own] = _flags(tokens, own, counts)
    several = own[counts[tokens.groups[own]] > 1]
    if len(several):
        others = _others(tokens, several)
        left, right = _neighbours(tokens, boundary)
        before[several], after[several] = left[others], right[others]
    return flags, before, after


def _without_others(numbers: Sequence[int]) -> tuple[Kept, ...] | None:
    """Return what `_contexts` does, for a few tokens; None where a name is mentioned twice.

    Args:
        numbers: The value of ``TokenFacts`` for each token.
    """
    named = {number >> FORM for number in numbers if number & NAME}
    if sum([number >> FORM in named for number in numbers]) > len(named):
        return None
    before, after = np.zeros((2, len(numbers), OTHERS), dtype=np.int32)
    bits = np.array(numbers, np.int64) & (NAME | LOWER)
    return _ALONE.take(bits, 0), before, after


# The flags of a form that is mentioned once, by the bits NAME and LOWER of its facts.
_ALONE = np.zeros((1 + (NAME | LOWER), len(FLAGS)), dtype=np.int32)
_ALONE[[NAME, NAME | LOWER]] = 1
_ALONE[NAME | LOWER, 1] = 2


def _flags(tokens: _Tokens, own: Integers, counts: Integers) -> Integers:
    """Return the flags of mentions, ``(mentions, flags)``; a mention does not count itself."""
    groups = tokens.groups[own]
    middle = tokens.names & ~tokens.capitals & ~tokens.firsts
    columns = [
        np.minimum(counts[groups] - 1, FLAGS[0] - 2),
        tokens.totals(tokens.lower)[groups] > 0,
        tokens.totals(middle)[groups] > middle[own],
        tokens.totals(tokens.capitals)[groups] > tokens.capitals[own],
    ]
    return 1 + np.stack(columns, axis=1).astype(np.int64)


def _others(tokens: _Tokens, own: Integers) -> Kept:
    """Return the first other mentions of each form, ``(mentions, OTHERS)``, padded with -1.

    Those not in capitals come first, otherwise in the order of the text.

    Args:
        tokens: The tokens.
        own: All name-like mentions of forms that occur more than once.
    """
    ranked = np.argsort(tokens.groups[own] * 2 + tokens.capitals[own], kind="stable")
    order = own[ranked]
    groups = tokens.groups[order]
    heads = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1])))
    sizes = np.diff(heads, append=len(groups))
    rank = np.arange(len(groups)) - np.repeat(heads, sizes)
    row = np.repeat(np.arange(len(heads)), sizes)
    near = rank <= OTHERS
    table = np.full((len(heads), OTHERS + 1), -1, dtype=np.int32)
    table[row[near], rank[near]] = order[near]
    # a mention takes the table's row of its form, and skips its own column
    places = np.where(near, rank, OTHERS)[:, None]
    column = np.arange(OTHERS)
    found = np.empty((len(own), OTHERS), dtype=np.int32)
    found[ranked] = table[row[:, None], column + (column >= places)]
    return found


def _neighbours(tokens: _Tokens, boundary: int) -> tuple[Integers, Integers]:
    """Return the words before and after each token, and 0 at index -1, ``(tokens + 1,)``."""
    words = tokens.words
    left = np.where(tokens.firsts, boundary, np.concatenate(([boundary], words[:-1])))
    lasts = np.append(tokens.firsts[1:], True)
    right = np.where(lasts, boundary, np.append(words[1:], boundary))
    return np.append(left, 0), np.append(right, 0)
