"""How right the numbers are: against pytorch-crf in float64, at extremes, and in derivatives."""

from __future__ import annotations

import gc
import resource
from dataclasses import replace

import pytest
import torch
import torchcrf
from crf_oracle import random_crf, span_tags, table

from ner.crf import CRF, DECODERS, LinearChain, viterbi
from ner.crf.autograd import backend
from ner.crf.core.forward_backward import LogSpace
from ner.crf.core.linear_space import LinearSpace
from ner.crf.gpu import Scaled
from ner.crf.lattice import Lattice

SHAPES = [(32, 50, 9), (32, 50, 17), (64, 40, 17), (4, 512, 17), (8, 128, 64)]


def compare_with(crf: CRF, emissions, lengths, tags) -> tuple[list, list]:
    """Loss and gradients in the emissions' type, and pytorch-crf's in float64."""
    theirs = torchcrf.CRF(crf.num_tags, batch_first=True).double()
    theirs.load_state_dict(crf.state_dict())
    mask = torch.arange(emissions.shape[1]) < lengths.unsqueeze(1)
    leaf = emissions.detach().clone().requires_grad_()
    loss = crf.loss(leaf, lengths, tags, reduction="sum")
    loss.backward()
    wide = emissions.double().requires_grad_()
    truth = -theirs(wide, tags, mask)
    truth.backward()
    ours = [loss.detach(), leaf.grad, *(p.grad for p in crf.parameters())]
    return ours, [truth.detach(), wide.grad, *(p.grad for p in theirs.parameters())]


def batch(shape, seed=0, scale=2.0):
    torch.manual_seed(seed)
    size, length, tags = shape
    crf = random_crf(tags, scale=0.5, dtype=torch.float32)
    lengths = torch.randint(max(1, length // 3), length + 1, (size,))
    lengths[0] = length
    gold = torch.randint(0, tags, (size, length))
    return crf, scale * torch.randn(shape), lengths, gold


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_loss_and_gradient_are_right_to_a_millionth(shape):
    """pytorch-crf's own float32 gradients are off by up to 6e-3 at 512 tokens."""
    ours, theirs = compare_with(*batch(shape))
    for one, truth in zip(ours, theirs, strict=True):
        error = (one.double() - truth).abs().max() / truth.abs().max()
        assert error < 1e-6


QUESTIONS = {
    **DECODERS,
    "n-best": lambda chain: chain.n_best(2),
    "partition": LinearChain.log_partition,
    "marginals": LinearChain.marginals,
    "entropy": LinearChain.entropy,
    "sample": lambda chain: chain.sample(2),
}


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("name", ["transitions", "start", "end"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_moves_that_are_no_numbers_are_named(question, name, value):
    """Nobody is sent to look for candidates that exclude one another."""
    torch.manual_seed(0)
    chain = random_crf(5, allowed=table("BIO", 2)).chain(torch.randn(2, 4, 5), torch.tensor([4, 2]))
    scores = getattr(chain, name).detach().clone()
    scores.view(-1)[0] = float(value)
    wrong = rf"CRF parameter '{name}': NaN or \+inf in 1 of {scores.numel()} scores"
    with pytest.raises(ValueError, match=wrong):
        QUESTIONS[question](replace(chain, **{name: scores}))


@pytest.mark.parametrize("decoder", DECODERS)
def test_decoders_refuse_moves_that_are_no_numbers_though_no_path_meets_them(decoder):
    """A model that is damaged so is found out by whatever sentence is tagged first."""
    chain = random_crf(5).chain(torch.randn(2, 1, 5), torch.tensor([1, 0]))
    scores = torch.full((5, 5), torch.nan)
    with pytest.raises(ValueError, match="CRF parameter 'transitions': NaN"):
        DECODERS[decoder](replace(chain, transitions=scores))


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_paths_score_as_pytorch_crfs_in_float64(shape):
    crf, emissions, lengths, _ = batch(shape)
    theirs = torchcrf.CRF(crf.num_tags, batch_first=True).double()
    theirs.load_state_dict(crf.state_dict())
    mask = torch.arange(emissions.shape[1]) < lengths.unsqueeze(1)
    ours = viterbi(crf.chain(emissions, lengths))
    paths = theirs.decode(emissions.double(), mask=mask)
    best = torch.zeros_like(ours.tags)
    for row, path in enumerate(paths):
        best[row, : len(path)] = torch.tensor(path)
    best = crf.chain(emissions.double(), lengths).score(best)
    torch.testing.assert_close(ours.scores, best, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", [1.0, 20.0, 100.0, 1e3, 1e4, 1e6])
def test_scores_of_any_magnitude(scale):
    """Also beside penalties of -1e4, as programs write them for what is forbidden."""
    crf, _, _, _ = batch((4, 200, 5))
    with torch.no_grad():
        crf.transitions[~table("BIO", 2)[:-1, :-1]] = -1e4
    emissions = (scale * torch.randn(4, 200, 5).clamp(-1, 1)).double()
    lengths, gold = torch.tensor([200, 3, 1, 77]), torch.zeros(4, 200, dtype=torch.long)
    ours, theirs = compare_with(crf.double(), emissions, lengths, gold)
    for one, truth in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, truth, rtol=1e-9, atol=1e-7 + 1e-12 * scale)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_2000_tokens(scale):
    crf, emissions, lengths, gold = batch((2, 2000, 5), scale=scale)
    ours, theirs = compare_with(crf.double(), emissions.double(), lengths, gold)
    for one, truth in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, truth, rtol=1e-9, atol=1e-6)


FAST = {"linear space": lambda lattice: LinearSpace.of(lattice.arrays()), "gpu": Scaled.of}


@pytest.mark.parametrize("way", FAST)
def test_the_fast_ways_know_when_they_cannot_serve(way):
    """Two sets of tags that never meet; the weights of the one that ends well underflow midway.

    The one set is better by 40 at each of 60 tokens and must not end a sentence; what is left of
    the other is exp(-2400). A recursion that does not notice gives a wrong sum, not an error.
    """
    moves = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]], dtype=torch.float64)
    emissions = torch.zeros(1, 60, 2, dtype=torch.float64)
    emissions[..., 0] = 40.0
    start, end = torch.zeros(2).double(), torch.tensor([-3000.0, 0.0]).double()
    lattice = Lattice(emissions, moves, start, end, torch.tensor([60]))
    assert FAST[way](lattice) is None
    exact = backend(lattice).log_partition
    assert exact.item() == pytest.approx(0.0, abs=1e-9)  # 40 * 60 - 3000 is far below


@pytest.mark.parametrize("way", FAST)
def test_the_fast_ways_serve_ordinary_scores(way):
    """So that the tests of them test them."""
    crf, emissions, lengths, _ = batch((8, 30, 5))
    crf.allowed = table("BIO", 2)
    with torch.no_grad():
        lattice = crf.chain(10 * emissions, lengths)
        found, exact = FAST[way](lattice), LogSpace.of(lattice.arrays())
    assert found is not None
    total = torch.as_tensor(found.log_partition)
    torch.testing.assert_close(total, torch.tensor(exact.log_partition), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("kind", ["tags", "candidates"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck(kind, reduction):
    torch.manual_seed(0)
    crf = random_crf(4, allowed=torch.rand(5, 5) < 0.8)
    lengths = torch.tensor([4, 0, 1, 2])
    emissions = torch.randn(4, 4, 4, dtype=torch.float64, requires_grad=True)
    candidates = torch.rand(4, 4, 4) < 0.8
    gold = viterbi(crf.chain(emissions, lengths)).tags
    candidates.scatter_(2, gold.unsqueeze(2), True)
    known = {"tags": gold} if kind == "tags" else {"candidates": candidates}

    def loss(emissions, *parameters):
        for parameter, value in zip(PARAMETERS, parameters, strict=True):
            setattr(functional, parameter, value)
        return functional.loss(emissions, lengths, reduction=reduction, **known)

    functional = Functional(crf)
    inputs = (emissions, *(p.detach().requires_grad_() for p in crf.parameters()))
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)
    # the gradient that can be differentiated again is the gradient
    first, again = (
        torch.autograd.grad(loss(*inputs).sum(), inputs, create_graph=graph)
        for graph in (False, True)
    )
    torch.testing.assert_close(again, first, rtol=1e-9, atol=1e-12)


PARAMETERS = ("start_transitions", "end_transitions", "transitions")


class Functional(CRF):
    """A CRF whose parameters may be any tensors."""

    def __init__(self, crf: CRF) -> None:
        super().__init__(crf.num_tags, batch_first=True, allowed=crf.allowed)
        for name in PARAMETERS:
            delattr(self, name)


@pytest.mark.parametrize("what", ["log_partition", "marginals", "entropy"])
def test_sums_are_differentiable(what):
    torch.manual_seed(0)
    crf = random_crf(3)
    lengths = torch.tensor([4, 0, 1])
    emissions = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    candidates = torch.ones(3, 4, 3, dtype=torch.bool)
    candidates[0, 1, 0] = False

    def value(emissions, start, end, transitions):
        chain = crf.chain(emissions, lengths, candidates=candidates)
        chain = type(chain)(emissions, transitions, start, end, lengths, candidates)
        return getattr(chain, what)()

    inputs = (emissions, *(p.detach().requires_grad_() for p in crf.parameters()))
    assert torch.autograd.gradcheck(value, inputs)


def test_the_gradient_can_be_asked_for_twice_and_accumulates():
    crf, emissions, lengths, gold = batch((3, 6, 5))
    leaf = emissions.requires_grad_()
    loss = crf.loss(leaf, lengths, gold)
    loss.backward(retain_graph=True)
    once = leaf.grad.clone()
    loss.backward()
    torch.testing.assert_close(leaf.grad, 2 * once)


def test_live_losses_do_not_share_memory():
    """The memory of the recursions is used again, but not while a gradient may still need it."""
    crf, emissions, lengths, gold = batch((8, 20, 5))
    expected = []
    for row in range(8):
        leaf = emissions[row : row + 1].clone().requires_grad_()
        crf.loss(leaf, lengths[row : row + 1], gold[row : row + 1]).backward()
        expected.append(leaf.grad)
    leaves = [emissions[row : row + 1].clone().requires_grad_() for row in range(8)]
    losses = [
        crf.loss(leaf, lengths[row : row + 1], gold[row : row + 1])
        for row, leaf in enumerate(leaves)
    ]
    for loss in reversed(losses):
        loss.backward()
    assert all(torch.equal(leaf.grad, e) for leaf, e in zip(leaves, expected, strict=True))


def test_threads_do_not_share_memory():
    from concurrent.futures import ThreadPoolExecutor

    crf, emissions, lengths, _ = batch((40, 30, 9))
    marginals = crf.chain(emissions, lengths).marginals().detach()

    def one(row: int) -> torch.Tensor:
        with torch.no_grad():
            return crf.chain(emissions[row : row + 1], lengths[row : row + 1]).marginals()[0]

    with ThreadPoolExecutor(8) as pool:
        for row, found in enumerate(pool.map(one, [r % 40 for r in range(200)])):
            torch.testing.assert_close(found, marginals[row % 40], atol=1e-6, rtol=0)


def test_only_some_inputs_may_want_gradients():
    crf, emissions, lengths, gold = batch((3, 6, 5))
    crf.transitions.requires_grad_(False)
    crf.loss(emissions, lengths, gold).backward()
    assert crf.transitions.grad is None
    assert crf.start_transitions.grad is not None
    with torch.inference_mode():
        assert torch.isfinite(crf.loss(emissions, lengths, gold))


def test_inputs_that_are_not_contiguous():
    crf, emissions, lengths, gold = batch((6, 6, 5))
    expected = crf.loss(emissions, lengths, gold)
    strange = emissions.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert torch.equal(crf.loss(strange, lengths, gold.t().contiguous().t()), expected)
    assert torch.equal(
        viterbi(crf.chain(strange, lengths)).tags, viterbi(crf.chain(emissions, lengths)).tags
    )
    int32 = crf.loss(emissions, lengths.int(), gold.int())
    assert torch.equal(int32, expected)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.filterwarnings("ignore")
def test_torch_compile(backend):
    crf, emissions, lengths, gold = batch((3, 6, 5))
    leaf = emissions.requires_grad_()
    expected = crf.loss(leaf, lengths, gold)
    expected.backward()
    gradient, leaf.grad = leaf.grad, None
    compiled = torch.compile(lambda e: crf.loss(e * 1, lengths, gold), backend=backend)
    loss = compiled(leaf)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(leaf.grad, gradient)


def test_100000_tokens_in_one_sentence():
    """Everything is finite, agrees with pieces of the sentence, and needs little memory."""
    torch.manual_seed(0)
    length, tags = 100_000, 9
    crf = CRF(tags, batch_first=True, allowed=table("BIO", 4))
    emissions, lengths = 3 * torch.randn(1, length, tags), torch.tensor([length])
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.no_grad():
        chain = crf.chain(emissions, lengths)
        marginals, total = chain.marginals(), chain.log_partition()
        best = viterbi(chain)
        part = crf.chain(emissions[:, 50_000:50_400], torch.tensor([400]))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 * 1024
    assert torch.isfinite(marginals).all()
    torch.testing.assert_close(marginals.sum(2), torch.ones(1, length), atol=1e-6, rtol=0)
    assert total > best.scores
    middle = slice(50_100, 50_300)  # far from the cuts, which it has forgotten
    torch.testing.assert_close(
        marginals[:, middle], part.marginals()[:, 100:300].detach(), atol=1e-6, rtol=0
    )
    assert torch.equal(best.tags[:, middle], viterbi(part).tags[:, 100:300])
    spans = torch.tensor([[0, 50_150, 50_152, 1], [0, 50_151, 50_152, 3]]).t()
    near = torch.tensor([[0, 150, 152, 1], [0, 151, 152, 3]]).t()
    with torch.no_grad():
        torch.testing.assert_close(
            chain.span_probability(*spans, span_tags("BIO", 4)),
            part.span_probability(*near, span_tags("BIO", 4)),
            rtol=1e-6,
            atol=0,
        )
