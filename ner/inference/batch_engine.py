"""The base of engines whose networks return emissions as numpy arrays; needs no torch.

Sentences are processed in groups of similar length, tags are decoded in bulk without a Python loop
over tokens, and long sentences are encoded in overlapping windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, chain, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ner.crf.core.scores import ChainScores
from ner.indexers import Arrays
from ner.inference.span_decoder import (
    LONG,
    MARGIN,
    OVERLAP,
    PIECE,
    WINDOW,
    DecodingChunk,
    Moves,
    NBestParse,
    SpanDecoder,
    Window,
    padded,
    windows,
)
from ner.sentence import Sentence, Span

ROWS = 384  # sentences per group: few recurrent steps, yet states that fit the CPU cache
GROUP = 8192  # maximum tokens per group; 6,144 take 13 MB less and a sixth more time
FEW = 2048  # maximum tokens per group for n-best decoding
SLICE = 32768  # tokens looked up together
WHOLE = 100_000  # longer sentences are decoded in pieces
WINDOWS = 1 << 15  # maximum tokens of windows that are encoded together

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class GateBatch:
    """Indexed sentences, with the LSTM input gates of their distinct tokens.

    Attributes:
        tables: For each network, the gates of distinct tokens.
        rows: For each network and sentence, the row of each token in the table.
        contexts: For each context embedding and sentence, the indices of its tokens.
    """

    tables: list[Floats]
    rows: list[list[Integers]]
    contexts: list[list[Arrays]]

    @staticmethod
    def of(
        looked: Sequence[tuple[Floats, Integers]],
        lengths: Sequence[int],
        contexts: list[list[Arrays]],
    ) -> GateBatch:
        """Split the rows of a batch by sentence.

        Args:
            looked: For each network, the table and the rows of the tokens of all sentences.
            lengths: The number of tokens of each sentence.
            contexts: For each context embedding and sentence, the indices of its tokens.
        """
        ends = list(accumulate(lengths))
        bounds = list(zip([0, *ends], ends, strict=False))
        return GateBatch(
            [table for table, _ in looked],
            [[rows[start:end] for start, end in bounds] for _, rows in looked],
            contexts,
        )

    def windows(self, bounds: Sequence[tuple[int, int]]) -> GateBatch:
        """Return windows of the only sentence, as sentences."""
        return GateBatch(
            self.tables,
            [[own[0][start:end] for start, end in bounds] for own in self.rows],
            [
                [tuple(array[start:end] for array in own[0]) for start, end in bounds]
                for own in self.contexts
            ],
        )


class Emitter(Protocol):
    """A network prepared for tagging."""

    @property
    def moves(self) -> Moves:
        """The scores of its CRF."""
        ...

    @property
    def capacity(self) -> int:
        """The maximum number of tokens per call of ``read``."""
        ...

    def contexts(self, sentences: Sequence[Sentence]) -> list[list[Arrays]]:
        """Return the output of each context embedding for sentences of any length."""
        ...

    def read(self, sentences: Sequence[Sequence[str]], contexts: list[list[Arrays]]) -> GateBatch:
        """Index the tokens of sentences.

        Args:
            sentences: The tokens of each sentence, at most ``capacity`` in total.
            contexts: For each context embedding and sentence, the indices of its tokens.
        """
        ...

    def emissions(self, reading: GateBatch, numbers: Sequence[int]) -> Floats:
        """Return the emissions of some sentences, longest first, ``(tokens, tags)``."""
        ...


class BatchEngine:
    """Tags sentences with the emissions of an `Emitter`. Thread-safe.

    Args:
        decoder: Decodes emissions to spans.
    """

    def __init__(self, decoder: SpanDecoder) -> None:
        self.decoder = decoder

    def emitter(self) -> Emitter:
        """Return the network that computes emissions."""
        raise NotImplementedError

    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence with their probabilities."""
        found: list[tuple[Span, ...]] = [()] * len(sentences)
        emitter = self.emitter()
        lengths = [len(sentence) for sentence in sentences]
        if len(lengths) == 1 and 0 < lengths[0] <= LONG:  # the fastest way for one sentence
            reading = _read(emitter, [bare(sentences[0])])
            emissions = emitter.emissions(reading, range(1))
            return self.decoder.spans(emitter.moves, emissions, np.array(lengths))
        for numbers, emissions, ordered in _emitted(emitter, sentences, GROUP):
            spans = self.decoder.spans(emitter.moves, emissions, ordered)
            for number, own in zip(numbers, spans, strict=True):
                found[number] = own
        for number, length in enumerate(lengths):
            if length > LONG:
                found[number] = self._long(emitter, sentences[number])
        return found

    def alternatives(
        self, sentences: Sequence[Sentence], count: int
    ) -> list[tuple[NBestParse, ...]]:
        """Return the most probable parses of each sentence, the best first.

        Args:
            sentences: The sentences.
            count: The maximum number of parses per sentence.

        Raises:
            ValueError: ``count`` is less than 1.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        found: list[tuple[NBestParse, ...]] = [(NBestParse((), 1.0),)] * len(sentences)
        emitter = self.emitter()
        for numbers, emissions, lengths in _emitted(emitter, sentences, FEW):
            readings = self.decoder.readings(emitter.moves, emissions, lengths, count)
            for number, own in zip(numbers, readings, strict=True):
                found[number] = own
        for number, sentence in enumerate(sentences):
            if len(sentence) > LONG:
                emissions = self._windowed(emitter, bare(sentence))
                lengths = np.array([len(sentence)])
                (found[number],) = self.decoder.readings(emitter.moves, emissions, lengths, count)
        return found

    def chains(self, sentences: Sequence[Sentence]) -> Iterator[tuple[list[int], ChainScores]]:
        """Yield the indices of a group of sentences, and the scores of their tags.

        The groups are those of ``predict``. Empty sentences are left out.
        """
        emitter = self.emitter()
        for numbers, emissions, lengths in _emitted(emitter, sentences, GROUP):
            yield numbers, emitter.moves.chain(padded(emissions.copy(), lengths), lengths)
        for number, sentence in enumerate(sentences):
            if len(sentence) > LONG:
                emissions = self._windowed(emitter, bare(sentence))[None]
                yield [number], emitter.moves.chain(emissions, np.array([len(sentence)]))

    def stream(self, tokens: Iterable[str]) -> Iterator[tuple[tuple[str, ...], tuple[Span, ...]]]:
        """Tag one sentence of any length in bounded memory, as ``predict`` tags it.

        Yields:
            The next tokens of the sentence, and the spans among them, counted from the first of
            these tokens. Only spans of more than ten thousand tokens are cut.
        """
        source = iter(tokens)
        held = tuple(islice(source, WHOLE + 1))
        if 0 < len(held) <= WHOLE:
            yield held, self.predict([Sentence(held)])[0]
        elif held:
            for stretch, kept, spans in self._pieces(self.emitter(), _Read(chain(held, source))):
                yield stretch.tokens[kept], spans

    def _pieces(
        self, emitter: Emitter, stretch_of: Callable[[int, int], Sentence]
    ) -> Iterator[tuple[Sentence, slice, tuple[Span, ...]]]:
        """Tag a sentence piece by piece.

        Args:
            emitter: Computes the emissions.
            stretch_of: Returns the tokens [start, end) of the sentence, or to its end.

        Yields:
            The tokens that were encoded; which of them belong to the piece; the spans in the piece,
            counted from its first token.
        """
        place, tag, last = 0, None, False
        size = min(PIECE, emitter.capacity - 2 * MARGIN)
        while not last:
            start = max(0, place - MARGIN)
            stretch, before = stretch_of(start, place + size + MARGIN), place - start
            last = len(stretch) < before + size + MARGIN
            if len(stretch) > before:
                piece = DecodingChunk(before, size, tag, last=last)
                emissions = self._windowed(emitter, stretch)
                tags, spans = self.decoder.piece(emitter.moves, emissions, piece)
                yield stretch, slice(before, before + len(tags)), spans
                place, tag = place + len(tags), int(tags[-1])

    def _long(self, emitter: Emitter, sentence: Sentence) -> tuple[Span, ...]:
        """Return the spans of a sentence that is too long for the groups."""
        if len(sentence) <= WHOLE:
            emissions = self._windowed(emitter, bare(sentence))
            return self.decoder.spans(emitter.moves, emissions, np.array([len(sentence)]))[0]
        found: list[Span] = []
        place = 0
        for _, kept, spans in self._pieces(emitter, partial(_stretch, sentence)):
            found += (replace(s, start=s.start + place, end=s.end + place) for s in spans)
            place += kept.stop - kept.start
        return tuple(found)

    def _windowed(self, emitter: Emitter, sentence: Sentence) -> Floats:
        """Return the emissions of a long sentence, ``(tokens, tags)``, window by window."""
        contexts = emitter.contexts([sentence])
        emissions = np.empty((len(sentence), len(self.decoder.tags)), np.float32)
        parts = windows(len(sentence))
        count = max(1, (min(SLICE, emitter.capacity) - 2 * OVERLAP) // WINDOW)
        for first in range(0, len(parts), count):
            some = parts[first : first + count]
            start, end = some[0].start, some[-1].end
            own = [[tuple(array[start:end] for array in arrays)] for (arrays,) in contexts]
            reading = emitter.read([sentence.tokens[start:end]], own)
            some = [Window(*(place - start for place in window)) for window in some]
            _fill(emitter, reading, some, emissions[start:end])
        return emissions


def _emitted(
    emitter: Emitter, sentences: Sequence[Sentence], tokens: int
) -> Iterator[tuple[list[int], Floats, Integers]]:
    """Yield the emissions of all sentences that are neither empty nor long, group by group.

    Yields:
        The indices of some sentences, longest first; their emissions, ``(tokens, tags)``; and
        their lengths.
    """
    lengths = [len(sentence) for sentence in sentences]
    for numbers in _slices(lengths, min(SLICE, emitter.capacity)):
        numbers.sort(key=lengths.__getitem__, reverse=True)
        reading = _read(emitter, [bare(sentences[number]) for number in numbers])
        ordered = np.array([lengths[number] for number in numbers])
        for first, last in _groups(np.cumsum(ordered), tokens):
            emissions = emitter.emissions(reading, range(first, last))
            yield numbers[first:last], emissions, ordered[first:last]


def _read(emitter: Emitter, sentences: Sequence[Sentence]) -> GateBatch:
    """Index whole sentences."""
    contexts = emitter.contexts(sentences)
    return emitter.read([sentence.tokens for sentence in sentences], contexts)


def _fill(emitter: Emitter, reading: GateBatch, parts: list[Window], emissions: Floats) -> None:
    """Write the emissions that each window keeps into those of the sentence."""
    parts = sorted(parts, key=lambda w: w.end - w.start, reverse=True)
    reading = reading.windows([(w.start, w.end) for w in parts])
    lengths = np.array([w.end - w.start for w in parts])
    for first, last in _groups(np.cumsum(lengths), WINDOWS):
        flat = emitter.emissions(reading, range(first, last))
        ends = np.cumsum(lengths[first:last]).tolist()
        for w, end in zip(parts[first:last], ends, strict=True):
            own = flat[end - (w.end - w.start) : end]
            emissions[w.first : w.last] = own[w.first - w.start : w.last - w.start]


class _Read:
    """A sentence whose tokens are read on demand and dropped once they are behind.

    Args:
        tokens: Its tokens; iterated once.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._source = iter(tokens)
        self._held: tuple[str, ...] = ()
        self._first = 0  # the index of the first token held

    def __call__(self, start: int, end: int) -> Sentence:
        """Return the tokens [start, end); neither may be less than in the call before."""
        held = self._held[start - self._first :]
        self._held = (*held, *islice(self._source, end - start - len(held)))
        self._first = start
        return Sentence(self._held)


def _stretch(sentence: Sentence, start: int, end: int) -> Sentence:
    """Return some tokens of a sentence, with their columns and vectors."""
    vectors = sentence.vectors
    return Sentence(
        sentence.tokens[start:end],
        columns={name: values[start:end] for name, values in sentence.columns.items()},
        vectors=None if vectors is None else vectors[start:end],
    )


def bare(sentence: Sentence) -> Sentence:
    """Return a sentence without its annotation, so that the network cannot see it."""
    if sentence.spans is None:
        return sentence
    return Sentence(  # `dataclasses.replace` takes several times as long
        sentence.tokens,
        columns=sentence.columns,
        document=sentence.document,
        position=sentence.position,
        text=sentence.text,
        offsets=sentence.offsets,
        vectors=sentence.vectors,
    )


def _slices(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """Yield the indices of sentences that are neither empty nor long, in chunks of tokens."""
    some: list[int] = []
    tokens = 0
    for number, length in enumerate(lengths):
        if not 0 < length <= LONG:
            continue
        if tokens + length > limit:
            yield some
            some, tokens = [], 0
        some.append(number)
        tokens += length
    if some:
        yield some


def _groups(ends: Integers, tokens: int) -> Iterator[tuple[int, int]]:
    """Yield the first sentence and the end of each group, given the cumulative lengths."""
    first, before = 0, 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, before + tokens, side="right")))
        last = min(last, first + ROWS)
        yield first, last
        first, before = last, int(ends[last - 1])
