"""Spans read off tag numbers in bulk, and the best path of one sentence: against the plain way."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner.crf.core.scores import ChainScores
from ner.crf.core.short_sentence import best_path
from ner.inference.span_decoder import SpanExtractor
from ner.schemes import SCHEMES

LABELS = ("PER", "ORG", "creative-work")


@pytest.mark.parametrize("name", ["BIO", "BIOES", "BILOU", "BMES"])
@settings(max_examples=30)
@given(data=st.data())
def test_the_spans_are_those_that_the_scheme_reads(name, data):
    """Any tags, legal or not; spans never reach over the end of a sentence."""
    scheme = SCHEMES[name]
    tags = scheme.tags(LABELS)
    number = st.integers(0, len(tags) - 1)
    texts = data.draw(st.lists(st.lists(number, min_size=1, max_size=7), min_size=1, max_size=5))
    extractor = SpanExtractor(scheme, tags, LABELS)
    found = extractor.find(np.concatenate(texts), np.array([len(text) for text in texts]))
    spans = [scheme.decode([tags[n] for n in text]) for text in texts]
    expected = [(row, s.start, s.end, s.label) for row, own in enumerate(spans) for s in own]
    read = zip(found.rows, found.starts, found.ends, [LABELS[n] for n in found.labels], strict=True)
    assert list(read) == expected
    assert len(found) == len(expected)


def test_a_token_goes_on_with_the_span_before_it_and_the_first_with_none():
    scheme = SCHEMES["BIO"]
    tags = scheme.tags(["A", "B"])
    extractor = SpanExtractor(scheme, tags, ["A", "B"])
    text = [tags.index(tag) for tag in ("I-A", "I-A", "O", "I-A", "I-B", "B-B", "I-B")]
    follows = extractor.follows(np.array(text))
    assert follows.tolist() == [False, True, False, False, False, False, True]


scores = st.integers(-3, 3).map(float) | st.just(-np.inf)


@settings(max_examples=60)
@given(data=st.data())
def test_the_best_path_is_the_best_of_all(data):
    length, count = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))

    def drawn(*shape):
        size = int(np.prod(shape))
        values = data.draw(st.lists(scores, min_size=size, max_size=size))
        return np.array(values, np.float32).reshape(shape)

    emissions, moves = drawn(length, count), drawn(count, count)
    start, end = drawn(count), drawn(count)

    def score(path):
        steps = sum(moves[a, b] for a, b in itertools.pairwise(path))
        return start[path[0]] + sum(emissions[range(length), path]) + steps + end[path[-1]]

    every = list(itertools.product(range(count), repeat=length))
    best = max(map(score, every))
    path = best_path(ChainScores(emissions[None], moves, start, end, np.array([length])))
    if best == -np.inf:
        assert path is None
    else:
        assert path.shape == (length,)
        assert score(tuple(path)) == best


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_have_no_best_path(bad):
    zeros = np.zeros((2, 2), np.float32)
    emissions = np.array([[0.0, 0.0], [bad, 0.0]], np.float32)
    chain = ChainScores(emissions[None], zeros, zeros[0], zeros[0], np.array([2]))
    assert best_path(chain) is None
