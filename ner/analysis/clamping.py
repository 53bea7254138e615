"""Tag around existing annotation: known tokens are clamped in the lattice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ner.analysis.alternatives import with_alternatives
from ner.batch import group_by_length
from ner.inference import Decoding
from ner.inference.plain import spans_of
from ner.inference.span_decoder import windows
from ner.scorer import Indexed, Scorer, TypeTable
from ner.sentence import Sentence, Span

SENTENCES, TOKENS = 256, 8192  # maximum per batch
LONG = TOKENS // 2  # a longer sentence has its own batch, and is encoded in windows


class ClampedEngine:
    """Tags sentences that are partly annotated.

    The path of a sentence is the best of those that agree with its annotation, and the score of a
    span is its probability given that annotation.

    Args:
        network: The network, in evaluation mode; it is never modified.
        decoding: The decoding settings.
        alternatives: The maximum number of alternatives of a span.
    """

    def __init__(self, network: Scorer, decoding: Decoding, *, alternatives: int = 0) -> None:
        self.network = network
        self.decoding = decoding
        self.alternatives = alternatives

    @torch.inference_mode()
    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence, including given ones; none if it is fully known."""
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
        """Return the emissions of a long sentence by windows, ``(1, length, tags)``."""
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
    """Return the labels whose spans can be clamped; none if tags do not mark the end of a span.

    In such a scheme, the token after a given span could extend it.
    """
    closed = bool((network.span_tags.prolonging < 0).all())
    return network.labels if closed else ()
