"""Spans chosen and scored on numpy arrays alone are those that torch chooses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inference_fast import assert_same, network_of, texts

from ner.crf import DECODERS, LinearChain, SpanTags, greedy, posterior
from ner.crf.arrays import ArrayChain, ArrayMessages, Found, SpanTable, span_probability
from ner.crf.decoding_numpy import greedy_numpy, posterior_numpy
from ner.crf.nbest_numpy import n_best_numpy
from ner.inference import Decoding, FastEngine, PlainEngine
from ner.inference.choice import Chooser
from ner.inference.decoding import WAYS
from ner.inference.readings import alternatives
from ner.schemes import SCHEMES

LABELS = ["A", "B"]
NAMES = ["BIO", "BIOES", "BILOU", "BMES"]


def chains(name, seed, scale):
    """The same random distribution over legal tags for numpy and for torch, and its spans' tags."""
    scheme = SCHEMES[name]
    ends = (*scheme.tags(LABELS), "O")
    allowed = np.array([[scheme.allows(a, b) for b in ends] for a in ends])
    random = np.random.default_rng(seed)
    scores = np.where(allowed, random.normal(0.0, scale, allowed.shape), -np.inf)
    lengths = random.integers(1, 9, 5)
    emissions = random.normal(0.0, scale, (5, 8, len(ends) - 1)).astype(np.float32)
    parts = [p.astype(np.float32) for p in (scores[:-1, :-1], scores[-1, :-1], scores[:-1, -1])]
    spelling = scheme.spelling(LABELS)
    return (
        ArrayChain(emissions, *parts, lengths),
        LinearChain(*map(torch.from_numpy, (emissions, *parts, lengths))),
        SpanTable(**{name: np.array(tags) for name, tags in spelling.items()}),
        SpanTags(**{name: torch.tensor(tags) for name, tags in spelling.items()}),
    )


cases = given(st.sampled_from(NAMES), st.integers(0, 99), st.sampled_from([0.3, 2.0, 2000.0]))


@settings(max_examples=40)
@cases
def test_the_sums_are_those_of_torch(name, seed, scale):
    chain, linear, table, tags = chains(name, seed, scale)
    spans = [(row, start, end, label) for row, length in enumerate(chain.lengths.tolist())
             for start in range(length) for end in range(start + 1, length + 1)
             for label in range(2)]  # fmt: skip
    columns = np.array(spans).T
    found = span_probability(chain, ArrayMessages.of(chain), Found(*columns), table)
    expected = linear.span_probability(*map(torch.from_numpy, columns), tags)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-9)
    marginals = ArrayMessages.of(chain).marginals()[chain.mask]
    np.testing.assert_allclose(marginals, linear.marginals().numpy()[chain.mask], atol=1e-5)


@settings(max_examples=40)
@cases
def test_every_way_to_choose_is_that_of_torch(name, seed, scale):
    chain, linear, table, tags = chains(name, seed, scale)
    inside = chain.mask
    for threshold in (0.1, 0.35, 0.8):
        found = posterior_numpy(chain, table, threshold=threshold)
        expected = posterior(linear, tags, threshold=threshold).tags.numpy()
        np.testing.assert_array_equal(found[inside], expected[inside])
    np.testing.assert_array_equal(greedy_numpy(chain), greedy(linear).tags.numpy())


def test_the_ways_are_those_of_the_crf():
    assert list(DECODERS) == list(WAYS)


@pytest.mark.parametrize("decode", WAYS)
def test_the_chooser_of_arrays_finds_what_the_plain_road_finds(toy, decode):
    network, decoding = network_of(toy), Decoding(decode, threshold=0.3, temperature=1.5)
    engine = FastEngine(network, decoding)
    engine.chooser = Chooser(network.scheme, network.labels, decoding)
    sentences = texts(toy)
    assert_same(engine.predict(sentences), PlainEngine(network, decoding).predict(sentences))
    engine.chooser.any_probabilities = None  # they were summed step by step
    engine.predict(sentences)


@settings(max_examples=30)
@given(st.sampled_from(NAMES), st.integers(0, 99), st.sampled_from([1, 3, 40]))
def test_the_best_paths_are_those_of_torch(name, seed, count):
    chain, linear, _, _ = chains(name, seed, 2.0)
    tags, scores = n_best_numpy(chain, count)
    expected = linear.n_best(count)
    np.testing.assert_allclose(scores, expected.scores.numpy(), atol=1e-9)
    np.testing.assert_array_equal(tags, expected.tags.numpy())


def test_other_readings_are_those_of_the_network(toy):
    network, sentences = network_of(toy), texts(toy, 24)
    engine = FastEngine(network, Decoding(temperature=1.5))
    found = engine.alternatives(sentences, 4)
    right = alternatives(network, sentences, 4, temperature=1.5)
    for own, expected in zip(found, right, strict=True):
        assert [reading.spans for reading in own] == [reading.spans for reading in expected]
        given_ = [reading.probability for reading in own]
        assert given_ == pytest.approx([reading.probability for reading in expected], abs=1e-5)
    with pytest.raises(ValueError, match="at least 1"):
        engine.alternatives(sentences, 0)
