"""One short sentence by itself: the path and the probabilities that batches give."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ner.crf.arrays import ArrayChain, ArrayMessages, Found, SpanTable, span_probability
from ner.crf.viterbi_numpy import viterbi_numpy
from ner.inference.lstm import FusedLSTM
from ner.inference.probabilities import Weights
from ner.inference.single import best_path, span_probabilities_of_one
from ner.schemes import scheme_named

LABELS = ("A", "B")


def scores(seed, length, scheme="BIOES", scale=3.0):
    """Random scores of a CRF, moves that the scheme forbids blocked: a chain of one sentence."""
    random = np.random.default_rng(seed)
    tags = scheme_named(scheme).tags(LABELS)
    allows = scheme_named(scheme).allows
    legal = np.array([[allows(left, right) for right in tags] for left in tags])
    ends = np.array([[allows("O", tag), allows(tag, "O")] for tag in tags])
    draw = [
        random.normal(0.0, scale, shape).astype(np.float32) for shape in (legal.shape, len(tags))
    ]
    moves = np.where(legal, draw[0], -np.inf).astype(np.float32)
    start, end = (np.where(ok, draw[1], -np.inf).astype(np.float32) for ok in ends.T)
    emissions = random.normal(0.0, scale, (1, length, len(tags))).astype(np.float32)
    return ArrayChain(emissions, moves, start, end, np.array([length]))


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_the_path_is_that_of_the_batch(seed, length):
    chain = scores(seed, length)
    found = best_path(chain.emissions[0], chain.transitions, chain.start, chain.end)
    rest = (chain.transitions, chain.start, chain.end)
    np.testing.assert_array_equal(found, viterbi_numpy(chain.emissions, chain.lengths, *rest)[0])


def test_without_a_legal_path_there_is_none():
    chain = scores(0, 3)
    blocked = np.full_like(chain.end, -np.inf)
    assert best_path(chain.emissions[0], chain.transitions, chain.start, blocked) is None


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from([1.0, 1.7]))
def test_probabilities_are_those_of_the_chain(scheme, seed, length, temperature):
    chain = scores(seed, length, scheme)
    spelling = scheme_named(scheme).spelling(LABELS)
    table = SpanTable(**{name: np.array(tags) for name, tags in spelling.items()})
    starts = np.arange(length)
    ends = np.minimum(starts + 1 + starts % 4, length)
    found = Found(np.zeros_like(starts), starts, ends, starts % 2)
    cooler = [
        part / np.float32(temperature) for part in (chain.transitions, chain.start, chain.end)
    ]
    hot = ArrayChain(chain.emissions / np.float32(temperature), *cooler, chain.lengths)
    expected = span_probability(hot, ArrayMessages.of(hot), found, table)
    weights = Weights.of(chain.transitions, chain.start, chain.end, temperature)
    given_ = span_probabilities_of_one(chain.emissions[0], weights, found, table)
    np.testing.assert_allclose(given_, expected, atol=1e-6)


def test_what_float64_does_not_hold_is_left_to_others():
    chain = scores(1, 20, scale=2000.0)
    spelling = scheme_named("BIOES").spelling(LABELS)
    table = SpanTable(**{name: np.array(tags) for name, tags in spelling.items()})
    found = Found(*(np.array([number]) for number in (0, 0, 1, 0)))
    with np.errstate(all="ignore"):
        weights = Weights.of(chain.transitions, chain.start, chain.end)
    assert span_probabilities_of_one(chain.emissions[0], weights, found, table) is None


def test_a_beginning_too_improbable_for_float64_is_not_taken_for_none():
    """Half of all weight lies on a path whose first token's is below what float64 holds."""
    table = SpanTable(*(np.array([tag]) for tag in (1, 1, 2, 2, 2)))  # BIO: O, B, I
    moves = np.full((3, 3), -np.inf, np.float32)
    moves[0, 0], moves[1, 2] = 0.0, 709.0
    start, end = np.array([-41.0, -750.0, -np.inf], np.float32), np.zeros(3, np.float32)
    emissions, found = np.zeros((2, 3), np.float32), Found(*np.array([[0], [0], [2], [0]]))
    chain = ArrayChain(emissions[None], moves, start, end, np.array([2]))
    (right,) = span_probability(chain, ArrayMessages.of(chain), found, table)
    assert right == pytest.approx(0.5)
    weights = Weights.of(moves, start, end)
    assert span_probabilities_of_one(emissions, weights, found, table) is None


@pytest.mark.parametrize("directions", [1, 2])
def test_the_recurrence_of_one_is_that_of_many(directions):
    torch.manual_seed(0)
    layer = FusedLSTM([torch.nn.LSTM(5, 6, batch_first=True) for _ in range(directions)])
    gates = torch.randn(directions, 7, 24)
    with torch.inference_mode():
        many = layer.run([own.clone().split(1) for own in gates], [1] * 7)
        one = torch.from_numpy(layer.run_one(gates.numpy()))
    torch.testing.assert_close(one.transpose(0, 1), many, atol=1e-6, rtol=0.0)
