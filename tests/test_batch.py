"""Batches: which sentences go together, and how they are padded."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ner.batch import group_by_length, pad


@given(
    st.lists(st.integers(0, 40), max_size=60),
    st.integers(1, 9),
    st.one_of(st.none(), st.integers(1, 100)),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_every_sentence_is_in_exactly_one_batch_within_the_limits(lengths, most, tokens, seed):
    groups = group_by_length(lengths, sentences=most, tokens=tokens, noise=3.0, seed=seed)
    assert sorted(number for group in groups for number in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) <= most
        longest = max(lengths[number] for number in group)
        assert tokens is None or len(group) == 1 or longest * len(group) <= tokens


def test_the_seed_decides_the_order():
    lengths = list(range(30))
    one, same, other = (group_by_length(lengths, sentences=4, noise=3.0, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_padding_is_zero_and_at_the_end():
    padded = pad([np.array([1, 2]), np.array([3])], 3)
    assert padded.tolist() == [[1, 2, 0], [3, 0, 0]]
