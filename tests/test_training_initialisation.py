"""Starting from a model, and the spread of several seeds."""

import pytest
import torch
from training_runs import config

import ner
from ner.config import ConfigError
from ner.inference.decoding import Decoding
from ner.model_directory import ModelError
from ner.network import build
from ner.sample import path as sample_path
from ner.scorer import IMPROBABLE, LEARNABLE
from ner.sentence import Sentence, Span
from ner.tagger import Tagger
from ner.training import Run, read_settings
from ner.training.corpora import Corpora
from ner.training.initialisation import ForgettingError, forgetting_report, start_from
from ner.training.multiple_runs import choose, settings_of, spread


@pytest.fixture(scope="module")
def model(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "old"
    settings = read_settings(config(epochs=30, learning_rate=0.02), output=str(folder))
    list(Run(settings, device="cpu", corpora=Corpora(toy, (), ())))
    return folder


NEW = (
    Sentence(("Ada", "took", "aspirin"), (Span(0, 1, "PER"), Span(2, 3, "DRUG"))),
    Sentence(("Lima", "fell"), (Span(0, 1, "LOC"),)),
)


def test_a_model_is_not_trained_into_its_own_place(model):
    """What was forgotten could not be told, nor the run be resumed."""
    settings = read_settings(config(epochs=1), output=f"{model}/../{model.name}")
    with pytest.raises(ConfigError, match="use another output"):
        Run(settings, device="cpu", corpora=Corpora(NEW, (), ()), init_from=model)


def test_a_run_without_an_output_has_nothing_to_go_on_with():
    with pytest.raises(ConfigError, match="--resume needs an output"):
        Run(read_settings(config()), device="cpu", corpora=Corpora(NEW, (), ()), resume=True)


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
    with pytest.raises(ValueError, match="first weights differ"):
        Run(settings, device="cpu", corpora=Corpora(NEW, (), ()), resume=True)


def test_a_missing_model_to_start_from_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere.*does not exist"):
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


def chain_losses(run):
    """The loss of the annotation and of the rehearsal in a step of all sentences."""
    batch = run.network.collate(run._data.pieces, run._stepper.table)
    return run.network.loss(batch), run._stepper._distillation.loss(batch)


def rehearsing(model, sentences, development=(), **training):
    settings = read_settings(config(rehearsal=1.0, **training))
    return Run(settings, device="cpu", corpora=Corpora(sentences, development, ()), init_from=model)


def test_rehearsal_keeps_all_labels_and_leaves_them_open(model):
    run = rehearsing(model, NEW)
    assert run.network.labels == ("DRUG", "LOC", "MISC", "ORG", "PER")
    assert {"labels kept: LOC, MISC, ORG, PER", "labels dropped: none"} <= set(run.remarks)
    assert {sentence.labels for sentence in run.corpora.train} == {
        frozenset({"DRUG", "LOC", "PER"})
    }


def test_the_loss_of_rehearsal_is_the_cross_entropy_written_out(model):
    """Over the tokens outside of the annotated entities; new labels count as O."""
    run = rehearsing(model, NEW)
    run.network.eval()
    batch = run.network.collate(run._data.pieces, run._stepper.table)
    old = run._stepper._distillation.old
    wanted, found = old(batch).marginals(), run.network(batch).marginals()
    expected = 0.0
    for row, sentence in enumerate(run._data.pieces):
        for token in range(len(sentence)):
            if run.network.tags[batch.tags[row, token]] != "O":
                continue
            for place, tag in enumerate(old.tags):
                same = [n for n, t in enumerate(run.network.tags)
                        if t == tag or (tag == "O" and t.endswith("DRUG"))]  # fmt: skip
                probability = found[row, token, same].sum()
                expected -= wanted[row, token, place] * probability.clamp_min(1e-12).log()
    assert chain_losses(run)[1].item() == pytest.approx(expected.item() / len(NEW), rel=1e-4)
    gradient = torch.autograd.grad(chain_losses(run)[1], run.network.projection.weight)[0]
    assert gradient.abs().sum() > 0


def test_rehearsal_forgets_less(model, toy):
    """Sentences of new labels alone: without rehearsal the old labels are lost."""
    new = (Sentence(("Ada", "took", "aspirin", "in", "Accra"), (Span(2, 3, "DRUG"),)),) * 6
    found = {}
    for weight in (0.0, 4.0):
        settings = read_settings(config(rehearsal=weight, epochs=12, learning_rate=0.02))
        run = Run(settings, device="cpu", corpora=Corpora(new, toy, ()), init_from=model)
        list(run)
        predicted = Tagger(run.network.eval()).predict(toy)
        found[weight] = forgetting_report(ner.load(model), toy, predicted)
    assert found[0.0]["after"] == 0.0
    assert found[4.0]["after"] > 0.5
    assert found[4.0]["drop"] == found[4.0]["before"] - found[4.0]["after"]
    assert found[4.0]["labels"] == ["LOC", "MISC", "ORG", "PER"]


def test_rehearsal_without_a_model_is_refused(toy):
    settings = read_settings(config(rehearsal=0.5))
    with pytest.raises(ConfigError, match=r"training.rehearsal needs a model .*--init-from"):
        Run(settings, device="cpu", corpora=Corpora(toy, (), ()))


def found_by(network, sentences, decoding=None):
    predicted = Tagger(network.eval(), decoding=decoding).predict(sentences)
    return [[(one.start, one.end, one.label) for one in spans] for spans in predicted], [
        one.score for spans in predicted for one in spans
    ]


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "BILOU", "BMES"])
@pytest.mark.parametrize("members", [1, 2])
def test_before_the_first_step_a_new_label_changes_no_prediction(toy, tmp_path, scheme, members):
    """Whatever the weights and the decoding: here random ones, which find something everywhere."""
    torch.manual_seed(5)
    parts = {"words": {"width": 8}, "characters": False, "affixes": False}
    old = build(toy, members=members, scheme=scheme, embeddings=parts, encoder={"width": 8}).eval()
    with torch.no_grad():
        for stack in old.stacks:
            stack.projection.weight.normal_(0.0, 2.0)
            stack.crf.transitions.normal_()
    Tagger(old).save(tmp_path / "old")
    new = start_from(tmp_path / "old", NEW, keep=True).network
    assert {"DRUG"} == set(new.labels) - set(old.labels)
    sentences = list(ner.read(sample_path("test")))[:60]
    for decoding in (None, Decoding("posterior", threshold=0.3, temperature=1.75)):
        before, scores = found_by(old, sentences, decoding)
        after, same = found_by(new, sentences, decoding)
        assert sum(map(len, before)) > 50
        assert after == before
        assert same == pytest.approx(scores, rel=0, abs=1e-6)  # the mass of new paths


def test_before_the_first_step_spans_are_chosen_as_the_old_model_does(model, toy, tmp_path):
    old = ner.load(model)
    old.decoding = Decoding("posterior", threshold=0.9, temperature=1.5)
    old.save(tmp_path / "old")
    run = rehearsing(tmp_path / "old", NEW)
    assert run.tagger.decoding == old.decoding
    assert run.tagger.predict(toy) == old.predict(toy)


def test_a_new_tag_is_raised_only_before_it_is_trained(model):
    run = rehearsing(model, NEW)
    bias, new = run.network.projection.bias, run.network.tags.index("B-DRUG")
    first = bias[new].item()
    run.network.admit()
    raised = bias[new].item()
    assert raised == pytest.approx(first + IMPROBABLE - LEARNABLE, abs=1e-5)
    run.network.admit()
    assert bias[new].item() == raised
    run.train_epoch()
    trained = bias.detach().clone()
    run.network.admit()
    assert torch.equal(bias, trained)


def test_a_new_label_is_learnt_from_there(model):
    run = rehearsing(model, NEW * 6, epochs=15, learning_rate=0.02)
    list(run)
    predicted = Tagger(run.network.eval()).predict(NEW)
    assert Span(2, 3, "DRUG") in predicted[0]


def limited(model, toy, most, tmp_path, **training):
    settings = read_settings(
        config(max_drop=most, learning_rate=0.02, **training), output=str(tmp_path / "new")
    )
    corpora = Corpora(NEW * 4, toy, ())
    return Run(settings, device="cpu", corpora=corpora, init_from=model)


def test_a_model_that_lost_too_much_of_its_old_labels_is_not_saved(model, toy, tmp_path):
    run = limited(model, toy, 0.5, tmp_path, epochs=2)
    with pytest.raises(ForgettingError, match=r"no model is saved: .*below the .*max_drop 0.5"):
        list(run)
    assert not any(epoch.best for epoch in run.epochs)
    assert "not kept" in run.epochs[0].remarks[-1]
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob("*.run"))


def test_a_model_that_lost_no_more_than_it_may_is_saved(model, toy, tmp_path):
    run = limited(model, toy, 100.0, tmp_path, epochs=2)
    assert any(epoch.best for epoch in run)
    assert ner.load(tmp_path / "new").labels == ("DRUG", "LOC", "PER")


@pytest.mark.parametrize("development", [(), NEW[:0], (Sentence(("It",), ()),)])
def test_a_limit_needs_sentences_to_be_held_against(model, development):
    settings = read_settings(config(max_drop=1.0))
    corpora = Corpora(NEW, development, ())
    with pytest.raises(ConfigError, match="max_drop needs development sentences"):
        Run(settings, device="cpu", corpora=corpora, init_from=model)
    with pytest.raises(ConfigError, match="max_drop needs a model to start from"):
        Run(settings, device="cpu", corpora=corpora)
