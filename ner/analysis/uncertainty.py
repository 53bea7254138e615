"""The uncertainty of a network about annotated spans and about its own predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ner.analysis.alternatives import GivesChains, with_alternatives
from ner.batch import group_by_length
from ner.crf import LinearChain
from ner.crf.chain import SpanTags
from ner.evaluation.review import Opinion, Uncertainty
from ner.inference.batch_engine import bare
from ner.inference.decoding import VITERBI, Decoding
from ner.inference.plain import SENTENCES, TOKENS, chosen_spans
from ner.schemes import OUTSIDE
from ner.scorer import Scorer
from ner.sentence import Sentence, Span

CHUNK = 4_000  # sentences indexed at a time


class ExportedScorer:
    """An exported model with the interface of a scorer.

    Args:
        model: The model.
    """

    def __init__(self, model: GivesChains) -> None:
        self.chains = model.chains
        self.scheme, self.labels = model.scheme, model.labels
        self.tags = model.scheme.tags(model.labels)
        spelling = model.scheme.spelling(model.labels)
        self.span_tags = SpanTags(**{name: torch.tensor(tags) for name, tags in spelling.items()})


@dataclass(frozen=True, slots=True)
class Doubts:
    """The uncertainty of a network about annotation and about its own predictions.

    Args:
        network: The network, in evaluation mode, or an exported model.
        decoding: The decoding settings, including the temperature.
    """

    network: Scorer | ExportedScorer
    decoding: Decoding = VITERBI

    @classmethod
    def of(cls, tagger: Any) -> Doubts:
        """Create from a tagger or an exported model."""
        network = getattr(tagger, "network", None) or ExportedScorer(tagger)
        return cls(network, tagger.decoding)

    def opinions(self, sentences: Sequence[Sentence]) -> list[Opinion]:
        """Return the network's opinion of annotated sentences; it does not see their spans.

        A gold span whose label is unknown to the network has the probability 0.
        """
        found = [
            Opinion(s, (), (0.0,) * len(s.spans or ()), (1.0,) * len(s.spans or ()))
            for s in sentences
        ]
        for numbers, chain in self._chains(sentences):
            predicted = chosen_spans(chain, self.network, self.decoding)
            gold = [list(sentences[number].spans or ()) for number in numbers]
            sure = self._probabilities(chain, gold)
            own = self._probabilities(chain, predicted)
            outside = _outside(chain, gold, self.network.tags.index(OUTSIDE))
            for row, number in enumerate(numbers):
                scored = [
                    replace(span, score=score)
                    for span, score in zip(predicted[row], own[row], strict=True)
                ]
                found[number] = Opinion(
                    sentences[number], tuple(scored), tuple(sure[row]), tuple(outside[row])
                )
        return found

    def readings(
        self, sentences: Sequence[Sentence]
    ) -> list[tuple[tuple[Span, ...], NDArray[np.float32]]]:
        """Return the predicted spans of each sentence with scores, and each token's O probability.

        The probabilities of O are an array ``(tokens,)``.
        """
        found: list[tuple[tuple[Span, ...], NDArray[np.float32]]] = [
            ((), np.ones(0, np.float32)) for _ in sentences
        ]
        for numbers, chain in self._chains(sentences):
            predicted = chosen_spans(chain, self.network, self.decoding)
            scores = self._probabilities(chain, predicted)
            outside = chain.marginals()[..., self.network.tags.index(OUTSIDE)].float().cpu()
            for row, number in enumerate(numbers):
                spans = (
                    replace(span, score=score)
                    for span, score in zip(predicted[row], scores[row], strict=True)
                )
                length = len(sentences[number])
                found[number] = (tuple(spans), outside[row, :length].numpy())
        return found

    def uncertainties(self, sentences: Sequence[Sentence]) -> list[Uncertainty]:
        """Return the entropy of each sentence and of each of its tokens, in nats."""
        found = [Uncertainty(sentence, 0.0, ()) for sentence in sentences]
        for numbers, chain in self._chains(sentences):
            marginals = chain.marginals()
            tokens = torch.special.entr(marginals).sum(-1).tolist()
            entropies = chain.entropy().clamp(min=0.0).tolist()
            for row, number in enumerate(numbers):
                length = len(sentences[number])
                found[number] = Uncertainty(
                    sentences[number], entropies[row], tuple(tokens[row][:length])
                )
        return found

    def suggestions(self, sentences: Sequence[Sentence], count: int) -> list[tuple[Span, ...]]:
        """Return the spans found in each sentence, scored and with at most ``count`` alternatives.

        Existing annotation is ignored.
        """
        found: list[tuple[Span, ...]] = [()] * len(sentences)
        for numbers, chain in self._chains(sentences):
            chosen = chosen_spans(chain, self.network, self.decoding)
            scores = self._probabilities(chain, chosen)
            scored = [
                [replace(span, score=score) for span, score in zip(*row, strict=True)]
                for row in zip(chosen, scores, strict=True)
            ]
            table, labels = self.network.span_tags.table(), self.network.labels
            both = with_alternatives(chain.arrays(), table, labels, scored, count)
            for number, spans in zip(numbers, both, strict=True):
                found[number] = spans
        return found

    def _chains(self, sentences: Sequence[Sentence]) -> Iterator[tuple[list[int], LinearChain]]:
        """Yield the indices of groups of sentences, and their distributions."""
        if isinstance(self.network, ExportedScorer):
            for numbers, scores in self.network.chains(list(map(bare, sentences))):
                arrays = (scores.emissions, scores.transitions, scores.start, scores.end)
                chain = LinearChain(*map(torch.from_numpy, (*arrays, scores.lengths)))
                yield numbers, self.decoding.tempered(chain)
            return
        yield from self._trained(self.network, sentences)

    def _trained(
        self, network: Scorer, sentences: Sequence[Sentence]
    ) -> Iterator[tuple[list[int], LinearChain]]:
        """Yield the same for a torch network."""
        device = network.device
        for start in range(0, len(sentences), CHUNK):
            numbers = [
                n for n in range(start, min(start + CHUNK, len(sentences))) if len(sentences[n])
            ]
            table = network.type_table()
            indexed = network.index([bare(sentences[n]) for n in numbers], table)
            lengths = [len(sentences[n]) for n in numbers]
            for group in group_by_length(lengths, sentences=SENTENCES, tokens=TOKENS):
                with torch.inference_mode():
                    batch = network.collate([indexed[place] for place in group], table)
                    chain = self.decoding.tempered(network(batch.to(device)))
                    yield [numbers[place] for place in group], chain

    def _probabilities(
        self, chain: LinearChain, spans: Sequence[Sequence[Span]]
    ) -> list[list[float]]:
        """Return the probability of each span of each sentence."""
        labels = {label: number for number, label in enumerate(self.network.labels)}
        found = [[0.0] * len(row) for row in spans]
        places = [
            (row, at, span)
            for row, own in enumerate(spans)
            for at, span in enumerate(own)
            if span.label in labels
        ]
        if not places:
            return found

        def numbers(values: list[int]) -> Tensor:
            return torch.tensor(values, device=chain.emissions.device)

        scores = chain.span_probability(
            numbers([row for row, _, _ in places]),
            numbers([span.start for _, _, span in places]),
            numbers([span.end for _, _, span in places]),
            numbers([labels[span.label] for _, _, span in places]),
            self.network.span_tags,
        )
        for (row, at, _), score in zip(places, scores.tolist(), strict=True):
            found[row][at] = score
        return found


def _outside(
    chain: LinearChain, spans: Sequence[Sequence[Span]], outside: int
) -> list[list[float]]:
    """Return the probability that all tokens of a span are outside of entities, for each span.

    Exact, since tags form a Markov chain: p(O, ..., O) = p(y_s = O) * product over t of
    p(y_t+1 = O | y_t = O), where the last factor is p(O, O at t, t+1) / p(y_t = O).
    """
    single = chain.marginals()[..., outside].double()
    pairs = chain.pairwise_marginals()[..., outside, outside].double()
    found = []
    for row, own in enumerate(spans):
        sure = []
        for span in own:
            both = pairs[row, span.start : span.end - 1]
            given = single[row, span.start : span.end - 1]
            steps = torch.where(given > 0, both / given, torch.zeros_like(both))
            first = single[row, span.start]
            sure.append(min(1.0, float(first * steps.clamp(max=1.0).prod())))
        found.append(sure)
    return found
