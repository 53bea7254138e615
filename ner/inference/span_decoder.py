"""Decode emissions to spans with probabilities, on numpy arrays; needs no torch.

A long sentence is encoded in overlapping windows, so that every token has context on both sides.
The CRF runs over the whole sentence in pieces: each starts from the last tag of the piece before,
and is decoded with more tokens than are kept, so that all candidate paths have merged by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ner import native
from ner.crf.core.scores import ChainScores, check_scores
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.inference.decoding import VITERBI, Decoding
from ner.schemes import OUTSIDE, Scheme
from ner.sentence import Span

if TYPE_CHECKING:
    from ner.crf.core.short_sentence import Factors

# Sums and decoders of numpy are imported where they are used: the kernels do most of their work.

PIECE = 16384  # tokens of a sentence that are decoded together
MARGIN = 256  # additional tokens decoded on either side of a piece
WINDOW = 1024  # tokens of a window whose output is kept
OVERLAP = 128  # additional tokens encoded on either side of a window
SHORT = 64  # sentences of up to this many tokens are decoded with the fewest calls
LONG = 2048  # longer sentences are encoded in windows
Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DecodingChunk:
    """A chunk of a sentence to decode.

    Attributes:
        before: The number of context tokens before it.
        size: The maximum number of its tokens to keep.
        tag: The index of the tag before it; ``None`` at the beginning of the sentence.
        last: Whether the sentence ends with it.
    """

    before: int
    size: int
    tag: int | None
    last: bool


class Window(NamedTuple):
    """The tokens ``[start, end)`` of a sentence; the output for ``[first, last)`` is kept."""

    start: int
    end: int
    first: int
    last: int


def windows(length: int) -> list[Window]:
    """Return the windows of a sentence; each token is kept by exactly one."""
    firsts = range(0, length, WINDOW)
    return [
        Window(max(0, a - OVERLAP), min(length, a + WINDOW + OVERLAP), a, min(length, a + WINDOW))
        for a in firsts
    ]


def seam(follows: NDArray[np.bool_], most: int) -> int:
    """Return the number of tokens of a chunk to keep, at most ``most``, without cutting a span.

    Args:
        follows: Whether each token continues the span of the token before it.
        most: The maximum number of tokens to keep, even if all are in one span.
    """
    free = np.flatnonzero(~follows[1 : most + 1])
    return int(free[-1]) + 1 if len(free) else most


class SpanExtractor:
    """Extracts spans from tag indices in bulk; the vectorised form of ``Scheme.decode``.

    Args:
        scheme: The scheme of the tags.
        tags: The tags, in the order of their indices.
        labels: The labels, in the order of their indices.
    """

    def __init__(self, scheme: Scheme, tags: Sequence[str], labels: Sequence[str]) -> None:
        numbers = {label: number for number, label in enumerate(labels)}
        self._labels = np.array(
            [-1 if tag == OUTSIDE else numbers[tag.partition("-")[2]] for tag in tags]
        )
        roles = [None if tag == OUTSIDE else scheme.read(tag)[0] for tag in tags]
        self._joins = np.array([r is not None and r.opens is not True for r in roles])
        self._goes_on = np.array([r is not None and r.closes is not True for r in roles])

    def follows(self, tags: Integers) -> NDArray[np.bool_]:
        """Return whether each token continues the span of the previous one, ``(tokens,)``."""
        follows = np.zeros(len(tags), dtype=bool)
        before, after, labels = tags[:-1], tags[1:], self._labels
        follows[1:] = (labels[before] == labels[after]) & self._goes_on[before] & self._joins[after]
        return follows

    def find(self, tags: Integers, lengths: Integers) -> SpanBatch:
        """Return the spans of sentences.

        Args:
            tags: The concatenated tags of all sentences, ``(tokens,)``.
            lengths: The number of tokens of each sentence, above 0.
        """
        inside = np.flatnonzero(self._labels[tags] >= 0)
        if not len(inside):
            return SpanBatch(*(np.zeros(0, np.int64) for _ in range(4)))
        # a span starts at an inside token that does not continue one, and ends before such a token
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
    """The transition scores of a CRF.

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
        """Return the scores of padded emissions, ``(batch, length, tags)``, as a chain."""
        return ChainScores(emissions, self.transitions, self.start, self.end, lengths)


@dataclass(frozen=True, slots=True)
class NBestParse:
    """One parse of a sentence.

    Attributes:
        spans: All entities of the parse.
        probability: The probability of the parse as a whole.
    """

    spans: tuple[Span, ...]
    probability: float


class _Prepared:
    """Values derived from the scores of a CRF, computed on first use.

    Args:
        arrays: Transitions, start and end.
        temperature: The divisor of all scores.
        spelling: The tags of spans, ``(5, labels)``.
    """

    def __init__(
        self, arrays: tuple[Floats, Floats, Floats], temperature: float, spelling: Integers
    ) -> None:
        self.arrays = arrays
        self._temperature, self._spelling = temperature, spelling

    @cached_property
    def factors(self) -> Factors:
        """Return the factors for the numpy code."""
        from ner.crf.core.short_sentence import Factors

        return Factors.of(*self.arrays, self._temperature)

    @cached_property
    def potentials(self) -> native.KernelFactors:
        """Return the factors for the C kernels."""
        return native.KernelFactors.of(*self.arrays, self._temperature)

    @cached_property
    def joinable(self) -> bool:
        """Return whether spans and outside tokens can follow one another in any order."""
        single, first, _, last, _ = self._spelling
        opening = sorted({0, *single.tolist(), *first.tolist()})
        closing = sorted({0, *single.tolist(), *last.tolist()})
        moves, start, end = self.arrays
        joints = (moves[np.ix_(closing, opening)], start[opening], end[closing])
        return all(bool(np.isfinite(scores).all()) for scores in joints)


class SpanDecoder:
    """Chooses spans and computes their probabilities.

    Args:
        scheme: The tagging scheme.
        labels: The labels, in the order of their tags.
        decoding: The decoding settings.
    """

    def __init__(self, scheme: Scheme, labels: Sequence[str], decoding: Decoding = VITERBI) -> None:
        self.labels = tuple(labels)
        self.tags = scheme.tags(labels)
        self.decoding = decoding
        self._thresholds = np.array(decoding.thresholds(self.labels))
        self._known: _Prepared | None = None
        self.extractor = SpanExtractor(scheme, self.tags, labels)
        spelling = scheme.spelling(self.labels)
        self.table = SpanTable(**{name: np.array(tags) for name, tags in spelling.items()})
        table = self.table
        fields = (table.single, table.first, table.inside, table.last, table.prolonging)
        self._spelling = np.stack(fields).astype(np.int64)

    def spans(self, moves: Moves, emissions: Floats, lengths: Integers) -> list[tuple[Span, ...]]:
        """Return the spans of sentences, longest first, given their flat emissions."""
        return self.choose(moves.chain(padded(emissions, lengths), lengths))

    def choose(self, chain: ChainScores) -> list[tuple[Span, ...]]:
        """Return the spans of sentences with their probabilities."""
        lengths, probable = chain.lengths, self._probable(chain)
        if probable is not None:
            return self._listed(*probable, len(lengths))
        tags = self._tags(chain)
        found = self.extractor.find(tags[0] if len(tags) == 1 else tags[chain.mask], lengths)
        return self._listed(found, self.probabilities(chain, found), len(lengths))

    def readings(
        self, moves: Moves, emissions: Floats, lengths: Integers, count: int
    ) -> list[tuple[NBestParse, ...]]:
        """Return the most probable parses of sentences, longest first, the best parse first.

        Args:
            moves: The scores of the CRF.
            emissions: Sentence by sentence, ``(tokens, tags)``.
            lengths: The number of tokens of each sentence.
            count: The maximum number of parses per sentence.
        """
        from ner.crf.core.decoding import n_best
        from ner.crf.core.forward_backward import forward_backward

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
        """Return the kept tags of a piece of a sentence, and the spans in them.

        Args:
            moves: The scores of the CRF.
            emissions: Those of the context before the piece, the piece, and the context after it.
            piece: The piece.
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
        """Return the chosen tags, ``(batch, length)``."""
        way = self.decoding
        if way.decode == "viterbi" and way.miss_cost == 1.0:  # the same at every temperature
            return _best_paths(chain)
        from ner.crf.core.decoding import greedy, posterior_spans
        from ner.crf.core.viterbi import viterbi

        chosen_from = way.biased(way.tempered(chain))
        if way.decode == "posterior":
            return posterior_spans(chosen_from, self.table, threshold=self._thresholds)
        return greedy(chosen_from) if way.decode == "greedy" else viterbi(chosen_from)

    def _probable(self, chain: ChainScores) -> tuple[SpanBatch, list[float]] | None:
        """Return the result of posterior decoding by the C kernels; None if they do not support it.

        Without a tag that is forbidden between spans, all disjoint ones make a legal path.
        """
        way = self.decoding
        if native.kernels is None or way.decode != "posterior" or way.miss_cost != 1.0:
            return None
        known = self._prepared(chain)
        if not (known.joinable and np.isfinite(chain.emissions.min(initial=0.0))):
            return None
        least = float(self._thresholds.min(initial=1.0))
        found = native.probable_spans(
            chain.emissions, chain.lengths, known.potentials, self._spelling, least
        )
        if found is None:
            return None
        if way.label_thresholds:
            found = found[found["score"] >= self._thresholds[found["label"]]]
        begins, starts, ends = found["row"] * chain.emissions.shape[1], found["start"], found["end"]
        if ((begins + starts)[1:] < (begins + ends)[:-1]).any():
            from ner.crf.core.decoding import greatest_gain

            spans = SpanBatch(found["row"], starts, ends, found["label"])
            gains = found["score"] - self._thresholds[found["label"]]
            found = found[greatest_gain(spans, begins, gains)]
        fields = (found["row"], found["start"], found["end"], found["label"])
        return SpanBatch(*fields), found["score"].tolist()

    def probabilities(self, chain: ChainScores, found: SpanBatch) -> list[float]:
        """Return the probability of each span; only sentences with spans are summed over."""
        if not len(found):
            return []
        if native.kernels is not None:
            spans = np.stack((found.rows, found.starts, found.ends, found.labels))
            given = (chain.emissions, chain.lengths, self._prepared(chain).potentials)
            own = native.span_probabilities(*given, spans, self._spelling)
            if own is not None:
                return list(own.tolist())
        if is_short(chain):
            from ner.crf.core.short_sentence import span_probabilities

            factors = self._prepared(chain).factors
            one = span_probabilities(chain.emissions[0], factors, found, self.table)
            if one is not None:
                return one
        from ner.crf.core.forward_backward import forward_backward

        rows, of = np.unique(found.rows, return_inverse=True)
        some = replace(chain, emissions=chain.emissions[rows], lengths=chain.lengths[rows])
        some, there = self.decoding.tempered(some), replace(found, rows=of)
        messages = forward_backward(some).lookup()
        listed: list[float] = span_probability(some, messages, there, self.table).tolist()
        return listed

    def _prepared(self, chain: ChainScores) -> _Prepared:
        """Return the values derived from a chain's CRF, cached by the identity of its arrays."""
        arrays = (chain.transitions, chain.start, chain.end)
        known = self._known
        if known is None or any(a is not b for a, b in zip(arrays, known.arrays, strict=True)):
            known = self._known = _Prepared(arrays, self.decoding.temperature, self._spelling)
        return known

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


def _best_paths(chain: ChainScores) -> Integers:
    """Return the best paths, ``(batch, length)``."""
    from ner.crf.core.viterbi import viterbi

    if is_short(chain):
        from ner.crf.core.short_sentence import best_path

        if (path := best_path(chain)) is not None:
            return path[None]
    return viterbi(chain)


def is_short(chain: ChainScores) -> bool:
    """Return whether a batch is one short sentence, for which calls dominate the cost."""
    return (
        native.kernels is None and len(chain.emissions) == 1 and chain.emissions.shape[1] <= SHORT
    )


def padded(flat: Floats, lengths: Integers) -> Floats:
    """Pad flat values with 0, longest sentence first, ``(batch, length, ...)``."""
    if len(lengths) == 1:
        return flat[None]
    inside = np.arange(lengths[0]) < lengths[:, None]
    found = np.zeros((*inside.shape, flat.shape[1]), flat.dtype)
    found[inside] = flat
    return found
