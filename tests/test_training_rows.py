"""Tables optimised row by row go where Adam over the whole table would take them."""

import numpy as np
import pytest
import torch
from torch import nn

from ner.training import optimisation
from ner.training.optimisation import RowTable, RowTables, WeightAverage

STEPS, ROWS, WIDTH = 60, 30, 4


def tables():
    torch.manual_seed(1)
    return nn.ModuleDict(
        {
            "token": nn.Embedding(ROWS, WIDTH, padding_idx=0),
            "bag": nn.EmbeddingBag(ROWS, WIDTH, mode="mean", padding_idx=0),
        }
    ).double()


def losses(network):
    """A loss for each step; some rows are looked at often, some twice a step, some never."""
    random = np.random.default_rng(2)
    for _ in range(STEPS):
        seen = torch.from_numpy((random.random(6) ** 3 * (ROWS - 5)).astype(np.int64))
        bags = torch.from_numpy((random.random((2, 3)) ** 3 * (ROWS - 5)).astype(np.int64))
        wanted = torch.from_numpy(random.normal(size=(8, WIDTH)))
        found = torch.cat([network["token"](seen), network["bag"](bags)])
        yield ((found - wanted) ** 2).mean()


def rates():
    return [0.01 * (1 + step % 7) for step in range(STEPS)]


def dense(decay):
    network = tables()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, weight_decay=0.0)
    average = WeightAverage(network, decay)
    for loss, rate in zip(losses(network), rates(), strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network.named_parameters())
    return network.state_dict(), average.weights


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(optimisation, "LEAST", 1)


def by_rows(decay, *, settled=(), interrupted=()):
    """The same, row by row; settled and begun afresh from tensors after some steps."""
    network = tables()
    average = WeightAverage(network, decay)
    own = RowTables(network, average.weights)
    assert set(own.tables) == {"token.weight", "bag.weight"}
    steps = losses(network)
    for step, rate in enumerate(rates()):
        with own.watching():
            next(steps).backward()
        own.coalesce()
        own.step(rate, average.update(()))
        network.zero_grad()
        if step in settled:
            own.settle()
        if step in interrupted:
            kept = {name: tensor.clone() for name, tensor in own.tensors().items()}
            own = RowTables(network, average.weights)
            own.restore(kept)
    own.settle()
    return network.state_dict(), average.weights


@pytest.mark.parametrize("decay", [0.5, 0.98])
def test_rows_go_where_adam_takes_the_whole_table(small, decay):
    for one, other in zip(by_rows(decay), dense(decay), strict=True):
        for name in other:
            torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-5)


def test_settling_in_between_changes_nothing_but_the_rounding(small):
    for one, other in zip(by_rows(0.9, settled=(7, 30)), by_rows(0.9), strict=True):
        for name in other:
            torch.testing.assert_close(one[name], other[name], atol=1e-6, rtol=1e-6)


def test_a_table_begun_afresh_from_its_tensors_goes_on_to_the_bit(small):
    for one, other in zip(by_rows(0.9, interrupted=(3, 31)), by_rows(0.9), strict=True):
        for name in other:
            assert torch.equal(one[name], other[name])


def test_a_row_left_alone_long_ago_stands_where_momentum_took_it():
    weight = nn.Parameter(torch.zeros(2, 1))
    table = RowTable(weight, None)
    for step in range(1000):
        rows = [[0]] if step == 0 else [[1]]
        weight.grad = torch.sparse_coo_tensor(
            rows, [[1.0]], (2, 1), check_invariants=True
        ).coalesce()
        table.step(0.001, 1.0)
    table.settle()
    place = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([place], lr=0.001)
    for step in range(1000):
        place.grad = torch.ones(1) * (step == 0)
        adam.step()
    assert weight[0].item() == pytest.approx(place.item(), rel=1e-4)


def test_small_and_frozen_tables_are_left_to_the_optimiser():
    network = nn.ModuleDict({"small": nn.Embedding(9, 2), "frozen": nn.Embedding(300_001, 1)})
    network["frozen"].weight.requires_grad_(False)
    assert RowTables(network, {}).tables == {}
    assert RowTables(None, {}).tables == {}
