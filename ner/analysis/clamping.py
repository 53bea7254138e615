"""Tag around existing annotation: known tokens are clamped in the lattice; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ner.analysis.alternatives import with_alternatives
from ner.crf.core.scores import ChainScores
from ner.inference.decoding import Decoding
from ner.inference.span_decoder import SpanDecoder
from ner.schemes import Scheme
from ner.sentence import Sentence, Span


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
