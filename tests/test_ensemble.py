"""Several networks as one: averaged, trained side by side, written and read as one directory."""

import pytest
import torch

from ner.config import ConfigError
from ner.ensemble import LARGEST, Ensemble, build, from_settings
from ner.network import Network
from ner.network import build as build_one
from ner.tagger import Tagger, load
from ner.training import Run, read_settings
from ner.training.corpora import Corpora
from ner.training.transfer import start_from


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


def run_of(toy, members):
    settings = {
        "data": {"train": "unread"},
        "model": {"members": members, "encoder": {"width": 8}},
        "training": {"epochs": 10, "batch_size": 3},
    }
    return Run(read_settings(settings), device="cpu", corpora=Corpora(toy, toy, ()))


def test_a_configuration_trains_its_members_together(toy):
    run = run_of(toy, 2)
    first, second = run.network.networks
    before = [member.projection.weight.detach().clone() for member in (first, second)]
    epochs = list(run)
    assert epochs[-1].loss < epochs[0].loss
    for member, old in zip((first, second), before, strict=True):
        assert not torch.equal(member.projection.weight, old)
    assert isinstance(run.tagger.network, Ensemble)


def test_training_may_start_from_an_ensemble(ensemble, toy, tmp_path):
    Tagger(ensemble).save(tmp_path / "model")
    transfer = start_from(tmp_path / "model", toy[:5])  # without some of the labels
    assert len(transfer.network.networks) == 3
    for old, new in zip(ensemble.networks, transfer.network.networks, strict=True):
        rows = [old.tags.index(tag) for tag in new.tags]
        torch.testing.assert_close(new.projection.weight, old.projection.weight[rows])
        torch.testing.assert_close(new.crf.transitions, old.crf.transitions[rows][:, rows])


def test_an_impossible_number_of_members_is_refused_in_a_configuration(toy):
    with pytest.raises(ConfigError, match="members"):
        run_of(toy, 0)
