"""Several networks as one: averaged, trained side by side, written and read as one directory."""

import pytest
import torch

from ner.config import ConfigError
from ner.ensemble import LARGEST, Ensemble, build, from_settings
from ner.network import Network
from ner.network import build as build_one
from ner.tagger import Tagger, load


@pytest.fixture
def ensemble(toy):
    torch.manual_seed(0)
    return build(toy, members=3, encoder={"width": 8}).eval()


def test_one_member_is_a_plain_network(toy):
    assert type(build(toy, encoder={"width": 8})) is Network


def test_its_scores_are_the_means_of_its_members(ensemble, toy):
    batch = ensemble.batch(toy)
    chain = ensemble(batch)
    chains = [member(batch) for member in ensemble.networks]
    for name in ("emissions", "transitions", "start", "end"):
        mean = sum(getattr(one, name) for one in chains) / 3
        torch.testing.assert_close(getattr(chain, name), mean)
    torch.testing.assert_close(chain.emissions, ensemble.emissions(batch))


def test_members_begin_from_different_weights(ensemble):
    first, second, _ = ensemble.networks
    assert not torch.equal(first.projection.weight, second.projection.weight)


def test_copies_of_one_network_tag_as_it_does(toy):
    torch.manual_seed(0)
    one = build_one(toy, encoder={"width": 8}).eval()
    two = Network.from_settings(one.settings()).eval()
    two.load_state_dict(one.state_dict())
    assert Tagger(Ensemble([one, two])).predict(toy) == Tagger(one).predict(toy)


def test_each_member_learns_as_if_it_were_alone(ensemble, toy):
    batch = ensemble.batch(toy)
    loss = ensemble.loss(batch)
    loss.backward()
    for member in ensemble.networks:
        weight = member.projection.weight
        (alone,) = torch.autograd.grad(member.loss(batch), [weight])
        torch.testing.assert_close(weight.grad, alone / 3)


def test_it_is_one_model_directory(ensemble, toy, tmp_path):
    tagger = Tagger(ensemble)
    tagger.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert isinstance(again.network, Ensemble)
    assert again.predict(toy) == tagger.predict(toy)


def test_no_members_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])


def test_members_of_other_settings_are_refused(toy):
    networks = [build_one(toy, encoder={"width": width}) for width in (8, 9)]
    with pytest.raises(ValueError, match="same settings"):
        Ensemble(networks)


@pytest.mark.parametrize("count", [0, -1, LARGEST + 1, 2.0, "2", True, None])
def test_an_impossible_number_of_members_is_refused(toy, count):
    settings = build_one(toy, encoder={"width": 8}).settings()
    with pytest.raises(ValueError, match="members"):
        from_settings({"members": count, **settings})


def test_an_impossible_number_of_members_is_refused_in_a_configuration(toy):
    from ner.training.loop import _build

    with pytest.raises(ConfigError, match="members"):
        _build(toy, {"members": 0})
