"""One short sentence by itself: the path and the probabilities that batches give."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ner.crf.core import short_sentence
from ner.crf.core.forward_backward import LogSpace
from ner.crf.core.scores import ChainScores
from ner.crf.core.short_sentence import Factors, best_path, span_probabilities
from ner.crf.core.spans import SpanBatch, SpanTable, span_probability
from ner.crf.core.viterbi import viterbi
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
    return ChainScores(emissions, moves, start, end, np.array([length]))


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_the_path_is_that_of_the_batch(seed, length):
    chain = scores(seed, length)
    np.testing.assert_array_equal(best_path(chain), viterbi(chain)[0])


def test_without_a_legal_path_there_is_none():
    chain = scores(0, 3)
    blocked = np.full_like(chain.end, -np.inf)
    assert best_path(replace(chain, end=blocked)) is None


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@given(st.integers(0, 10_000), st.integers(1, 20), st.sampled_from([1.0, 1.7]))
def test_probabilities_are_those_of_the_chain(scheme, seed, length, temperature):
    chain = scores(seed, length, scheme)
    spelling = scheme_named(scheme).spelling(LABELS)
    table = SpanTable(**{name: np.array(tags) for name, tags in spelling.items()})
    starts = np.arange(length)
    ends = np.minimum(starts + 1 + starts % 4, length)
    found = SpanBatch(np.zeros_like(starts), starts, ends, starts % 2)
    cooler = [
        part / np.float32(temperature) for part in (chain.transitions, chain.start, chain.end)
    ]
    hot = ChainScores(chain.emissions / np.float32(temperature), *cooler, chain.lengths)
    expected = span_probability(hot, LogSpace.of(hot).messages(), found, table)
    factors = Factors.of(chain.transitions, chain.start, chain.end, temperature)
    given_ = span_probabilities(chain.emissions[0], factors, found, table)
    np.testing.assert_allclose(given_, expected, atol=1e-6)


def test_what_float64_does_not_hold_is_left_to_others():
    chain = scores(1, 20, scale=2000.0)
    spelling = scheme_named("BIOES").spelling(LABELS)
    table = SpanTable(**{name: np.array(tags) for name, tags in spelling.items()})
    found = SpanBatch(*(np.array([number]) for number in (0, 0, 1, 0)))
    with np.errstate(all="ignore"):
        factors = Factors.of(chain.transitions, chain.start, chain.end)
    assert span_probabilities(chain.emissions[0], factors, found, table) is None


def test_a_beginning_too_improbable_for_float64_is_not_taken_for_none():
    """Half of all weight lies on a path whose first token's is below what float64 holds."""
    table = SpanTable(*(np.array([tag]) for tag in (1, 1, 2, 2, 2)))  # BIO: O, B, I
    moves = np.full((3, 3), -np.inf, np.float32)
    moves[0, 0], moves[1, 2] = 0.0, 709.0
    start, end = np.array([-41.0, -750.0, -np.inf], np.float32), np.zeros(3, np.float32)
    emissions, found = np.zeros((2, 3), np.float32), SpanBatch(*np.array([[0], [0], [2], [0]]))
    chain = ChainScores(emissions[None], moves, start, end, np.array([2]))
    (right,) = span_probability(chain, LogSpace.of(chain).messages(), found, table)
    assert right == pytest.approx(0.5)
    factors = Factors.of(moves, start, end)
    assert span_probabilities(emissions, factors, found, table) is None


def test_messages_are_written_in_c_order():
    """Whatever the order of the emissions: numpy 1.26 refuses to write a product elsewhere."""
    nodes = np.asfortranarray(np.ones((4, 3)))
    factors = Factors.of(*(np.zeros(shape, np.float32) for shape in ((3, 3), 3, 3)))
    ahead, back = short_sentence._messages(nodes, factors)
    assert ahead.base.flags.c_contiguous
    assert back.base.flags.c_contiguous
    np.testing.assert_allclose(ahead[-1].sum(), 3.0**4)
