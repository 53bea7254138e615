"""Tagging around what is annotated already: the known tokens are clamped in the lattice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ner.analysis.alternatives import with_alternatives
from ner.batch import group_by_length
from ner.inference import Decoding
from ner.inference.batch_engine import WHOLE
from ner.inference.plain import spans_of
from ner.inference.span_decoder import windows
from ner.scorer import Indexed, Scorer, TypeTable
from ner.sentence import Sentence, Span, SpanWithAlternatives
from ner.spacy_component.documents import DocSentence, moved, without
from ner.tagger import Tagger

SENTENCES, TOKENS = 256, 8192  # the most of a batch
LONG = TOKENS // 2  # a sentence of more tokens is alone in its batch, and read in windows


class ClampedEngine:
    """Finds the spans of sentences of which some tokens' annotation is known.

    The path of a sentence is the best of those that keep to its annotation, and the score of a
    span is its probability among them.

    Args:
        network: The network, in evaluation mode; it is read, never changed.
        decoding: How spans are chosen.
        alternatives: The most alternatives that are given with each span.
    """

    def __init__(self, network: Scorer, decoding: Decoding, *, alternatives: int = 0) -> None:
        self.network = network
        self.decoding = decoding
        self.alternatives = alternatives

    @torch.inference_mode()
    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        """The spans of each sentence, given ones among them; of known sentences none."""
        found: list[tuple[Span, ...]] = [()] * len(sentences)
        open_ = [number for number, sentence in enumerate(sentences) if sentence.unknown]
        table = self.network.type_table()
        indexed = self.network.index([sentences[number] for number in open_], table)
        device = self.network.device
        groups = group_by_length(list(map(len, indexed)), sentences=SENTENCES, tokens=TOKENS)
        for group in groups:
            batch = self.network.collate([indexed[n] for n in group], table).to(device)
            if len(group) == 1 and len(indexed[group[0]]) > LONG:
                emissions = self._windowed(indexed[group[0]], table, device)
            else:
                emissions = self.network.emissions(batch)
            chain = self.network.chain(emissions, batch.lengths, candidates=batch.candidates)
            chain = self.decoding.tempered(chain)
            chosen = spans_of(chain, self.network, self.decoding)
            if self.alternatives:
                chosen = with_alternatives(self.network, chain, chosen, self.alternatives)
            for number, spans in zip(group, chosen, strict=True):
                found[open_[number]] = spans
        return found

    def _windowed(self, sentence: Indexed, table: TypeTable, device: torch.device) -> Tensor:
        """The emissions of a long sentence, read in overlapping windows, ``(1, length, tags)``."""
        around = windows(len(sentence))
        parts = [
            Indexed(
                sentence.types[w.start : w.end],
                tuple(tuple(a[w.start : w.end] for a in own) for own in sentence.contexts),
            )
            for w in around
        ]
        found = self.network.emissions(self.network.collate(parts, table).to(device))
        own = [found[n, w.first - w.start : w.last - w.start] for n, w in enumerate(around)]
        return torch.cat(own).unsqueeze(0)


def clampable(network: Scorer) -> tuple[str, ...]:
    """The labels whose spans may be given: none where the tags leave a span's end open.

    In such a scheme the token after a given span could prolong it; where the given tokens
    are outside any entity it cannot.
    """
    closed = bool((network.span_tags.prolonging < 0).all())
    return network.labels if closed else ()


def tag_pieces(
    tagger: Tagger, rows: Sequence[Sequence[DocSentence]], *, alternatives: int = 0
) -> list[tuple[Span, ...]]:
    """The spans of documents in their own tokens, without those that are given.

    Args:
        tagger: The tagger.
        rows: The pieces of each document; those with annotation are tagged around it.
        alternatives: The most alternatives given with each span; with any, tagging is slower.
    """
    sentences = [_opened(part.sentence, alternatives) for row in rows for part in row]
    free = [sentence for sentence in sentences if sentence.spans is None]
    bound = [sentence for sentence in sentences if sentence.spans is not None]
    found = iter(tagger.predict(free))
    around: Iterator[tuple[Span, ...]] = iter(())
    if bound:
        engine = ClampedEngine(tagger.network, tagger.decoding, alternatives=alternatives)
        around = iter(engine.predict(bound))
    own = iter(sentences)
    return [
        tuple(
            _moved(span, part.places)
            for part in row
            for span in without(
                next(found if next(own).spans is None else around), part.sentence.spans or ()
            )
        )
        for row in rows
    ]


def _opened(sentence: Sentence, alternatives: int) -> Sentence:
    """The sentence, as one without any annotated token where only the clamped engine can read it.

    That one gives alternatives, and reads any length together with vectors that come along.
    """
    long = sentence.vectors is not None and len(sentence) > WHOLE
    if sentence.spans is not None or not (alternatives or long):
        return sentence
    return replace(sentence, spans=(), unknown=frozenset(range(len(sentence))))


def _moved(span: Span, places: Sequence[int]) -> Span:
    """A span of the tokens the tagger saw, and its alternatives, in the tokens of the document."""
    if isinstance(span, SpanWithAlternatives):
        own = moved(span, places)
        alternatives = tuple(moved(other, places) for other in span.alternatives)
        return SpanWithAlternatives(own.start, own.end, own.label, own.score, alternatives)
    return moved(span, places)
