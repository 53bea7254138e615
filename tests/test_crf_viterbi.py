"""The decoder on numpy arrays: what it promises beside being right, and without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from crf_oracle import table

from ner.crf import CRF, LinearChain, viterbi
from ner.crf.core import viterbi as module
from ner.crf.core.scores import ChainScores

pytestmark = pytest.mark.usefixtures("each_kernel")


def best(emissions, lengths, *scores):
    """The best tags, of scores in the order of `ChainScores` but for the lengths."""
    *moves, candidates = scores if len(scores) == 4 else (*scores, None)
    return module.viterbi(ChainScores(emissions, *moves, lengths, candidates))


def scores(tags: int, dtype=np.float32, seed: int = 0):
    random = np.random.default_rng(seed)
    return [random.normal(size=size).astype(dtype) for size in ((tags, tags), tags, tags)]


def test_it_needs_no_torch():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from ner.crf.core import decoding, short_sentence
from ner.crf.core.scores import ChainScores
from ner.crf.core.viterbi import viterbi
zeros = np.zeros((2, 2), np.float32)
emissions = np.array([[[0, 1], [1, 0], [0, 1]]], np.float32)
print(viterbi(ChainScores(emissions, zeros, zeros[0], zeros[0], np.array([3]))).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[[1, 0, 1]]"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_are_not_changed(dtype):
    inputs = [np.random.default_rng(1).normal(size=(3, 5, 4)).astype(dtype), np.array([5, 0, 3])]
    inputs += scores(4, dtype)
    inputs.append(np.ones((3, 5, 4), bool))
    inputs[-1][0, 0, 0] = False
    copies = [each.copy() for each in inputs]
    tags = best(*inputs)
    assert tags.dtype == np.int64
    assert not tags[1].any()
    for each, copy in zip(inputs, copies, strict=True):
        assert np.array_equal(each, copy)


def test_candidates_forbid_tags():
    emissions, known = np.zeros((1, 3, 2), np.float32), np.ones((1, 3, 2), bool)
    emissions[..., 1] = 1
    known[0, 1, 1] = False
    zeros = np.zeros((2, 2), np.float32)
    tags = best(emissions, np.array([3]), zeros, zeros[0], zeros[0], known)
    assert tags.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("lengths", [[4, -1], [6, 1]])
def test_lengths_that_cannot_be(lengths):
    with pytest.raises(ValueError, match="lengths must be between 0 and 5"):
        best(np.zeros((2, 5, 3), np.float32), np.array(lengths), *scores(3))


def test_a_batch_is_cut_into_parts_of_bounded_memory(monkeypatch):
    random = np.random.default_rng(2)
    emissions, lengths = random.normal(size=(40, 12, 5)).astype("f"), random.integers(0, 13, 40)
    whole = best(emissions, lengths, *scores(5))
    monkeypatch.setattr(module, "_CELLS", 200)
    assert len(list(module._parts(lengths, 5))) > 5
    assert np.array_equal(best(emissions, lengths, *scores(5)), whole)


@pytest.mark.parametrize("tags", [2, 30, 60])
def test_a_part_holds_neither_too_many_scores_nor_too_many_pairs(tags, monkeypatch):
    """Long sentences are many scores of tokens; many tags are many of pairs, a walk each."""
    monkeypatch.setattr(module, "_CELLS", 5000)
    lengths = np.array([40, 3, 40, 2, 0, 1] * 20)
    parts = list(module._parts(lengths, tags))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.flatnonzero(lengths))
    for part in parts:
        cells = len(part) * tags * max(lengths[part].max(), 2 * tags)
        assert len(part) == 1 or cells <= 5000


def test_float32_keeps_its_digits_over_100000_tokens():
    """Scores are levelled as they grow; otherwise close calls at the end would be lost."""
    torch.manual_seed(0)
    crf = CRF(5, batch_first=True, allowed=table("BIO", 2))
    emissions = 10 + torch.randn(1, 100_000, 5)
    lengths = torch.tensor([100_000])
    narrow = viterbi(crf.chain(emissions, lengths))
    wide = viterbi(crf.chain(emissions.double(), lengths))
    assert (narrow.tags != wide.tags).float().mean() < 1e-4
    assert float(wide.scores - narrow.scores) < 1e-2


def test_the_errors_name_sentence_token_and_tag():
    emissions = np.zeros((3, 4, 2), np.float32)
    emissions[2, 1, 1] = np.nan
    with pytest.raises(ValueError, match=r"contain nan \(sentence 2, token 1, tag 1\)"):
        best(emissions, np.array([4, 4, 2]), *scores(2))
    emissions[2, 1] = -np.inf
    with pytest.raises(ValueError, match="sentence 2 has no legal path"):
        best(emissions, np.array([4, 4, 2]), *scores(2))
    emissions[2] = 0
    assert best(emissions, np.array([4, 4, 2]), *scores(2)).shape == (3, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1, 2, 3, 40])
def test_finite_scores_at_the_limit_of_float32_do_not_overflow(dtype, length):
    """A path through -3e38 twice is below float32, and is still the best of the legal ones."""
    zeros = torch.zeros(2, 2)
    moves = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]])
    emissions = torch.zeros(2, length, 2)
    emissions[0, :, 1] = 3e38
    emissions[1, : length // 2, 1], emissions[1, length // 2 :, 1] = -3e38, 3.1e38
    emissions[1, -1, 0] = -3.3e38 if length == 1 else 0.0
    lengths = torch.tensor([length, length])
    chain = LinearChain(emissions.to(dtype), moves, zeros[0], zeros[0], lengths)
    paths = viterbi(chain)
    assert paths.tags.tolist() == [[1] * length] * 2
    assert torch.isfinite(paths.scores).all()
    torch.testing.assert_close(paths.scores, chain.log_partition())
    end = torch.tensor([-torch.inf, 0.0])
    alone = LinearChain(-emissions[:1].abs(), moves, zeros[0], end, lengths[:1])
    assert viterbi(alone).tags.tolist() == [[1] * length]
