"""Schedules, averages and the settings of training."""

import math
import subprocess
import sys

import pytest
import torch

from ner.config import ConfigError
from ner.training import read_settings
from ner.training.optimisation import (
    FIRST,
    LAST,
    OPTIMIZERS,
    SCHEDULES,
    WeightAverage,
    plateau_factor,
    scale_gradients,
)

DATA = {"data": {"train": "x"}}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_rises_to_1_and_never_after(name):
    schedule = SCHEDULES[name]
    factors = [schedule(step / 100, 0.1) for step in range(101)]
    assert factors[0] == pytest.approx(FIRST)
    assert factors[10] == pytest.approx(1.0)
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert schedule(0.0, 0.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "middle", "end"),
    [("one_cycle", (1 + LAST) / 2, LAST), ("linear", 0.5, 0.0), ("cosine", 0.5, 0.0),
     ("constant", 1.0, 1.0), ("plateau", 1.0, 1.0)],
)  # fmt: skip
def test_schedules_go_where_their_names_say(name, middle, end):
    assert SCHEDULES[name](0.5, 0.0) == pytest.approx(middle)
    assert SCHEDULES[name](1.0, 0.0) == pytest.approx(end, abs=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_walks_down_a_bowl(name):
    place = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = OPTIMIZERS[name]([place], 0.05, 0.0, 0.9)
    for _ in range(300):
        optimizer.zero_grad()
        (place**2).sum().backward()
        optimizer.step()
    assert place.abs().max() < 0.1


def test_an_average_of_weights_is_the_recurrence_written_out():
    layer = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, 0.9)
    expected = layer.weight.item()
    for step in range(1, 200):
        with torch.no_grad():
            layer.weight.fill_(float(step))
        average.update(layer.named_parameters())
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.weights["weight"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("training", "complaint"),
    [
        ({"epochs": 0}, "epochs must be more than 0, got 0"),
        ({"length_noise": math.inf}, "length_noise must be at least 0, and finite, got inf"),
        ({"threads": 100_000}, "threads must be from 1 to 1,024, got 100000"),
        ({"optimizer": "adm"}, "optimizer must be one of adamw.* got 'adm'"),
        ({"schedule": "wavy"}, "schedule must be one of one_cycle"),
        ({"seed": -1}, "seed must be from 0 to"),
        ({"momentum": -1.0}, "momentum must be at least 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"average": 1.0}, "average must be at least 0 and below 1"),
        ({"warmup": -0.1}, "warmup must be at least 0"),
        ({"epoch": 3}, "no setting 'epoch'; did you mean 'epochs'"),
        ({"learning_rate": "big"}, "learning_rate wants a number"),
    ],
)
def test_impossible_settings_are_named(training, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read_settings({**DATA, "training": training})


def test_a_plateau_lowers_the_rate_after_patience_is_at_its_end():
    f1 = [0.1, 0.3, 0.3, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4]
    factors = [plateau_factor(f1[:n], 2, 0.5) for n in range(len(f1) + 1)]
    assert factors == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize(
    ("size", "always", "after"), [(9.0, False, 2.0), (1.0, False, 1.0), (1.0, True, 2.0)]
)
def test_gradients_are_shortened_and_where_told_lengthened(size, always, after):
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    parameters[0].grad = torch.tensor([0.6, 0.0]) * size
    parameters[1].grad = torch.tensor([0.0, 0.8]) * size
    assert scale_gradients(parameters, 2.0, always=always) == pytest.approx(size)
    found = torch.cat([parameter.grad for parameter in parameters])
    assert found.norm().item() == pytest.approx(after, rel=1e-4)
    assert found[3] / found[0] == pytest.approx(4 / 3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_and_checkpoints_take_no_compiler(name):
    """Whose import takes seconds and 70 MB."""
    code = (
        "import sys, torch; from ner.training.optimisation import OPTIMIZERS;"
        "w = torch.nn.Parameter(torch.ones(2)); w.grad = torch.ones(2);"
        "one = OPTIMIZERS[sys.argv[1]]([w], 0.1, 0.0, 0.9); one.step(); assert (w < 1).all();"
        "one.load_state_dict(one.state_dict());"
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, name], check=True)
