"""The fast road on a CPU: the spans of the plain one, several times sooner.

What a token gives to the first layer by itself is computed once and remembered; sentences go
through the recurrence in groups of like length, laid out without padding; tags are chosen and
read without Python looking at any token. Long sentences are read in overlapping windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from ner.crf import LinearChain
from ner.crf.viterbi_numpy import viterbi_numpy
from ner.inference.decoding import Decoding
from ner.inference.found import Found, SpanFinder, best_path
from ner.inference.long import MARGIN, OVERLAP, PIECE, WINDOW, Piece, Window, seam, windows
from ner.inference.plain import VITERBI
from ner.inference.prepared import CACHE, Prepared, Reading
from ner.inference.probabilities import SpanTable, Weights, span_probabilities
from ner.network import Network
from ner.sentence import Sentence, Span

GROUP = 4096  # tokens that go through the recurrence together
SLICE = 32768  # tokens that are looked up together
WHOLE = 100_000  # a sentence of more tokens is decoded in pieces
WINDOWS = 1 << 15  # of those of a long sentence
SHORT = 64  # tokens of a sentence that is decoded by itself in the plainest way
LONG = 2048  # a sentence of more tokens is read in windows

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


class FastEngine:
    """Tags on the CPU with a network of float32. May be used by several threads at once.

    The weights are copied when it is first used and whenever they have changed since, as an
    optimiser or ``load_state_dict`` changes them. (A change by way of ``parameter.data`` is seen
    by nobody.)

    Args:
        network: The network; it is read, never changed.
        decoding: How spans are chosen.
        cache: The most bytes of gates that are remembered.
    """

    def __init__(
        self, network: Network, decoding: Decoding = VITERBI, *, cache: int = CACHE
    ) -> None:
        self.network = network
        self.decoding = decoding
        self.cache = cache
        self._parameters = list(network.parameters())  # to go through the modules takes time
        self._finder = SpanFinder(network.scheme, network.tags, network.labels)
        self._table = SpanTable(
            *(getattr(network.span_tags, f.name).cpu().numpy() for f in fields(SpanTable))
        )
        self._lock = Lock()
        self._current: tuple[tuple[int, ...], Prepared] | None = None

    @staticmethod
    def serves(network: Network) -> bool:
        """Whether it can tag with this network, as it is now."""
        return not network.training and _usual(list(network.parameters()))

    def fits(self) -> bool:
        """Whether it can tag with its network, as that is now."""
        return not self.network.training and _usual(self._parameters)

    @torch.inference_mode()
    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        """The spans of each sentence, each with its probability."""
        found: list[tuple[Span, ...]] = [()] * len(sentences)
        prepared = self._prepared()
        lengths = [len(sentence) for sentence in sentences]
        for numbers in _slices(lengths, min(SLICE, prepared.capacity)):
            numbers.sort(key=lengths.__getitem__, reverse=True)
            reading = prepared.read([_bare(sentences[number]) for number in numbers])
            ordered = np.array([lengths[number] for number in numbers])
            for first, last in _groups(np.cumsum(ordered)):
                emissions = prepared.emissions(reading, range(first, last))
                spans = self._decoded(prepared, emissions, ordered[first:last])
                for number, own in zip(numbers[first:last], spans, strict=True):
                    found[number] = own
        for number, length in enumerate(lengths):
            if length > LONG:
                found[number] = self._long(prepared, sentences[number])
        return found

    def stream(self, tokens: Iterable[str]) -> Iterator[tuple[tuple[str, ...], tuple[Span, ...]]]:
        """Tag one sentence of any length in bounded memory.

        Yields:
            Some next tokens of the sentence, and the spans among them, counted from the first of
            these. Only a span of more than ten thousand tokens is cut.
        """
        prepared = self._prepared()
        source, tag = iter(tokens), None
        before: tuple[str, ...] = ()
        ahead: tuple[str, ...] = ()
        size = min(PIECE, prepared.capacity - 2 * MARGIN)
        while True:
            ahead += tuple(islice(source, size + MARGIN - len(ahead)))
            last = len(ahead) < size + MARGIN
            if ahead:
                piece = Piece(len(before), size, tag, last=last)
                with torch.inference_mode():
                    emissions = self._windowed(prepared, Sentence(before + ahead))
                    tags, spans = self._decode_piece(prepared, emissions, piece)
                kept, tag = ahead[: len(tags)], int(tags[-1])
                yield kept, spans
                before, ahead = (before + kept)[-MARGIN:], ahead[len(kept) :]
            if last:
                return

    def _prepared(self) -> Prepared:
        """The weights as they are now."""
        state = tuple([part for w in self._parameters for part in (w.data_ptr(), w._version)])
        current = self._current
        if current is None or current[0] != state:
            with self._lock:
                current = self._current
                if current is None or current[0] != state:
                    current = self._current = state, Prepared(self.network, cache=self.cache)
        return current[1]

    def _decoded(
        self, prepared: Prepared, emissions: Floats, lengths: Integers
    ) -> list[tuple[Span, ...]]:
        """The spans of sentences, longest first, given their emissions in flat order."""
        if len(lengths) == 1:
            chain = prepared.chain(emissions[None], lengths)
            tags = self._best(chain)[0]
        else:
            inside = np.arange(lengths[0]) < lengths[:, None]
            padded = np.zeros((*inside.shape, emissions.shape[1]), emissions.dtype)
            padded[inside] = emissions
            chain = prepared.chain(padded, lengths)
            tags = self._best(chain)[inside]
        found = self._finder.find(tags, lengths)
        return self._listed(found, self._probabilities(chain, found), len(lengths))

    def _best(self, chain: LinearChain) -> Integers:
        """The chosen tags, ``(batch, length)``."""
        if self.decoding.decode != "viterbi":
            paths = self.decoding.paths(self.decoding.tempered(chain), self.network.span_tags)
            tags: Integers = paths.tags.numpy()
            return tags
        moves, start, end = (p.numpy() for p in (chain.transitions, chain.start, chain.end))
        emissions = chain.emissions.numpy()
        if len(emissions) == 1 and emissions.shape[1] <= SHORT:
            path = best_path(emissions[0], moves, start, end)
            if path is not None:
                return path[None]
        return viterbi_numpy(emissions, chain.lengths.numpy(), moves, start, end)

    def _probabilities(self, chain: LinearChain, found: Found) -> list[float]:
        """The probability of each span; only sentences with a span are summed over."""
        if not len(found):
            return []
        some, of = np.unique(found.rows, return_inverse=True)
        emissions, lengths = chain.emissions.numpy()[some], chain.lengths.numpy()[some]
        moves, start, end = (p.numpy() for p in (chain.transitions, chain.start, chain.end))
        weights = Weights.of(moves, start, end, self.decoding.temperature)
        there = replace(found, rows=of)
        if len(emissions[0]) <= LONG:
            fast = span_probabilities(emissions, lengths, weights, there, self._table)
            if fast is not None:
                quick: list[float] = fast.tolist()
                return quick
        kept = self.decoding.tempered(
            replace(chain, emissions=torch.from_numpy(emissions), lengths=torch.from_numpy(lengths))
        )
        places = (there.rows, there.starts, there.ends, there.labels)
        rows, starts, ends, labels = map(torch.from_numpy, places)
        tags = self.network.span_tags
        slow: list[float] = kept.span_probability(rows, starts, ends, labels, tags).tolist()
        return slow

    def _listed(self, found: Found, scores: Sequence[float], count: int) -> list[tuple[Span, ...]]:
        """The spans of each of so many sentences."""
        listed: list[list[Span]] = [[] for _ in range(count)]
        labels, least = self.network.labels, self.decoding.min_score
        columns = (found.rows, found.starts, found.ends, found.labels)
        for row, start, end, label, score in zip(
            *(column.tolist() for column in columns), scores, strict=True
        ):
            if score >= least:
                listed[row].append(Span(start, end, labels[label], score))
        return [tuple(spans) for spans in listed]

    def _long(self, prepared: Prepared, sentence: Sentence) -> tuple[Span, ...]:
        """The spans of a sentence too long for the groups."""
        if len(sentence) <= WHOLE:
            emissions = self._windowed(prepared, _bare(sentence))
            return self._decoded(prepared, emissions, np.array([len(sentence)]))[0]
        found: list[Span] = []
        place = 0
        for tokens, spans in self.stream(sentence.tokens):
            found += (replace(s, start=s.start + place, end=s.end + place) for s in spans)
            place += len(tokens)
        return tuple(found)

    def _windowed(self, prepared: Prepared, sentence: Sentence) -> Floats:
        """The emissions of a long sentence, ``(tokens, tags)``, window by window."""
        contexts = prepared.contexts(sentence)
        emissions = np.empty((len(sentence), len(self.network.tags)), np.float32)
        parts = windows(len(sentence))
        count = max(1, (min(SLICE, prepared.capacity) - 2 * OVERLAP) // WINDOW)
        for first in range(0, len(parts), count):
            some = parts[first : first + count]
            start, end = some[0].start, some[-1].end
            reading = prepared.read_stretch(
                sentence.tokens[start:end],
                [tuple(array[start:end] for array in own) for own in contexts],
            )
            some = [Window(*(place - start for place in window)) for window in some]
            self._fill(prepared, reading, some, emissions[start:end])
        return emissions

    def _fill(
        self, prepared: Prepared, reading: Reading, parts: list[Window], emissions: Floats
    ) -> None:
        """Write the emissions that each window keeps to where they belong."""
        parts = sorted(parts, key=lambda w: w.end - w.start, reverse=True)
        reading = reading.windows([(w.start, w.end) for w in parts])
        lengths = np.array([w.end - w.start for w in parts])
        for first, last in _groups(np.cumsum(lengths), WINDOWS):
            flat = prepared.emissions(reading, range(first, last))
            ends = np.cumsum(lengths[first:last]).tolist()
            for w, end in zip(parts[first:last], ends, strict=True):
                own = flat[end - (w.end - w.start) : end]
                emissions[w.first : w.last] = own[w.first - w.start : w.last - w.start]

    def _decode_piece(
        self, prepared: Prepared, emissions: Floats, piece: Piece
    ) -> tuple[Integers, tuple[Span, ...]]:
        """The tags of a piece that are kept, and the spans in them.

        Args:
            prepared: The weights.
            emissions: Of the tokens before the piece, of its own, and of some after it.
            piece: What is known of it.
        """
        whole = prepared.chain(emissions[None], np.array([len(emissions)]))
        free = torch.zeros_like(whole.start)
        end = whole.end if piece.last else free
        own = replace(
            whole,
            emissions=whole.emissions[:, piece.before :],
            lengths=whole.lengths - piece.before,
            start=whole.start if piece.tag is None else whole.transitions[piece.tag],
            end=end,
        )
        tags = self._best(own)[0]
        if not piece.last:
            tags = tags[: seam(self._finder.follows(tags), piece.size)]
        found = self._finder.find(tags, np.array([len(tags)]))
        start = whole.start if piece.before == 0 else free
        around = replace(whole, start=start, end=end)
        there = replace(found, starts=found.starts + piece.before, ends=found.ends + piece.before)
        return tags, self._listed(found, self._probabilities(around, there), 1)[0]


def _usual(weights: list[torch.nn.Parameter]) -> bool:
    return all(
        w.dtype is torch.float32 and w.device.type == "cpu" and not w.is_inference()
        for w in weights
    )


def _bare(sentence: Sentence) -> Sentence:
    """A sentence without its annotation, so that nothing can look at it."""
    return sentence if sentence.spans is None else replace(sentence, spans=None)


def _slices(lengths: Sequence[int], limit: int) -> Iterator[list[int]]:
    """The numbers of sentences that have tokens, long ones aside, so many tokens at a time."""
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


def _groups(ends: Integers, tokens: int = GROUP) -> Iterator[tuple[int, int]]:
    """From which sentence to which each group goes, given the running sums of their lengths."""
    first, before = 0, 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, before + tokens, side="right")))
        yield first, last
        first, before = last, int(ends[last - 1])
