"""A run: learns, gives the same bytes for the same seed, and saves what it logged."""

import hashlib
import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import SMALL, config, write_config

import ner
from ner.batch import group_by_length
from ner.evaluation import Score
from ner.sample import path as sample_path
from ner.sentence import Sentence, Span
from ner.training import Run, TrainingSettings, read_settings, score_tagger
from ner.training.batching import automatic_sizes
from ner.training.corpora import Corpora, inspect
from ner.training.step import cost_table


def run_of(sentences, development=None, **training):
    output = training.pop("output", None)
    corpora = Corpora(sentences, sentences if development is None else development, ())
    settings = read_settings(config(**training), output=None if output is None else str(output))
    return Run(settings, device="cpu", corpora=corpora)


def weights_of(run):
    return {name: tensor.clone() for name, tensor in run.network.state_dict().items()}


def test_it_learns_a_few_sentences_by_heart(toy):
    run = run_of(toy, epochs=40, learning_rate=0.02)
    assert [epoch.number for epoch in run] == list(range(1, 41))
    assert run.best.score.f1 == 1.0
    assert score_tagger(run.tagger, toy)["f1"] == 1.0
    assert run.epochs[-1].loss < run.epochs[0].loss / 10


def test_twenty_sentences_are_learnt_by_heart_with_the_defaults():
    sentences = tuple(itertools.islice(ner.read(sample_path("train")), 20))
    settings = read_settings({"data": {"train": "unread"}, "training": {"threads": 1}})
    run = Run(settings, device="cpu", corpora=Corpora(sentences, sentences, ()))
    assert run.settings.training.epochs == 200  # 5 batches of 4: 1,000 steps
    while run.best is None or run.best.score.f1 < 1.0:
        next(run)
    assert score_tagger(run.tagger, sentences)["f1"] == 1.0


def test_spans_are_chosen_as_the_configuration_says_in_scoring_and_after(toy, tmp_path):
    raw = {**config(epochs=1), "decoding": {"decode": "posterior", "min_score": 1.0}}
    settings = read_settings(raw, output=str(tmp_path / "model"))
    run = Run(settings, device="cpu", corpora=Corpora(toy, toy, ()))
    assert next(run).score.predicted == 0  # nothing is that certain
    run.finish()
    assert ner.load(tmp_path / "model").decoding == settings.decoding
    assert run.tagger.config["decoding"]["decode"] == "posterior"


def test_an_impossible_way_to_choose_spans_is_refused():
    with pytest.raises(ner.config.ConfigError, match="decode must be one of viterbi"):
        read_settings({**config(), "decoding": {"decode": "guess"}})


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(toy, tmp_path):
    digests = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        list(run_of(toy, output=tmp_path / name, seed=seed))
        digests.append(hashlib.sha256((tmp_path / name / "weights.safetensors").read_bytes()))
    first, second, other = (digest.hexdigest() for digest in digests)
    assert first == second
    assert first != other


def test_the_order_of_hashing_changes_nothing(tmp_path):
    """Two processes with other PYTHONHASHSEED, from the files to the model directory."""
    digests = set()
    for seed in ("0", "4242"):
        folder = tmp_path / seed
        folder.mkdir()
        write_config(folder, sentences=12, epochs=1)
        subprocess.run(
            [sys.executable, "-m", "ner", "train", "run.yaml", "--quiet", "--device", "cpu"],
            check=True,
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
        )
        digests.add(tuple(digest_of(folder / "model").items()))
    assert len(digests) == 1


def digest_of(folder: Path):
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_saved_model_scores_what_the_log_said(toy, tmp_path):
    run = run_of(toy, epochs=12, learning_rate=0.02, output=tmp_path / "model")
    list(run)
    tagger = ner.load(tmp_path / "model")
    assert score_tagger(tagger, toy) == run.best.score.as_json() == tagger.metrics["development"]


def test_the_best_epoch_is_kept_not_the_last(toy, monkeypatch):
    run = run_of(toy, epochs=3)
    correct = iter([1, 3, 2])
    monkeypatch.setattr(run, "_score", lambda: {"PER": ner.Score(next(correct), 4, 4)})
    kept = [weights_of(run) for _ in run]
    assert run.best.number == 2
    assert [epoch.best for epoch in run.epochs] == [True, True, False]
    found = run.tagger.network.state_dict()
    assert all(torch.equal(found[name], kept[1][name]) for name in found)
    assert not all(torch.equal(found[name], kept[2][name]) for name in found)


def test_patience_stops_a_run_that_no_longer_gets_better(toy, monkeypatch):
    run = run_of(toy, epochs=20, patience=2)
    correct = iter([1, 2, 2, 2, 3])
    monkeypatch.setattr(run, "_score", lambda: {"PER": ner.Score(next(correct), 4, 4)})
    assert len(list(run)) == 4
    assert run.best.number == 2


def test_without_development_sentences_the_last_epoch_is_kept(toy):
    run = run_of(toy, development=(), epochs=2)
    assert [(epoch.score, epoch.best) for epoch in run] == [(None, True)] * 2
    assert run.best.number == 2
    assert "development" not in run.metrics()


def test_every_sentence_is_trained_on_once_an_epoch(toy):
    run = run_of(toy, batch_size=4, batch_tokens=20)
    seen = []
    run.train_epoch(seen.append)
    assert sum(step.sentences for step in seen) == len(toy) == run.sentences
    assert sum(step.tokens for step in seen) == sum(map(len, toy)) == run.tokens
    assert sum(step.loss for step in seen) / len(toy) == pytest.approx(run.epochs[0].loss)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_sentences(toy):
    lined = tuple(replace(sentence, line=10 * n) for n, sentence in enumerate(toy, start=1))
    run = run_of(lined, batch_size=len(toy))
    with torch.no_grad():
        run.network.projection.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"nan.* at step 1, .* lines \d0, "):
        run.train_epoch()


def test_the_average_is_what_is_scored_and_saved(toy):
    run = run_of(toy, epochs=2, average=0.9)
    list(run)
    own = weights_of(run)
    kept = run.tagger.network.state_dict()
    assert not all(torch.equal(own[name], kept[name]) for name in own)
    assert run.best.score.as_json() == score_tagger(run.tagger, toy)


def test_labels_that_only_development_has_count_as_missed_and_are_said(toy):
    odd = Sentence(("a",), (Span(0, 1, "DRUG"),))
    run = run_of(toy, (*toy, odd))
    assert next(run).labels["DRUG"] == Score(0, 0, 1)
    lines = inspect(run.corpora).lines()
    assert any("training data lacks: DRUG (1)" in line for line in lines)


def test_a_model_that_finds_nothing_can_be_saved(toy, tmp_path):
    """Its precision is undefined, which the model card says too."""
    run = run_of(toy, epochs=1, learning_rate=1e-9, output=tmp_path / "model")
    run._score = lambda: {"PER": ner.Score(0, 0, 9)}
    run.train_epoch()
    assert "precision n/a" in (tmp_path / "model" / "README.md").read_text()


def test_three_epochs_without_a_prediction_are_remarked_upon(toy, monkeypatch):
    run = run_of(toy, epochs=4)
    predicted = iter([0, 0, 0, 1])
    monkeypatch.setattr(run, "_score", lambda: {"PER": ner.Score(0, next(predicted), 4)})
    remarks = [epoch.remarks for epoch in run]
    assert [len(one) for one in remarks] == [0, 0, 1, 0]
    assert "no entity was predicted" in remarks[2][0]


def test_the_tagger_so_far_may_be_used_without_changing_the_training(toy):
    looked_at = run_of(toy)
    for _ in looked_at:
        looked_at.tagger.predict(toy)
    left_alone = run_of(toy)
    list(left_alone)
    for one, other in zip(
        looked_at.network.parameters(), left_alone.network.parameters(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_batches_are_one_large_batch(toy, accumulate):
    """Without dropout, the gradient is that of all the sentences together."""
    gradients = []
    for size, steps in ((12 // accumulate, accumulate), (12, 1)):
        settings = read_settings(config(batch_size=size, accumulate=steps, gradient_clip=1e9))
        run = Run(settings, device="cpu", corpora=Corpora((*toy, *toy)[:12], (), ()))
        run.network.eval()
        run._take(run._data.groups(0)[0], 0.0)
        gradients.append([parameter.grad for parameter in run.network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_bfloat16_goes_about_the_way_float32_goes(toy):
    losses = {}
    for precision in ("float32", "bfloat16"):
        raw = config(precision=precision, epochs=10, learning_rate=0.02)
        spelling = {"kind": "character_lstm", "width": 8, "character_width": 8}
        raw["model"] = {**SMALL, "embeddings": {**SMALL["embeddings"], "spelling": spelling}}
        run = Run(read_settings(raw), device="cpu", corpora=Corpora(toy, toy, ()))
        losses[precision] = [epoch.loss for epoch in run]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.2)


def test_batches_of_like_length_hold_little_padding(shared):
    lengths = [len(s) for s in ner.read(shared / "data" / "conll2003" / "train.txt")]
    defaults = TrainingSettings()
    size, _ = automatic_sizes(defaults, lengths)
    batches = group_by_length(lengths, sentences=size, noise=defaults.length_noise, seed=1)
    padded = sum(len(batch) * max(lengths[n] for n in batch) for batch in batches)
    assert sum(lengths) / padded > 0.95


def test_costs_are_the_softmax_margin_of_every_path(toy):
    """Enumerate the paths: log sum exp(score + cost) - score of gold (Gimpel and Smith 2010)."""
    costs = {"miss": 3.0, "false_alarm": 0.5, "PER": 2.0}
    run = run_of(toy, costs=costs)
    network = run.tagger.network.eval()
    two = [Sentence(s.tokens[:3], tuple(x for x in s.spans if x.end <= 3)) for s in toy[:2]]
    batch = network.batch(two)
    table = cost_table(network, costs)
    raised = [e + table[batch.tags] for e in network.each(batch)]
    loss = network.loss_of(raised, batch.lengths, batch.tags)
    chain, expected = network(batch), 0.0
    for number, gold in enumerate(batch.tags.tolist()):
        terms = []
        for path in itertools.product(range(len(network.tags)), repeat=3):
            score = chain.score(torch.tensor([path] * 2))[number].item()
            terms.append(score + sum(table[g, y].item() for g, y in zip(gold, path, strict=True)))
        score = chain.score(batch.tags)[number].item()
        expected += float(torch.logsumexp(torch.tensor(terms, dtype=torch.float64), 0)) - score
    assert loss.item() == pytest.approx(expected / 2, abs=1e-4)


def test_a_missed_token_costs_what_is_asked_for(toy):
    network = run_of(toy).tagger.network
    table = cost_table(network, {"miss": 3.0, "PER": 2.0}).exp()
    tags = dict(zip(network.tags, range(len(network.tags)), strict=True))
    assert table[tags["S-PER"], tags["O"]] == pytest.approx(6)
    assert table[tags["S-PER"], tags["S-LOC"]] == pytest.approx(2)
    assert table[tags["S-LOC"], tags["O"]] == pytest.approx(3)
    assert table[tags["O"], tags["S-PER"]] == pytest.approx(1)
    assert (table.diagonal() == 1).all()


def test_costs_of_no_label_or_of_nothing_are_refused(toy):
    with pytest.raises(ValueError, match=r"training\.costs has no setting 'PERS'.*'PER'"):
        run_of(toy, costs={"PERS": 2.0})
    with pytest.raises(ValueError, match="miss must be above 0"):
        run_of(toy, costs={"miss": 0.0})
