"""From emissions to spans and their probabilities, on numpy arrays; needs no torch.

The encoder reads a long sentence in windows that overlap, so that every token it is asked about
has seen its neighbourhood on either side. The CRF runs over the whole, in pieces: each begins
from the tag at which the one before it ended, and is decoded with some tokens more than are
kept, by which time paths that will be the best one have long met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ner.crf.core.decoding import greedy, n_best, posterior_spans
from ner.crf.core.forward_backward import forward_backward
from ner.crf.core.scores import ChainScores, check_scores
from ner.crf.core.short_sentence import Factors, best_path, span_probabilities
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.crf.core.viterbi import viterbi
from ner.inference.decoding import VITERBI, Decoding
from ner.schemes import OUTSIDE, Scheme
from ner.sentence import Span

PIECE = 16384  # tokens of a sentence that are decoded together
MARGIN = 256  # tokens looked at on either side of a piece
WINDOW = 1024  # tokens the encoder is asked about at a time
OVERLAP = 128  # tokens it also reads on either side of a window
Integers = NDArray[np.int64]
SHORT = 64  # tokens of a sentence that is decoded by itself in the plainest way
LONG = 2048  # a sentence of more tokens is read in windows
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DecodingChunk:
    """A chunk of a sentence, before it is decoded.

    Attributes:
        before: How many tokens before it are looked at.
        size: The most tokens of it to keep.
        tag: The number of the tag before it; ``None`` at the beginning of the sentence.
        last: Whether the sentence ends with it.
    """

    before: int
    size: int
    tag: int | None
    last: bool


class Window(NamedTuple):
    """A stretch of a sentence the encoder reads, ``[start, end)``.

    What it finds is kept for ``[first, last)``.
    """

    start: int
    end: int
    first: int
    last: int


def windows(length: int) -> list[Window]:
    """The windows of a sentence, which keep each of its tokens once."""
    firsts = range(0, length, WINDOW)
    return [
        Window(max(0, a - OVERLAP), min(length, a + WINDOW + OVERLAP), a, min(length, a + WINDOW))
        for a in firsts
    ]


def seam(follows: NDArray[np.bool_], most: int) -> int:
    """Return the number of tokens of a chunk to keep, at most ``most``, without cutting a span.

    Args:
        follows: Whether each token goes on with the span of the token before it.
        most: The most tokens to keep, even if all of them are in one span.
    """
    free = np.flatnonzero(~follows[1 : most + 1])
    return int(free[-1]) + 1 if len(free) else most


class SpanExtractor:
    """Reads the spans out of tag numbers, as ``Scheme.decode`` reads them out of tags.

    Args:
        scheme: The scheme of the tags.
        tags: The tags, in the order of their numbers.
        labels: The labels, in the order of theirs.
    """

    def __init__(self, scheme: Scheme, tags: Sequence[str], labels: Sequence[str]) -> None:
        numbers = {label: number for number, label in enumerate(labels)}
        self._labels = np.array(
            [-1 if tag == OUTSIDE else numbers[tag.partition("-")[2]] for tag in tags]
        )
        self._continues = np.array(
            [
                [OUTSIDE not in (a, b) and len(scheme.decode([a, b])) == 1 for b in tags]
                for a in tags
            ]
        )

    def follows(self, tags: Integers) -> NDArray[np.bool_]:
        """Return whether each token continues the span of the previous one, ``(tokens,)``."""
        follows = np.zeros(len(tags), dtype=bool)
        follows[1:] = self._continues[tags[:-1], tags[1:]]
        return follows

    def find(self, tags: Integers, lengths: Integers) -> SpanBatch:
        """The spans of sentences whose tags follow one another, ``(tokens,)``.

        Args:
            tags: The tags of all sentences.
            lengths: The tokens of each sentence, above 0.
        """
        inside = np.flatnonzero(self._labels[tags] >= 0)
        if not len(inside):
            return SpanBatch(*(np.zeros(0, np.int64) for _ in range(4)))
        ends = np.cumsum(lengths)
        follows = np.append(self.follows(tags), False)
        follows[ends] = False
        starts = inside[~follows[inside]]
        lasts = inside[~follows[inside + 1]]
        rows = np.searchsorted(ends, starts, side="right")
        first = (ends - lengths)[rows]
        return SpanBatch(rows, starts - first, lasts + 1 - first, self._labels[tags[starts]])


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """The scores of a CRF, whatever the sentence.

    Attributes:
        transitions: From the row's tag to the column's, ``(tags, tags)``.
        start, end: ``(tags,)``.

    Raises:
        ValueError: A score is NaN or infinite; minus infinity forbids a transition.
    """

    transitions: Floats
    start: Floats
    end: Floats

    def __post_init__(self) -> None:
        check_scores(self.transitions, self.start, self.end)

    def chain(self, emissions: Floats, lengths: Integers) -> ChainScores:
        """The distribution over paths of padded emissions, ``(batch, length, tags)``."""
        return ChainScores(emissions, self.transitions, self.start, self.end, lengths)


@dataclass(frozen=True, slots=True)
class NBestParse:
    """One way to read a sentence.

    Attributes:
        spans: All its entities.
        probability: Of exactly these.
    """

    spans: tuple[Span, ...]
    probability: float


class SpanDecoder:
    """Chooses spans, and says how probable they are.

    Args:
        scheme: How spans are written as tags.
        labels: The labels, in the order of their tags.
        decoding: How spans are chosen.
    """

    def __init__(self, scheme: Scheme, labels: Sequence[str], decoding: Decoding = VITERBI) -> None:
        self.labels = tuple(labels)
        self.tags = scheme.tags(labels)
        self.decoding = decoding
        self._known: tuple[tuple[Floats, Floats, Floats], Factors] | None = None
        self.extractor = SpanExtractor(scheme, self.tags, labels)
        spelling = scheme.spelling(self.labels)
        self.table = SpanTable(**{name: np.array(tags) for name, tags in spelling.items()})

    def spans(self, moves: Moves, emissions: Floats, lengths: Integers) -> list[tuple[Span, ...]]:
        """The spans of sentences, longest first, given their emissions in flat order."""
        return self.choose(moves.chain(padded(emissions, lengths), lengths))

    def choose(self, chain: ChainScores) -> list[tuple[Span, ...]]:
        """Return the spans of sentences, each with its probability."""
        tags, lengths = self._tags(chain), chain.lengths
        found = self.extractor.find(tags[0] if len(tags) == 1 else tags[chain.mask], lengths)
        return self._listed(found, self.probabilities(chain, found), len(lengths))

    def readings(
        self, moves: Moves, emissions: Floats, lengths: Integers, count: int
    ) -> list[tuple[NBestParse, ...]]:
        """The most probable readings of sentences, longest first, the best reading first.

        Args:
            moves: The scores of the CRF.
            emissions: In flat order, ``(tokens, tags)``.
            lengths: The tokens of each sentence.
            count: The most readings of a sentence.
        """
        chain = self.decoding.tempered(moves.chain(padded(emissions, lengths), lengths))
        totals = forward_backward(chain).log_partition
        tags, scores = n_best(chain, count)
        probabilities = np.exp(scores - totals[:, None])
        found = []
        for paths, own, length in zip(tags, probabilities, lengths, strict=True):
            some = np.flatnonzero(own > 0.0)
            flat = paths[some, :length].reshape(-1)
            spans = self._listed(
                self.extractor.find(flat, np.full(len(some), length)), None, len(some)
            )
            listed = zip(spans, own[some].tolist(), strict=True)
            found.append(tuple(NBestParse(one, probability) for one, probability in listed))
        return found

    def piece(
        self, moves: Moves, emissions: Floats, piece: DecodingChunk
    ) -> tuple[Integers, tuple[Span, ...]]:
        """The tags of a piece of a sentence that are kept, and the spans in them.

        Args:
            moves: The scores of the CRF.
            emissions: Of the tokens before the piece, of its own, and of some after it.
            piece: What is known of it.
        """
        whole = moves.chain(emissions[None], np.array([len(emissions)]))
        free = np.zeros_like(whole.start)
        end = whole.end if piece.last else free
        own = replace(
            whole,
            emissions=whole.emissions[:, piece.before :],
            lengths=whole.lengths - piece.before,
            start=whole.start if piece.tag is None else whole.transitions[piece.tag],
            end=end,
        )
        tags = self._tags(own)[0]
        if not piece.last:
            tags = tags[: seam(self.extractor.follows(tags), piece.size)]
        found = self.extractor.find(tags, np.array([len(tags)]))
        start = whole.start if piece.before == 0 else free
        around = replace(whole, start=start, end=end)
        there = replace(found, starts=found.starts + piece.before, ends=found.ends + piece.before)
        return tags, self._listed(found, self.probabilities(around, there), 1)[0]

    def _tags(self, chain: ChainScores) -> Integers:
        """The chosen tags, ``(batch, length)``."""
        way = self.decoding
        if way.decode == "viterbi" and way.miss_cost == 1.0:  # the same at every temperature
            path = best_path(chain) if is_short(chain) else None
            return viterbi(chain) if path is None else path[None]
        chosen_from = way.biased(way.tempered(chain))
        if way.decode == "posterior":
            return posterior_spans(chosen_from, self.table, threshold=way.threshold)
        return greedy(chosen_from) if way.decode == "greedy" else viterbi(chosen_from)

    def probabilities(self, chain: ChainScores, found: SpanBatch) -> list[float]:
        """The probability of each span; only sentences with a span are summed over."""
        if not len(found):
            return []
        if is_short(chain):
            one = span_probabilities(chain.emissions[0], self._factors(chain), found, self.table)
            if one is not None:
                return one
        rows, of = np.unique(found.rows, return_inverse=True)
        some = replace(chain, emissions=chain.emissions[rows], lengths=chain.lengths[rows])
        some, there = self.decoding.tempered(some), replace(found, rows=of)
        messages = forward_backward(some).lookup()
        listed: list[float] = span_probability(some, messages, there, self.table).tolist()
        return listed

    def _factors(self, chain: ChainScores) -> Factors:
        """The scores of a chain's CRF as factors, made once for the same arrays."""
        arrays = (chain.transitions, chain.start, chain.end)
        known = self._known
        if known is None or any(a is not b for a, b in zip(arrays, known[0], strict=True)):
            factors = Factors.of(*arrays, self.decoding.temperature)
            known = self._known = arrays, factors
        return known[1]

    def _listed(
        self, found: SpanBatch, scores: Sequence[float] | None, count: int
    ) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence, dropping improbable ones if scores are given."""
        labels, least = self.labels, self.decoding.min_score
        columns = (found.starts, found.ends, found.labels)
        starts, ends, numbers = (column.tolist() for column in columns)
        own = repeat(None) if scores is None else scores
        spans = list(map(Span, starts, ends, map(labels.__getitem__, numbers), own))
        bounds = np.searchsorted(found.rows, np.arange(count + 1)).tolist()
        listed = [tuple(spans[first:last]) for first, last in pairwise(bounds)]
        if least > 0.0 and scores is not None:
            listed = [tuple(s for s in some if (s.score or 0.0) >= least) for some in listed]
        return listed


def is_short(chain: ChainScores) -> bool:
    """Return whether it is of one short sentence, at which calls cost more than arithmetic."""
    return len(chain.emissions) == 1 and chain.emissions.shape[1] <= SHORT


def padded(flat: Floats, lengths: Integers) -> Floats:
    """Pad values of tokens with 0, longest sentence first, ``(batch, length, ...)``."""
    if len(lengths) == 1:
        return flat[None]
    inside = np.arange(lengths[0]) < lengths[:, None]
    found = np.zeros((*inside.shape, flat.shape[1]), flat.dtype)
    found[inside] = flat
    return found
