"""The text half of transformer embeddings: the windows of sentences, and the states of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ner.errors import ConfigError
from ner.indexers.base import Arrays, ContextIndexer, OfDocuments
from ner.indexers.subwords import (
    MOST,
    OVERLAP,
    Features,
    Floats,
    Memory,
    Subwords,
    SubwordWindow,
    Windows,
)
from ner.sentence import Sentence

Subword = NDArray[np.int64]
Item = TypeVar("Item")
AT_ONCE = 2048  # subwords that are read together, padding included
TOGETHER = 200  # windows whose states are kept together


class Stretch(NamedTuple):
    """Words of a sentence that stand in one window.

    Attributes:
        windows: The windows of the document.
        number: Which of them.
        start: The first word, counted in the window.
        end: One past the last word.
    """

    windows: Windows
    number: int
    start: int
    end: int

    @property
    def place(self) -> tuple[int, int]:
        """The properties that tell its windows from others."""
        return id(self.windows), self.number

    @property
    def window(self) -> SubwordWindow:
        """Its window."""
        return self.windows[self.number]


class TransformerIndexer(ContextIndexer):
    """Reads the states of a sentence's words, window by window.

    A sentence without a document is a document of its own. What computes the states is given by
    whoever has the transformer, as ``reader``; all else is done here, without torch.

    Args:
        tokenizer: The text of a ``tokenizer.json``.
        window: The most subwords of the words of a window.
        context: How many subwords of the neighbouring text a window is given on either side.
        positions: The most subwords that the transformer reads at once.
        padding: The subword that stands beyond the end of a window.
        pooling: The state of a word: the ``mean`` over its subwords, or that of the ``first``.
        state_width: The width of a state.
        states: Which states of which transformer they are.

    Attributes:
        reader: From subwords and which of them are real, ``(windows, length)`` each, to their
            states, ``(windows, length, state_width)``.
        features: Where states are kept on disk, if they are.

    Raises:
        ConfigError: The tokenizer cannot be used.
        ValueError: Windows of this size do not fit.
    """

    reader: Callable[[Subword, Subword], Floats] | None = None
    features: Features | None = None

    def __init__(  # noqa: PLR0913 - what a model's directory says
        self,
        tokenizer: str,
        *,
        window: int,
        context: int,
        positions: int,
        padding: int,
        pooling: Literal["mean", "first"],
        state_width: int,
        states: str,
    ) -> None:
        self.subwords = Subwords(tokenizer)
        if context < 0:
            raise ValueError(f"context must be at least 0, got {context}")
        specials = len(self.subwords.prefix) + len(self.subwords.suffix)
        longest = positions - specials - 2 * max(context, OVERLAP)
        if not MOST <= window <= longest:
            raise ValueError(
                f"window must be from {MOST} to {longest} with a context of {context}, as the "
                f"transformer reads {positions} subwords at once; got {window}"
            )
        self._settings = {
            "window": window,
            "context": context,
            "positions": positions,
            "padding": padding,
            "pooling": pooling,
            "state_width": state_width,
            "states": states,
        }
        self.window, self.context = window, context
        self.pooling, self.state_width, self.padding = pooling, state_width, padding
        self.memory = Memory()
        self._known: OfDocuments[Windows] = OfDocuments()

    def settings(self) -> dict[str, Any]:
        return {"tokenizer": self.subwords.text, **self._settings}

    def index(self, sentence: Sentence) -> Arrays:
        """The states of the words of a sentence, ``(tokens, state_width)``, float32."""
        return self.index_all([sentence])[0]

    def index_all(self, sentences: Sequence[Sentence]) -> list[Arrays]:
        """The states of the words of each sentence; windows that they share are read once.

        Raises:
            ConfigError: There is no transformer at hand.
        """
        stretches = [list(self.stretches(sentence)) for sentence in sentences]
        windows = {stretch.place: stretch for own in stretches for stretch in own}
        cut = {place: stretch.window for place, stretch in windows.items()}
        keys = {place: window.key for place, window in cut.items()}
        found = self._found({keys[place]: window for place, window in cut.items()})
        nothing = np.zeros((0, self.state_width), np.float32)
        rows = [[found[keys[s.place]][s.start : s.end] for s in own] for own in stretches]
        return [cast("Arrays", (_joined(own, nothing),)) for own in rows]

    def stretches(self, sentence: Sentence) -> Iterator[Stretch]:
        """The words of a sentence, window by window."""
        windows, place = self._windows(sentence)
        start, end = windows.starts[place : place + 2]
        for number in windows.of(start, end):
            first, last = (int(n) for n in windows.bounds[number : number + 2])
            yield Stretch(windows, number, max(start, first) - first, min(end, last) - first)

    def batch(self, windows: Sequence[SubwordWindow]) -> SubwordBatch:
        """Windows side by side."""
        return SubwordBatch.of(windows, self.padding)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: v for name, v in self.__dict__.items() if name not in ("reader", "features")}
        return {**kept, "memory": Memory()}

    def _windows(self, sentence: Sentence) -> tuple[Windows, int]:
        """The windows of a sentence's document, and which of its sentences this is."""
        document, place = sentence.document, sentence.position
        if document is None:
            return self._cut((sentence.tokens,)), 0
        rows = document.tokens
        if not (place < len(rows) and rows[place] == sentence.tokens):  # it was changed since
            place = min(place, len(rows))
            return self._cut((*rows[:place], sentence.tokens, *rows[place + 1 :])), place
        known = self._known.get(document)
        if known is None:
            known = self._known[document] = self._cut(rows)
        return known, place

    def _cut(self, sentences: Sequence[Sequence[str]]) -> Windows:
        return Windows(sentences, self.subwords, size=self.window, context=self.context)

    def _found(self, windows: Mapping[bytes, SubwordWindow]) -> dict[bytes, Floats]:
        """The states of the words of windows, by their keys."""
        kept = self.memory if self.features is None else self.features
        looked = {key: kept.find(key) for key in windows}
        found = {key: states for key, states in looked.items() if states is not None}
        missing = [(key, windows[key]) for key in windows if key not in found]
        missing.sort(key=lambda pair: len(pair[1].ids))
        for start in range(0, len(missing), TOGETHER):
            fresh = self._computed(dict(missing[start : start + TOGETHER]))
            kept.add(fresh)
            found.update(fresh)
        return found

    def _computed(self, windows: Mapping[bytes, SubwordWindow]) -> dict[bytes, Floats]:
        """The states of the words of windows that come shortest first."""
        if self.reader is None:
            raise ConfigError("there is no transformer to read these sentences with")
        fresh: dict[bytes, Floats] = {}
        for group in grouped(list(windows.items()), lambda pair: len(pair[1].ids)):
            batch = self.batch([window for _, window in group])
            states = self.reader(batch.ids, batch.mask)
            rows = np.ascontiguousarray(batch.pooled(states, self.pooling), np.float32)
            ends = np.cumsum([len(window) for _, window in group])[:-1]
            fresh.update(zip((key for key, _ in group), np.split(rows, ends), strict=True))
        return fresh


@dataclass(frozen=True, slots=True, eq=False)
class SubwordBatch:
    """Windows as a transformer reads them together.

    Attributes:
        ids: Their subwords, ``(windows, length)``.
        mask: 1 where a subword is real, ``(windows, length)``.
        pieces: Where the subwords of their words stand, counted through all rows, ``(pieces,)``.
        firsts: Which of ``pieces`` is the first of each word, ``(words,)``.
        counts: How many each word has, ``(words,)``.
    """

    ids: Subword
    mask: Subword
    pieces: Subword
    firsts: Subword
    counts: Subword

    @classmethod
    def of(cls, windows: Sequence[SubwordWindow], padding: int) -> SubwordBatch:
        """Windows, padded to the longest."""
        length = max(len(window.ids) for window in windows)
        ids = np.full((len(windows), length), padding, np.int64)
        mask = np.zeros((len(windows), length), np.int64)
        pieces = []
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
            begin = row * length + window.start
            pieces.append(np.arange(begin, begin + int(window.counts.sum()), dtype=np.int64))
        counts = np.concatenate([window.counts for window in windows]).astype(np.int64)
        return cls(ids, mask, np.concatenate(pieces), np.cumsum(counts) - counts, counts)

    def pooled(self, states: Floats, pooling: str) -> Floats:
        """The states of the words, ``(words, width)``, of those of subwords, with their rows."""
        flat = states.reshape(-1, states.shape[-1])
        if pooling == "first":
            return flat[self.pieces[self.firsts]]
        total: Floats = np.add.reduceat(flat[self.pieces], self.firsts, axis=0)
        return np.asarray(total / self.counts[:, None], np.float32)


def grouped(items: Sequence[Item], length: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Items that are read together, ``AT_ONCE`` subwords with padding; they come shortest first."""
    group: list[Item] = []
    for item in items:
        if group and length(item) * (len(group) + 1) > AT_ONCE:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _joined(parts: Sequence[Floats], nothing: Floats) -> Floats:
    """The rows of a sentence; those of a single window are not copied."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else nothing


class Registry:
    """The windows of the sentences that a transformer is tuned on; each of their words a number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._windows: list[SubwordWindow] = []
        self._ends: list[int] = [1]  # of the numbers of each window's words; 0 is padding

    def slots(self, stretches: Sequence[Stretch]) -> NDArray[np.int64]:
        """The number of each word."""
        numbers = []
        for stretch in stretches:
            window = stretch.window
            place = self._numbers.setdefault(window.key, len(self._windows))
            if place == len(self._windows):
                self._windows.append(window)
                self._ends.append(self._ends[-1] + len(window))
            first = self._ends[place]
            numbers.append(np.arange(first + stretch.start, first + stretch.end, dtype=np.int64))
        return np.concatenate(numbers) if numbers else np.zeros(0, np.int64)

    def windows(self, slots: NDArray[np.int64]) -> tuple[list[SubwordWindow], NDArray[np.int64]]:
        """The windows of some words, shortest first, and which of all their words each is."""
        places = np.searchsorted(self._ends, slots, side="right") - 1
        needed = np.unique(places)
        lengths = np.array([len(self._windows[place].ids) for place in needed])
        needed = needed[np.argsort(lengths, kind="stable")]
        windows = [self._windows[place] for place in needed]
        begins = np.cumsum([0, *map(len, windows)])[:-1]
        rank = np.empty(len(self._windows), np.int64)
        rank[needed] = np.arange(len(needed))
        within = slots - np.array(self._ends)[places]
        return windows, begins[rank[places]] + within

    def __reduce__(self) -> tuple[Any, ...]:
        return Registry, ()
