"""Starting from a model, and the spread of several seeds."""

import pytest
import torch
from training_runs import config

import ner
from ner.model_directory import ModelError
from ner.sentence import Sentence, Span
from ner.training import Run, read_settings
from ner.training.corpora import Corpora
from ner.training.seeds import choose, settings_of, spread
from ner.training.transfer import start_from


@pytest.fixture
def model(toy, tmp_path):
    settings = read_settings(config(epochs=2, learning_rate=0.02), output=str(tmp_path / "old"))
    list(Run(settings, device="cpu", corpora=Corpora(toy, (), ())))
    return tmp_path / "old"


NEW = (
    Sentence(("Ada", "took", "aspirin"), (Span(0, 1, "PER"), Span(2, 3, "DRUG"))),
    Sentence(("Lima", "fell"), (Span(0, 1, "LOC"),)),
)


def test_labels_are_matched_by_name_and_old_weights_kept_to_the_bit(model):
    old = ner.load(model).network
    transfer = start_from(model, NEW)
    new = transfer.network
    assert new.labels == ("DRUG", "LOC", "PER")
    assert (transfer.kept, transfer.new) == (("LOC", "PER"), ("DRUG",))
    assert transfer.dropped == ("MISC", "ORG")
    ours, theirs = dict(new.named_parameters()), dict(old.named_parameters())
    for name in ours:
        if not name.startswith(("projection", "crf")):
            assert torch.equal(ours[name], theirs[name]), name
    shared = [tag for tag in new.tags if tag in old.tags]
    assert len(shared) == 9
    for tag in shared:
        here, there = new.tags.index(tag), old.tags.index(tag)
        assert torch.equal(ours["projection.weight"][here], theirs["projection.weight"][there])
        for name in ("projection.bias", "crf.start_transitions", "crf.end_transitions"):
            assert torch.equal(ours[name][here], theirs[name][there])
        for other in shared:
            assert torch.equal(
                ours["crf.transitions"][here, new.tags.index(other)],
                theirs["crf.transitions"][there, old.tags.index(other)],
            )


def test_a_run_starts_from_a_model_and_is_resumed_with_it_alone(model, tmp_path):
    settings = read_settings(config(epochs=3), output=str(tmp_path / "new"))

    def run_of(**more):
        corpora = Corpora(NEW, (), ())
        return Run(settings, device="cpu", corpora=corpora, init_from=model, **more)

    run = run_of()
    assert "labels new: DRUG" in run.remarks
    run.train_epoch()
    assert len(list(run_of(resume=True))) == 2
    run_of().train_epoch()
    with pytest.raises(ValueError, match="first weights are not those"):
        Run(settings, device="cpu", corpora=Corpora(NEW, (), ()), resume=True)


def test_a_missing_model_to_start_from_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere.*missing"):
        start_from(tmp_path / "nowhere", NEW)


def test_seeds_follow_one_another_and_their_spread_is_told():
    settings = settings_of(read_settings(config(seed=7), output="models/x"), 3)
    assert [one.training.seed for one in settings] == [7, 8, 9]
    assert [one.output for one in settings] == [f"models/x.seeds/{n}" for n in (7, 8, 9)]
    results = {7: {"development": {"f1": 0.7}}, 8: {"development": {"f1": 0.9}},
               9: {"development": {"f1": 0.8}}}  # fmt: skip
    assert choose(results) == 8
    found = spread(list(results.values()))
    assert found["development"]["mean"] == pytest.approx(0.8)
    assert found["development"]["deviation"] == pytest.approx(0.1)
