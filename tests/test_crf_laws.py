"""Laws of the CRF: what must hold of any batch, whatever its scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crf_oracle import random_crf, span_tags, table
from hypothesis import given, settings
from hypothesis import strategies as st

from ner.crf import CRF, DECODERS, LinearChain, posterior, viterbi
from ner.crf.gpu import viterbi_on_gpu

SCALES = (0.0, 1.0, 30.0, 1e4)


@st.composite
def batches(draw, tags: int = 5):
    """A CRF with or without constraints, emissions of some scale, lengths that may be 0."""
    seed = draw(st.integers(0, 2**31))
    torch.manual_seed(seed)
    lengths = torch.tensor(draw(st.lists(st.integers(0, 9), min_size=1, max_size=6)))
    scale = draw(st.sampled_from(SCALES))
    crf = random_crf(tags, scale=draw(st.sampled_from(SCALES[:3])), dtype=torch.float32)
    if draw(st.booleans()):
        crf.allowed = table("BIO", tags // 2)
    width = int(lengths.max()) + draw(st.integers(0, 2))
    return crf, scale * torch.randn(len(lengths), width, tags), lengths


def everything(chain: LinearChain, seed: int = 0) -> dict[str, torch.Tensor]:
    """All that a chain says of its sentences, each ``(batch, ...)``."""
    with torch.no_grad():
        found = {"log_partition": chain.log_partition(), "marginals": chain.marginals()}
        found["entropy"] = chain.entropy()
        best = chain.n_best(3)
        found |= {"best": best.tags, "best_scores": best.scores}
        for name, decoder in DECODERS.items():
            paths = decoder(chain)
            found |= {name: paths.tags, f"{name}_scores": paths.scores}
    return found


def close(one: dict, other: dict, scale: float) -> None:
    for name, value in one.items():
        if value.is_floating_point():
            atol = 1e-6 if name == "marginals" else 1e-9 * max(scale, 1)
            torch.testing.assert_close(value, other[name], rtol=1e-9, atol=atol)
        else:
            assert torch.equal(value, other[name]), name


@settings(deadline=None, max_examples=40)
@given(batches(), st.integers(0, 3), st.sampled_from([0.0, torch.nan, torch.inf, -1e30]))
def test_padding_never_changes_a_result(batch, more, filler):
    crf, emissions, lengths = batch
    padded = torch.cat((emissions, torch.zeros(len(lengths), more, 5)), dim=1)
    outside = torch.arange(padded.shape[1]) >= lengths.unsqueeze(1)
    padded = padded.masked_fill(outside.unsqueeze(2), filler)
    found = everything(crf.chain(padded, lengths))
    width = emissions.shape[1]
    for name in ("best", *DECODERS):
        assert not found[name][..., width:].any()
        found[name] = found[name][..., :width]
    assert not found["marginals"][:, width:].any()
    found["marginals"] = found["marginals"][:, :width]
    close(everything(crf.chain(emissions, lengths)), found, scale_of(emissions))


def scale_of(emissions: torch.Tensor) -> float:
    return float(emissions.abs().max()) if emissions.numel() else 1.0


@settings(deadline=None, max_examples=40)
@given(batches(), st.randoms(use_true_random=False))
def test_batch_order_and_batch_mates_never_change_a_result(batch, random):
    crf, emissions, lengths = batch
    order = list(range(len(lengths)))
    random.shuffle(order)
    order = order[: random.randint(1, len(order))]
    chosen = {k: v[order] for k, v in everything(crf.chain(emissions, lengths)).items()}
    alone = everything(crf.chain(emissions[order], lengths[order]))
    close(chosen, alone, scale_of(emissions))


@settings(deadline=None, max_examples=40)
@given(batches())
def test_probabilities_are_probabilities(batch):
    crf, emissions, lengths = batch
    chain = crf.chain(emissions, lengths)
    with torch.no_grad():
        marginals, pairs = chain.marginals(), chain.pairwise_marginals()
        inside = chain.mask
        torch.testing.assert_close(marginals.sum(2), inside.float(), atol=1e-5, rtol=0)
        following = inside[:, 1:, None]
        torch.testing.assert_close(pairs.sum(3), marginals[:, :-1] * following, atol=1e-5, rtol=0)
        torch.testing.assert_close(pairs.sum(2), marginals[:, 1:] * following, atol=1e-5, rtol=0)
        assert (marginals >= 0).all()
        assert (chain.log_prob(viterbi(chain).tags) <= 1e-9).all()
        most = torch.log(torch.tensor(5.0)) * lengths
        assert (chain.entropy() <= most + 1e-6).all()


@settings(deadline=None, max_examples=40)
@given(batches(), st.floats(-50, 50))
def test_a_constant_added_to_a_tokens_scores_changes_nothing(batch, constant):
    crf, emissions, lengths = batch
    wide = emissions.double()
    chain, moved = crf.chain(wide, lengths), crf.chain(wide + constant, lengths)
    with torch.no_grad():
        torch.testing.assert_close(chain.marginals(), moved.marginals(), atol=1e-7, rtol=0)
        expected = chain.log_partition() + constant * lengths.double()
        torch.testing.assert_close(moved.log_partition(), expected, rtol=1e-9, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(batches())
def test_reversal_of_sentence_and_transitions_reverses_everything(batch):
    """Also a check that forwards and backwards agree."""
    crf, emissions, lengths = batch
    chain = crf.chain(emissions, lengths)
    back = torch.arange(emissions.shape[1])
    back = torch.where(back < lengths[:, None], lengths[:, None] - 1 - back, back)
    rows = torch.arange(len(lengths))[:, None]
    mirrored = LinearChain(
        emissions[rows, back], chain.transitions.t(), chain.end, chain.start, lengths
    )
    with torch.no_grad():
        torch.testing.assert_close(
            mirrored.log_partition(), chain.log_partition(), rtol=1e-9, atol=1e-6
        )
        torch.testing.assert_close(
            mirrored.marginals()[rows, back], chain.marginals(), atol=1e-5, rtol=0
        )


@settings(deadline=None, max_examples=30)
@given(batches())
def test_spans_that_start_or_cover_a_token_make_up_its_marginals(batch):
    """In legal BIO the probability of B is that of all spans that start there."""
    crf, emissions, lengths = batch
    crf.allowed = table("BIO", 2)
    chain = crf.chain(emissions, lengths)
    spans = [
        (i, start, end, label)
        for i, n in enumerate(lengths.tolist())
        for start in range(n)
        for end in range(start + 1, n + 1)
        for label in range(2)
    ]
    if not spans:
        return
    rows, starts, ends, labels = torch.tensor(spans).t()
    with torch.no_grad():
        found = chain.span_probability(rows, starts, ends, labels, span_tags("BIO", 2))
        total = torch.zeros(*emissions.shape[:2], 2, dtype=torch.float64)
        total.index_put_((rows, starts, labels), found, accumulate=True)
        expected = chain.marginals()[:, :, 1::2].double()
    torch.testing.assert_close(total, expected, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=40)
@given(batches())
def test_the_walk_for_accelerators_finds_paths_that_are_as_good(batch):
    """Of paths of equal scores either may be found: sums round in the order they are taken."""
    crf, emissions, lengths = batch
    chain = crf.chain(emissions, lengths)
    with torch.no_grad():
        found = chain.score(torch.from_numpy(viterbi_on_gpu(chain)))
        best = chain.score(viterbi(chain).tags)
    torch.testing.assert_close(found, best, rtol=1e-6, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(batches(), st.integers(2, 12))
def test_n_best_paths_differ_descend_and_start_with_viterbis(batch, n):
    crf, emissions, lengths = batch
    chain = crf.chain(emissions.double(), lengths)
    paths = chain.n_best(n)
    best = viterbi(chain)
    assert (paths.scores[:, 1:] <= paths.scores[:, :-1]).all()
    torch.testing.assert_close(paths.scores[:, 0], best.scores, rtol=1e-9, atol=1e-9)
    for tags, scores in zip(paths.tags.tolist(), paths.scores.tolist(), strict=True):
        real = [tuple(path) for path, score in zip(tags, scores, strict=True) if score > -np.inf]
        assert len(set(real)) == len(real)


def test_200_sentences_alone_in_batches_and_backwards():
    torch.manual_seed(0)
    crf = CRF(9, batch_first=True, allowed=table("BIO", 4))
    lengths = torch.randint(1, 30, (200,))
    emissions = 2 * torch.randn(200, 29, 9)
    whole = viterbi(crf.chain(emissions, lengths))
    for size in (1, 32):
        for order in (torch.arange(200), torch.arange(199, -1, -1)):
            for rows in order.split(size):
                part = viterbi(crf.chain(emissions[rows], lengths[rows]))
                assert torch.equal(part.tags, whole.tags[rows])
                torch.testing.assert_close(part.scores, whole.scores[rows], atol=1e-5, rtol=0)


def test_a_crf_of_one_tag_has_one_path_a_sentence():
    crf, lengths = random_crf(1), torch.tensor([3, 1, 0])
    chain = crf.chain(torch.randn(3, 3, 1, dtype=torch.float64), lengths)
    paths = viterbi(chain)
    assert not paths.tags.any()
    torch.testing.assert_close(paths.scores, chain.log_partition())
    torch.testing.assert_close(chain.log_prob(paths.tags).exp(), torch.ones(3).double())
    assert torch.equal(chain.marginals().squeeze(2) > 0.999, chain.mask)


@pytest.mark.parametrize("n", [1, 5])
def test_a_sentence_of_one_token(n):
    crf = random_crf(5, allowed=table("BIO", 2))
    chain = crf.chain(torch.randn(1, 1, 5), torch.tensor([1]))
    paths = chain.n_best(n)
    legal = [0, 1, 3]
    assert torch.isfinite(paths.scores).sum() == min(n, len(legal))
    assert set(paths.tags[paths.scores > -torch.inf].flatten().tolist()) <= set(legal)
    assert posterior(chain, span_tags("BIO", 2)).tags.shape == (1, 1)
