"""The plain engine: the trained network, batch by batch; the reference for other engines.

`TutorialTagger` is slower still: the same network as tutorials write it, to measure others against.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ner.batch import group_by_length
from ner.crf import DECODERS, LinearChain, Paths, posterior
from ner.crf.chain import SpanTags
from ner.crf.core.scores import ChainScores
from ner.embeddings import ContextEmbedding, Embedding, TypeEmbedding
from ner.errors import ConfigError
from ner.indexers import Arrays, CharacterIndexer, TypeIndexer, WordIndexer
from ner.indexers.base import PADDING, UNKNOWN
from ner.indexers.characters import HEAD, LONGEST, TAIL
from ner.indexers.words import normalise
from ner.inference.batch_engine import bare
from ner.inference.decoding import VITERBI, Decoding
from ner.inference.span_decoder import NBestParse
from ner.schemes import Scheme
from ner.scorer import Indexed, Scorer, TypeTable
from ner.sentence import Sentence, Span

SENTENCES, TOKENS = 256, 8192  # maximum per batch


class PlainEngine:
    """Tags with a network in evaluation mode, on the device the network is on.

    Args:
        network: The network; it is never modified.
        decoding: The decoding settings.
    """

    def __init__(self, network: Scorer, decoding: Decoding = VITERBI) -> None:
        self.network = network
        self.decoding = decoding

    def fits(self) -> bool:
        """Return whether no faster engine supports the network in its current state."""
        return self.network.training or self.network.device.type != "cpu"

    @torch.inference_mode()
    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence with their probabilities.

        Raises:
            ValueError: A score is NaN.
        """
        table = self.network.type_table()
        indexed = self.network.index([bare(sentence) for sentence in sentences], table)
        return self.predict_indexed(indexed, table)

    @torch.inference_mode()
    def predict_indexed(
        self, indexed: Sequence[Indexed], table: TypeTable
    ) -> list[tuple[Span, ...]]:
        """Return the spans of sentences that the network has indexed."""
        found: list[tuple[Span, ...]] = [()] * len(indexed)
        filled = [number for number, sentence in enumerate(indexed) if len(sentence)]
        lengths = [len(indexed[number]) for number in filled]
        device = self.network.device
        for group in group_by_length(lengths, sentences=SENTENCES, tokens=TOKENS):
            numbers = [filled[place] for place in group]
            batch = self.network.collate([indexed[number] for number in numbers], table)
            chain = self.decoding.tempered(self.network(batch.to(device)))
            chosen = spans_of(chain, self.network, self.decoding)
            for number, spans in zip(numbers, chosen, strict=True):
                found[number] = spans
        return found

    @torch.inference_mode()
    def alternatives(
        self, sentences: Sequence[Sentence], count: int
    ) -> list[tuple[NBestParse, ...]]:
        """Return the most probable parses of each sentence, the best first.

        In the schemes that networks use, different legal tag sequences are different parses.

        Args:
            sentences: The sentences.
            count: The maximum number of parses; a short sentence may have fewer.

        Raises:
            ValueError: ``count`` is less than 1.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        network = self.network
        found: list[tuple[NBestParse, ...]] = [(NBestParse((), 1.0),)] * len(sentences)
        filled = [number for number, sentence in enumerate(sentences) if len(sentence)]
        lengths = [len(sentences[number]) for number in filled]
        for group in group_by_length(lengths, sentences=32, tokens=2048):
            numbers = [filled[place] for place in group]
            batch = network.batch([bare(sentences[number]) for number in numbers])
            chain = self.decoding.tempered(network(batch.to(network.device)))
            paths = chain.n_best(count)
            probabilities = (paths.scores - chain.log_partition().unsqueeze(1)).exp().tolist()
            for number, rows, own in zip(numbers, paths.tags.tolist(), probabilities, strict=True):
                length = len(sentences[number])
                found[number] = tuple(
                    NBestParse(spelled(network, row[:length]), probability)
                    for row, probability in zip(rows, own, strict=True)
                    if probability > 0.0
                )
        return found

    @torch.inference_mode()
    def chains(self, sentences: Sequence[Sentence]) -> Iterator[tuple[list[int], ChainScores]]:
        """Yield the indices of a group of non-empty sentences, and the scores of their tags."""
        filled = [number for number, sentence in enumerate(sentences) if len(sentence)]
        lengths = [len(sentences[number]) for number in filled]
        for group in group_by_length(lengths, sentences=SENTENCES, tokens=TOKENS):
            numbers = [filled[place] for place in group]
            batch = self.network.batch([bare(sentences[number]) for number in numbers])
            yield numbers, self.network(batch.to(self.network.device)).arrays()

    def stream(self, tokens: Iterable[str]) -> Iterator[tuple[tuple[str, ...], tuple[Span, ...]]]:
        """Yield the tokens of one sentence and its spans, as one item."""
        own = Sentence(tuple(tokens))
        yield own.tokens, self.predict([own])[0]


def spans_of(chain: LinearChain, network: Scorer, decoding: Decoding) -> list[tuple[Span, ...]]:
    """Return the chosen spans of each sentence with their probabilities."""
    found = chosen_spans(chain, network, decoding)
    places = [(row, span) for row, spans in enumerate(found) for span in spans]
    if not places:
        return found
    numbers = {label: number for number, label in enumerate(network.labels)}
    scores = chain.span_probability(
        torch.tensor([row for row, _ in places]),
        torch.tensor([span.start for _, span in places]),
        torch.tensor([span.end for _, span in places]),
        torch.tensor([numbers[span.label] for _, span in places]),
        network.span_tags,
    )
    rest = iter(scores.tolist())
    scored = [
        [Span(span.start, span.end, span.label, next(rest)) for span in spans] for spans in found
    ]
    least = decoding.min_score
    return [tuple(span for span in spans if (span.score or 0.0) >= least) for spans in scored]


class Spelling(Protocol):
    """The scheme and the tags of a network."""

    scheme: Scheme
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    span_tags: SpanTags


def chosen_spans(
    chain: LinearChain, network: Spelling, decoding: Decoding
) -> list[tuple[Span, ...]]:
    """Return the spans of the chosen path through each sentence."""
    paths = paths_of(chain, network, decoding).tags.tolist()
    return [
        spelled(network, path[:length])
        for path, length in zip(paths, chain.lengths.tolist(), strict=True)
    ]


def spelled(network: Spelling, path: Sequence[int]) -> tuple[Span, ...]:
    """Return the spans of a sequence of tag indices."""
    return network.scheme.decode([network.tags[number] for number in path])


def paths_of(chain: LinearChain, network: Spelling, decoding: Decoding) -> Paths:
    """Return the chosen tags of each sentence, given a chain from ``decoding.tempered``."""
    chain = decoding.biased(chain)
    if decoding.decode == "posterior":
        least = np.array(decoding.thresholds(network.labels))
        return posterior(chain, network.span_tags, threshold=least)
    return DECODERS[decoding.decode](chain)


class TutorialTagger:
    """A network as tutorials write it, without probabilities: a baseline of speed.

    Batches of 32 in the order of the file, the features of every token, PackedSequence,
    pytorch-crf.

    Args:
        network: The network, on the CPU.

    Raises:
        ConfigError: It is an ensemble, has no BiLSTM, or an embedding of whole sentences.
    """

    def __init__(self, network: Scorer) -> None:
        import torchcrf

        (stack, *others), self._network = network.stacks, network
        contexts = (e for e in stack.embeddings.values() if isinstance(e, ContextEmbedding))
        encoder = stack.encoder
        if others or not len(encoder.forwards) or not all(part.tokenwise for part in contexts):
            raise ConfigError("only a single network with a BiLSTM can be compared with plain")
        self._parts, self._projection = list(stack.embeddings.values()), stack.projection
        self._lstm = torch.nn.LSTM(
            encoder.input_width,
            encoder.width,
            len(encoder.forwards),
            batch_first=True,
            bidirectional=encoder.bidirectional,
        )
        weights = {}
        for suffix, lstms in (("", encoder.forwards), ("_reverse", encoder.backwards)):
            for number, lstm in enumerate(lstms):
                for name, value in lstm.named_parameters():
                    weights[name.replace("l0", f"l{number}") + suffix] = value
        self._lstm.load_state_dict(weights)
        self._crf = torchcrf.CRF(len(network.tags), batch_first=True)
        chain = network.chain(torch.zeros(0, 1, len(network.tags)), torch.zeros(0).long())
        scores = {
            "transitions": chain.transitions,
            "start_transitions": chain.start,
            "end_transitions": chain.end,
        }
        self._crf.load_state_dict({name: part.clamp_min(-1e4) for name, part in scores.items()})

    @torch.inference_mode()
    def predict(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        """Return the spans of each sentence; none may be empty."""
        found: list[tuple[Span, ...]] = []
        for first in range(0, len(sentences), 32):
            found += self._batch(sentences[first : first + 32])
        return found

    def _batch(self, sentences: Sequence[Sentence]) -> list[tuple[Span, ...]]:
        lengths = torch.tensor([len(sentence) for sentence in sentences])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        vectors = []
        for part in self._parts:
            flat = _vectors_of(part, sentences)
            padded = flat.new_zeros(*mask.shape, flat.shape[1])
            padded[mask] = flat
            vectors.append(padded)
        packed = pack_padded_sequence(
            torch.cat(vectors, 2), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self._lstm(packed)[0], batch_first=True)
        paths = self._crf.decode(self._projection(states), mask)
        return [spelled(self._network, path) for path in paths]


def _vectors_of(part: Embedding, sentences: Sequence[Sentence]) -> Tensor:
    """Return the vectors of all tokens, each computed anew, ``(tokens, width)``."""
    if isinstance(part, TypeEmbedding):
        tokens = [token for sentence in sentences for token in sentence.tokens]
        vectors: Tensor = part(*map(torch.from_numpy, _one_by_one(part.indexer, tokens)))
        return vectors
    assert isinstance(part, ContextEmbedding), "an embedding is one or the other"
    arrays = zip(*(part.index(sentence) for sentence in sentences), strict=True)
    together: Tensor = part(*(torch.from_numpy(np.concatenate(own)[:, None]) for own in arrays))
    return together.squeeze(1)


def _one_by_one(indexer: TypeIndexer, tokens: Sequence[str]) -> Arrays:
    """Return the indices of tokens, made token by token and character by character."""
    if isinstance(indexer, WordIndexer):
        return (np.array([indexer.vocabulary[normalise(token)] for token in tokens]),)
    if not isinstance(indexer, CharacterIndexer):
        return indexer.index(tokens)
    cut = (t if len(t) <= LONGEST else t[:HEAD] + t[-TAIL:] for t in tokens)
    rows = [[indexer.vocabulary[character] for character in token] or [UNKNOWN] for token in cut]
    return (np.array([row + [PADDING] * (LONGEST - len(row)) for row in rows]),)
