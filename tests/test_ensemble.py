"""Several networks as one: averaged, trained side by side, written and read as one directory."""

import pytest
import torch

from ner.config import ConfigError
from ner.network import Ensemble, Network, build, from_settings
from ner.stored import LARGEST
from ner.tagger import Tagger, load
from ner.training import Run, read_settings
from ner.training.corpora import Corpora
from ner.training.initialisation import start_from


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
    one = build(toy, encoder={"width": 8}).eval()
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


@pytest.mark.parametrize("other", [{"scheme": "BIO"}, {}])
def test_members_of_other_tags_are_refused(toy, other):
    sentences = toy if other else toy[:2]  # without some of the labels
    networks = [build(toy, encoder={"width": 8}), build(sentences, **other)]
    with pytest.raises(ValueError, match="same labels and scheme"):
        Ensemble(networks)


UNLIKE = [
    {"embeddings": {"topic": False}},
    {"encoder": {"layers": 2}},
    {"embeddings": {"characters": False, "character_lstm": {"width": 6}}, "encoder": {"width": 7}},
]


@pytest.fixture
def unlike(toy):
    """An ensemble whose members have different parts."""
    torch.manual_seed(0)
    network = build(toy, members=UNLIKE, embeddings={"affixes": False}, encoder={"width": 8})
    return network.eval()


def test_members_may_have_settings_of_their_own(unlike):
    widths = [(m.encoder.width, len(m.encoder.forwards)) for m in unlike.networks]
    assert widths == [(8, 1), (8, 2), (7, 1)]
    names = [list(member.embeddings) for member in unlike.networks]
    assert names == [
        ["words", "characters", "document"],
        ["words", "characters", "document", "topic"],
        ["words", "document", "topic", "character_lstm"],
    ]
    assert set(unlike.named_embeddings()) == {*names[1], "character_lstm"}


def test_parts_that_read_the_same_numbers_are_indexed_for_once(unlike):
    assert len(unlike.type_embeddings) == 2  # both kinds of characters are read alike
    assert len(unlike.context_embeddings) == 2
    assert [stack.contexts for stack in unlike.stacks] == [(0,), (0, 1), (0, 1)]


def test_an_unlike_member_reads_what_it_reads_alone(unlike, toy):
    batch = unlike.batch(toy)
    alone = [member.emissions(member.batch(toy)) for member in unlike.networks]
    torch.testing.assert_close(unlike.emissions(batch), torch.stack(alone).mean(0))
    losses = [member.loss(member.batch(toy)) for member in unlike.networks]
    torch.testing.assert_close(unlike.loss(batch), torch.stack(losses).mean())


def test_unlike_members_are_one_model_directory(unlike, toy, tmp_path):
    tagger = Tagger(unlike)
    tagger.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.network.settings() == unlike.settings()
    assert again.predict(toy) == tagger.predict(toy)
    stacks = start_from(tmp_path / "model", toy[:5]).network.stacks
    assert [s.contexts for s in stacks] == [stack.contexts for stack in unlike.stacks]


def test_a_setting_no_member_has_is_named(toy):
    with pytest.raises(ConfigError, match=r"model\.members\.1 .*'encodr'.*'encoder'"):
        build(toy, members=[{}, {"encodr": {}}])


@pytest.mark.parametrize("count", [0, -1, LARGEST + 1, 2.0, "2", True, None, [], [1]])
def test_an_impossible_number_of_members_is_refused(toy, count):
    settings = build(toy, encoder={"width": 8}).settings()
    with pytest.raises(ValueError, match="members"):
        from_settings({"members": count, **settings})


def run_of(toy, members):
    settings = {
        "data": {"train": "unread"},
        "model": {"members": members, "encoder": {"width": 8}},
        "training": {"epochs": 10, "batch_size": 3},
    }
    return Run(read_settings(settings), device="cpu", corpora=Corpora(toy, toy, ()))


@pytest.mark.parametrize("members", [2, UNLIKE])
def test_a_configuration_trains_its_members_together(toy, members):
    run = run_of(toy, members)
    networks = run.network.networks
    before = [member.projection.weight.detach().clone() for member in networks]
    epochs = list(run)
    assert epochs[-1].loss < epochs[0].loss
    for member, old in zip(networks, before, strict=True):
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


def trained(toy, **more):
    settings = {"data": {"train": "x"}, "training": {"epochs": 2}, **more}
    run = Run(read_settings(settings), device="cpu", corpora=Corpora(tuple(toy), tuple(toy), ()))
    list(run)
    return run.tagger


def test_without_a_crf_the_loss_is_the_cross_entropy_of_each_token(toy):
    network = build(toy, encoder={"width": 8}, crf=False).eval()
    batch = network.batch(toy)
    losses = torch.nn.functional.cross_entropy(
        network.emissions(batch).transpose(1, 2), batch.tags, reduction="none"
    )
    inside = torch.arange(losses.shape[1]) < batch.lengths[:, None]
    torch.testing.assert_close(network.loss(batch), (losses * inside).sum() / len(toy))


@pytest.mark.parametrize("part", ["crf", "encoder"])
@pytest.mark.parametrize("members", [1, 2])
def test_the_crf_or_the_bilstm_can_be_left_out(toy, tmp_path, part, members):
    small = {"encoder": {"width": 8}, part: False, "members": members}
    tagger = trained(toy, model=small)
    for stack in tagger.network.stacks:
        if part == "crf":
            assert not stack.crf.transitions.any()
            assert not stack.crf.start_transitions.any()
        else:
            assert stack.encoder.output_width == sum(e.width for e in stack.embeddings.values())
    tagger.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.predict(toy) == tagger.predict(toy)
    assert type(again.network).__name__ == ("Network" if members == 1 else "Ensemble")


def test_a_model_without_a_bilstm_is_not_exported(toy, tmp_path):
    pytest.importorskip("onnx")
    from ner import export

    tagger = Tagger(build(toy, encoder=False).eval())
    with pytest.raises(ConfigError, match="encoder: false"):
        export.write(tagger, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_a_small_corpus_gets_automatic_members_which_the_configuration_records(toy, monkeypatch):
    run = run_of(toy, "auto")
    assert isinstance(run.network, Ensemble)
    assert run.settings.as_dict()["model"]["members"] == 3
    assert any("3 members, which take 3 times" in remark for remark in run.remarks)
    assert isinstance(build(toy, members="auto", encoder={"width": 8}), Ensemble)
    monkeypatch.setattr("ner.network.FEW", 0)
    run = run_of(toy, "auto")
    assert not isinstance(run.network, Ensemble)
    assert run.settings.as_dict()["model"]["members"] == 1
