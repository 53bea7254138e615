"""On an accelerator the CRF gives what it gives on the CPU; skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from crf_oracle import random_crf, span_tags, table

from ner.crf import CRF, DECODERS, posterior

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

SHAPES = [(32, 50, 9), (8, 512, 17), (3, 5, 5), (1, 1, 3), (16, 40, 65)]


def both(shape, *, constrained: bool = True):
    """A CRF and its inputs on the CPU and on the accelerator."""
    torch.manual_seed(0)
    batch, length, tags = shape
    crf = random_crf(tags, dtype=torch.float32)
    if constrained:
        crf.allowed = table("BIO", tags // 2)
    lengths = torch.randint(0, length + 1, (batch,))
    lengths[0] = length
    emissions = 2 * torch.randn(shape)
    gold = DECODERS["viterbi"](crf.chain(torch.randn(shape), lengths)).tags
    here = (crf, emissions, lengths, gold)
    there = random_crf(tags, dtype=torch.float32)
    there.load_state_dict(crf.state_dict())
    there.allowed = crf.allowed
    return here, (there.cuda(), emissions.cuda(), lengths.cuda(), gold.cuda())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("constrained", [True, False])
def test_loss_and_gradients(shape, constrained):
    found = []
    for crf, emissions, lengths, gold in both(shape, constrained=constrained):
        leaf = emissions.clone().requires_grad_()
        loss = crf.loss(leaf, lengths, gold)
        loss.backward()
        found.append([loss.detach(), leaf.grad, *(p.grad for p in crf.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other.cpu(), one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums(shape):
    found = []
    for crf, emissions, lengths, _ in both(shape):
        with torch.no_grad():
            chain = crf.chain(emissions, lengths)
            rows = lengths.nonzero()[:, 0]
            spans = (rows, torch.zeros_like(rows), (lengths[rows] + 1) // 2, torch.zeros_like(rows))
            found.append(
                [
                    chain.log_partition(),
                    chain.marginals(),
                    chain.pairwise_marginals(),
                    chain.entropy(),
                    chain.span_probability(*spans, span_tags("BIO", 1).to(emissions.device)),
                ]
            )
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other.cpu(), one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_paths(shape):
    (crf, emissions, lengths, _), there = both(shape)
    chain, other = crf.chain(emissions, lengths), there[0].chain(there[1], there[2])
    decoders = {**DECODERS, "spans": lambda c: posterior(c, span_tags("BIO", 1), threshold=0.3)}
    for name, decoder in decoders.items():
        assert decoder(other).tags.is_cuda
        torch.testing.assert_close(decoder(other).scores.cpu(), decoder(chain).scores, msg=name)
    torch.testing.assert_close(other.n_best(4).scores.cpu(), chain.n_best(4).scores)
    drawn = other.sample(5)
    assert torch.isfinite(drawn.scores).all()
    mask = torch.arange(shape[1]) < lengths.clamp_min(1).unsqueeze(1)
    assert there[0].decode(there[1], mask.cuda()) == crf.decode(emissions, mask)


def test_candidates():
    found = []
    for crf, emissions, lengths, gold in both((6, 20, 5)):
        candidates = torch.ones(6, 20, 5, dtype=torch.bool, device=emissions.device)
        candidates[:, ::3] = torch.nn.functional.one_hot(gold[:, ::3], 5).bool()
        found.append(crf.loss(emissions, lengths, candidates=candidates, reduction="none"))
        assert DECODERS["viterbi"](crf.chain(emissions, lengths, candidates=candidates))
    torch.testing.assert_close(found[1].cpu(), found[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_any_range(scale):
    found = []
    for crf, emissions, lengths, gold in both((4, 60, 5), constrained=False):
        leaf = (scale * emissions).requires_grad_()
        loss = crf.loss(leaf, lengths, gold)
        loss.backward()
        found.append((loss.detach().cpu(), leaf.grad.cpu()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def test_errors_are_the_same():
    _, (crf, emissions, lengths, gold) = both((4, 6, 5))
    bad = emissions.clone()
    bad[0, 1, 2] = torch.nan
    for call in (
        lambda: crf.loss(bad, lengths, gold),
        lambda: crf.decode(bad),
        lambda: crf.chain(bad, lengths).marginals(),
    ):
        with pytest.raises(ValueError, match=r"contain nan \(sentence 0, token 1, tag 2\)"):
            call()
    illegal = torch.full_like(gold, 2)
    with pytest.raises(ValueError, match="gold tags of sentence 0 are not legal"):
        crf.loss(emissions, lengths, illegal)
    assert torch.isfinite(crf.loss(emissions, lengths, gold))


def test_lengths_may_live_on_the_cpu_and_emissions_be_half():
    (here, _, _, _), (crf, emissions, lengths, gold) = both((4, 6, 5))
    loss = crf.loss(emissions.half(), lengths.cpu(), gold)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        again = crf.loss(emissions.half(), lengths, gold)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, again)
    assert isinstance(here, CRF)
