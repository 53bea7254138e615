"""The alternatives to spans, and tagging around spans that are given; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ner.crf.core.forward_backward import forward_backward
from ner.crf.core.scores import ChainScores
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.inference.decoding import Decoding
from ner.inference.span_decoder import SpanDecoder
from ner.schemes import Scheme
from ner.sentence import Sentence, Span, SpanWithAlternatives

REACH = 3  # maximum distance in tokens between the edges of an alternative and of the span
LEAST = 1e-3  # the minimum probability of an alternative
AT_ONCE = 1 << 18  # spans whose probabilities are computed together

Integers = NDArray[np.int64]


def with_alternatives(
    chain: ChainScores,
    table: SpanTable,
    labels: Sequence[str],
    found: Sequence[Sequence[Span]],
    count: int,
) -> list[tuple[Span, ...]]:
    """Return the spans of each sentence with their alternatives and exact probabilities.

    Args:
        chain: The distribution over the paths of the sentences.
        table: The tags of spans of each label.
        labels: The labels, in the order of their tags.
        found: The spans of each sentence.
        count: The maximum number of alternatives of a span.
    """
    lengths = chain.lengths.tolist()
    places = [(row, span) for row, spans in enumerate(found) for span in spans]
    numbers = {label: number for number, label in enumerate(labels)}
    rivals = [
        _candidates(span.start, span.end, numbers[span.label], lengths[row], len(numbers))
        for row, span in places
    ]
    scores = _probabilities(chain, table, [row for row, _ in places], rivals)
    paired: list[list[Span]] = [[] for _ in found]
    for (row, span), some, own in zip(places, rivals, scores, strict=True):
        best = np.argsort(-own, kind="stable")[:count]
        alternatives = tuple(
            Span(start, end, labels[label], float(own[place]))
            for place, (start, end, label) in zip(best, some[best].tolist(), strict=True)
            if own[place] >= LEAST
        )
        paired[row].append(
            SpanWithAlternatives(span.start, span.end, span.label, span.score, alternatives)
        )
    return [tuple(spans) for spans in paired]


def _candidates(start: int, end: int, label: int, length: int, labels: int) -> Integers:
    """Return the possible alternatives: start, end and label of each, ``(candidates, 3)``."""
    near = np.arange(-REACH, REACH + 1)
    edges = np.unique(np.concatenate((start + near, end + near)))
    edges = edges[(edges >= 0) & (edges <= length)]
    starts, ends, kinds = (
        axis.ravel() for axis in np.meshgrid(edges, edges, np.arange(labels), indexing="ij")
    )
    overlaps = (starts < ends) & (starts < end) & (ends > start)
    itself = (starts == start) & (ends == end) & (kinds == label)
    table: Integers = np.stack((starts, ends, kinds), axis=1)[overlaps & ~itself]
    return table


def _probabilities(
    chain: ChainScores, table: SpanTable, rows: Sequence[int], rivals: Sequence[Integers]
) -> list[NDArray[np.float64]]:
    """Return the probability of each candidate of each span; ``rows`` are their sentences."""
    if not rivals:
        return []
    sizes = [len(some) for some in rivals]
    spans = SpanBatch(np.repeat(rows, sizes), *np.concatenate(rivals).T)
    messages = forward_backward(chain).messages()
    parts = [
        span_probability(chain, messages, spans.take(places), table)
        for places in np.split(np.arange(len(spans)), range(AT_ONCE, len(spans), AT_ONCE))
    ]
    return np.split(np.concatenate(parts), np.cumsum(sizes)[:-1].tolist())


class GivesChains(Protocol):
    """A tagger, exported or not."""

    @property
    def scheme(self) -> Scheme:
        """The scheme that writes spans as tags."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their tags."""

    def chains(self, sentences: Sequence[Sentence]) -> Iterator[tuple[list[int], ChainScores]]:
        """Yield the indices of some sentences, and the scores of their tags."""


class ClampedEngine:
    """Tags sentences around what is annotated in them, if anything is.

    The path of a sentence is the best of those that agree with its annotation, and the score of a
    span is its probability given that annotation.

    Args:
        tagger: The tagger.
        decoding: The decoding settings.
        alternatives: The maximum number of alternatives of a span.
    """

    def __init__(self, tagger: GivesChains, decoding: Decoding, *, alternatives: int = 0) -> None:
        self._tagger = tagger
        self._decoder = SpanDecoder(tagger.scheme, tagger.labels, decoding)
        self._alternatives = alternatives

    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence, including given ones; none if it is fully known."""
        found: list[tuple[Span, ...]] = [()] * len(sentences)
        open_ = [n for n, one in enumerate(sentences) if one.spans is None or one.unknown]
        for places, chain in self._tagger.chains([sentences[number] for number in open_]):
            numbers = [open_[place] for place in places]
            chosen = self._chosen(self._clamped(chain, [sentences[number] for number in numbers]))
            for number, spans in zip(numbers, chosen, strict=True):
                found[number] = spans
        return found

    def _clamped(self, chain: ChainScores, sentences: Sequence[Sentence]) -> ChainScores:
        """Return a chain without the tags that contradict the annotation of its sentences."""
        if all(sentence.spans is None for sentence in sentences):
            return chain
        emissions = chain.emissions + 0.0  # a copy
        for row, sentence in zip(emissions, sentences, strict=True):
            if sentence.spans is not None:
                row[: len(sentence)][~self._allowed(sentence)] = -np.inf
        return replace(chain, emissions=emissions)

    def _allowed(self, sentence: Sentence) -> NDArray[np.bool_]:
        """Return the tags that each token may have, ``(tokens, tags)``."""
        spelt = self._tagger.scheme.encode(sentence.spans or (), len(sentence))
        tags = np.array([self._decoder.tags.index(tag) for tag in spelt])
        allowed: NDArray[np.bool_] = tags[:, None] == np.arange(len(self._decoder.tags))
        allowed[list(sentence.unknown)] = True
        return allowed

    def _chosen(self, chain: ChainScores) -> list[tuple[Span, ...]]:
        decoder = self._decoder
        chosen = decoder.choose(chain)
        if not self._alternatives:
            return chosen
        chain = decoder.decoding.tempered(chain)
        return with_alternatives(chain, decoder.table, decoder.labels, chosen, self._alternatives)


def clampable(scheme: Scheme, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels whose spans can be clamped; none if tags do not mark the end of a span.

    In such a scheme, the token after a given span could extend it.
    """
    closed = max(scheme.spelling(labels)["prolonging"], default=-1) < 0
    return tuple(labels) if closed else ()
