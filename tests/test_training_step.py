"""Steps of adversarial training."""

import pytest
import torch
from training_runs import SMALL

import ner
from ner.network import build
from ner.sample import path as sample_path
from ner.training.distributed import Processes
from ner.training.settings import TrainingSettings
from ner.training.step import Stepper, perturb


def step_of(network, sentences, **settings):
    """A stepper of a network without dropout, and some sentences for it."""
    table = network.type_table()
    indexed = network.index(sentences, table)
    stepper = Stepper(network.eval(), table, TrainingSettings(average=0.0, **settings), Processes())
    return stepper, indexed


@pytest.fixture(scope="module")
def sentences():
    return list(ner.read(sample_path("train")))[:12]


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("more", [{}, {"costs": {"miss": 3.0}}])
def test_the_gradient_is_that_of_the_mean_of_both_losses(sentences, members, more):
    """Written out: half of the loss, and half of it at vectors that do not depend on weights."""
    torch.manual_seed(1)
    network = build(sentences, **SMALL, members=members)
    stepper, indexed = step_of(network, sentences, adversarial=0.2, **more)
    taken = stepper._gradients([indexed])
    found = {
        name: p.grad.to_dense() if p.grad.is_sparse else p.grad
        for name, p in network.named_parameters()
        if p.grad is not None
    }
    network.zero_grad()
    batch = network.collate(indexed, stepper.table)
    vectors = [stack.vectors(batch) for stack in network.stacks]
    plain = stepper._loss(batch, vectors)
    gradients = torch.autograd.grad(plain, vectors, retain_graph=True)
    steps = []
    for x, g in zip(vectors, gradients, strict=True):
        largest = torch.stack([row.norm(dim=1).max() for row in g])
        steps.append((0.2 * x.norm(dim=2, keepdim=True) * g / largest[:, None, None]).detach())
    moved = [x + step for x, step in zip(vectors, steps, strict=True)]
    second = stepper._loss(batch, moved)
    ((plain + second) / 2).backward()
    assert second > plain
    assert taken == pytest.approx(len(sentences) * (plain + second).item() / 2, rel=1e-5)
    for name, p in network.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found[name], p.grad, atol=1e-5, rtol=1e-4)


def test_the_token_with_the_greatest_influence_moves_furthest():
    before = torch.randn(2, 3, 4)
    vectors = before.clone().requires_grad_()
    vectors.grad = torch.randn(2, 3, 4)
    vectors.grad[1, 2] = 0.0  # padding, or a token without influence
    perturb(vectors, 0.1)
    steps = (vectors - before).norm(dim=2) / before.norm(dim=2)
    torch.testing.assert_close(steps.amax(1), torch.full((2,), 0.1))
    torch.testing.assert_close(steps.argmax(1), vectors.grad.norm(dim=2).argmax(1))
    assert steps[1, 2] == 0.0


def test_gradients_of_zero_move_nothing_however_long_the_vectors():
    vectors = torch.full((1, 2, 3), 1e9).requires_grad_()
    vectors.grad = torch.zeros(1, 2, 3)
    perturb(vectors, 1e6)
    assert (vectors == 1e9).all()
