"""The indexer of transformer embeddings: windows of sentences, and states of words."""

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
AT_ONCE = 2048  # maximum subwords per batch, including padding
TOGETHER = 200  # windows whose states are stored together


class Stretch(NamedTuple):
    """The words of a sentence in one window.

    Attributes:
        windows: The windows of the document.
        number: The index of the window.
        start: The first word, counted in the window.
        end: One past the last word.
    """

    windows: Windows
    number: int
    start: int
    end: int

    @property
    def place(self) -> tuple[int, int]:
        """A key of the window."""
        return id(self.windows), self.number

    @property
    def window(self) -> SubwordWindow:
        """The window."""
        return self.windows[self.number]


class TransformerIndexer(ContextIndexer):
    """Computes the states of a sentence's words, window by window.

    A sentence without a document is treated as a document. The owner of the transformer sets
    ``reader``, which computes states; everything else is done here, without torch.

    Args:
        tokenizer: The text of a ``tokenizer.json``.
        window: The maximum number of subwords of a window, without its context.
        context: The number of subwords of context on either side of a window.
        positions: The maximum number of subwords that the transformer reads.
        padding: The padding subword.
        pooling: The state of a word: the ``mean`` over its subwords, or that of the ``first``.
        state_width: The width of a state.
        states: A key of the transformer and the layers used.

    Attributes:
        reader: Maps subwords and their mask, ``(windows, length)`` each, to states,
            ``(windows, length, state_width)``.
        features: The cache of states on disk, if any.

    Raises:
        ConfigError: The tokenizer is not valid.
        ValueError: The window is too small or too large.
    """

    reader: Callable[[Subword, Subword], Floats] | None = None
    features: Features | None = None

    def __init__(  # noqa: PLR0913 - one argument for each setting
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
                f"window must be from {MOST} to {longest} if context is {context} (the transformer "
                f"reads at most {positions} subwords), got {window}"
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
        """Return the states of the words of a sentence, ``(tokens, state_width)``, float32."""
        return self.index_all([sentence])[0]

    def index_all(self, sentences: Sequence[Sentence]) -> list[Arrays]:
        """Return the states of the words of each sentence; shared windows are computed once.

        Raises:
            ConfigError: ``reader`` is not set.
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
        """Yield the words of a sentence, window by window."""
        windows, place = self._windows(sentence)
        start, end = windows.starts[place : place + 2]
        for number in windows.of(start, end):
            first, last = (int(n) for n in windows.bounds[number : number + 2])
            yield Stretch(windows, number, max(start, first) - first, min(end, last) - first)

    def batch(self, windows: Sequence[SubwordWindow]) -> SubwordBatch:
        """Return windows as a batch."""
        return SubwordBatch.of(windows, self.padding)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: v for name, v in self.__dict__.items() if name not in ("reader", "features")}
        return {**kept, "memory": Memory()}

    def _windows(self, sentence: Sentence) -> tuple[Windows, int]:
        """Return the windows of a sentence's document, and the index of the sentence in it."""
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
        """Return the states of the words of windows, by their keys."""
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
        """Compute the states of the words of windows, given shortest first."""
        if self.reader is None:
            raise ConfigError("no transformer is loaded to compute the states of these sentences")
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
    """A batch of windows.

    Attributes:
        ids: The subwords, ``(windows, length)``.
        mask: 1 at subwords, 0 at padding, ``(windows, length)``.
        pieces: The indices of the words' subwords in the flattened batch, ``(pieces,)``.
        firsts: The index in ``pieces`` of the first subword of each word, ``(words,)``.
        counts: The number of subwords of each word, ``(words,)``.
    """

    ids: Subword
    mask: Subword
    pieces: Subword
    firsts: Subword
    counts: Subword

    @classmethod
    def of(cls, windows: Sequence[SubwordWindow], padding: int) -> SubwordBatch:
        """Pad windows to the longest."""
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
        """Pool the states of subwords, ``(windows, length, width)``, to ``(words, width)``."""
        flat = states.reshape(-1, states.shape[-1])
        if pooling == "first":
            return flat[self.pieces[self.firsts]]
        total: Floats = np.add.reduceat(flat[self.pieces], self.firsts, axis=0)
        return np.asarray(total / self.counts[:, None], np.float32)


def grouped(items: Sequence[Item], length: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield batches of at most ``AT_ONCE`` subwords with padding; items come shortest first."""
    group: list[Item] = []
    for item in items:
        if group and length(item) * (len(group) + 1) > AT_ONCE:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _joined(parts: Sequence[Floats], nothing: Floats) -> Floats:
    """Concatenate the rows of a sentence; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else nothing


class Registry:
    """Numbers the words of the windows that a transformer is fine-tuned on."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._windows: list[SubwordWindow] = []
        self._ends: list[int] = [1]  # end of the numbers of each window's words; 0 is padding

    def slots(self, stretches: Sequence[Stretch]) -> NDArray[np.int64]:
        """Return the number of each word."""
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

    def places(self, slots: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index of the window of each word."""
        found: NDArray[np.int64] = np.searchsorted(self._ends, slots, side="right") - 1
        return found

    def windows(self, slots: NDArray[np.int64]) -> tuple[list[SubwordWindow], NDArray[np.int64]]:
        """Return the windows of some words, shortest first, and the index of each word in them."""
        places = self.places(slots)
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
