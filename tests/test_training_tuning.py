"""A study: settings are tried, bad ones given up, and what was stopped is gone on with."""

import json

import pytest
from training_runs import SMALL, write_config

from ner.cli import main
from ner.config import ConfigError, load
from ner.evaluation import Score
from ner.training import Epoch, multiple_runs, read_settings
from ner.training.step import DivergedError

pytest.importorskip("optuna")

RATE = "training.learning_rate"
TUNE = {
    RATE: {"low": 0.001, "high": 0.1, "log": True},
    "model.encoder.width": [8, 16],
    "training.batch_size": {"low": 4, "high": 8, "step": 2},
}


class Pretended:
    """A run whose scores are a function of its settings: the best learning rate is 0.01."""

    interrupt_at = diverge_at = None  # numbers of epochs, counted over all runs
    taken = 0

    def __init__(self, settings, *, device, corpora):
        self.rate = settings.training.learning_rate
        self.epochs = []

    @property
    def finished(self):
        return len(self.epochs) == 4

    def __iter__(self):
        while not self.finished:
            yield self.train_epoch()

    def train_epoch(self):
        Pretended.taken += 1
        if Pretended.taken == Pretended.interrupt_at:
            raise KeyboardInterrupt
        if Pretended.taken == Pretended.diverge_at:
            raise DivergedError("the loss is nan")
        ratio = max(self.rate / 0.01, 0.01 / self.rate)
        number = len(self.epochs) + 1
        score = Score(int(1000 * number / (4 * ratio)), 1000, 1000)
        self.epochs.append(Epoch(number, 1.0, score, 1.0, 1.0, True))
        return self.epochs[-1]


@pytest.fixture
def pretended(monkeypatch):
    for name, value in (("interrupt_at", None), ("diverge_at", None), ("taken", 0)):
        monkeypatch.setattr(Pretended, name, value)
    monkeypatch.setattr(multiple_runs, "Run", Pretended)


def study_of(folder, name="study.db", tune=TUNE, **training):
    training = {"epochs": 4, **training}
    data = {"train": "sample:development", "development": "sample:test"}
    raw = {"data": data, "model": SMALL, "training": training, "tune": tune, "output": "model"}
    return multiple_runs.Study(read_settings(raw), folder / name)


def told(trials):
    return [(trial.settings, trial.f1, trial.epochs, trial.state) for trial in trials]


def test_settings_are_in_their_ranges_and_the_best_is_a_configuration(pretended, tmp_path):
    study = study_of(tmp_path)
    trials = list(study.run(5))
    for trial in trials:
        assert 0.001 <= trial.settings[RATE] <= 0.1
        assert trial.settings["model.encoder.width"] in (8, 16)
        assert trial.settings["training.batch_size"] in (4, 6, 8)
    best = study.best
    assert best.f1 == max(trial.f1 for trial in trials if trial.state == "complete")
    assert [trial.number for trial in trials if trial.best][-1] == best.number
    settings = study.settings_of(best)
    assert settings.training.learning_rate == best.settings[RATE]
    assert settings.model["encoder"]["width"] == best.settings["model.encoder.width"]
    assert (settings.output, settings.tune, settings.training.epochs) == ("model", {}, 4)


def test_what_is_worse_than_most_is_given_up(pretended, tmp_path):
    trials = list(study_of(tmp_path).run(10))
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(1 < trial.epochs < 4 and trial.number >= multiple_runs.FIRST for trial in pruned)
    assert not any(trial.best for trial in pruned)


def test_a_study_that_was_stopped_goes_on_as_if_it_had_not_been(pretended, tmp_path, monkeypatch):
    whole = told(study_of(tmp_path, "whole.db").run(4))
    parts = told(study_of(tmp_path).run(2))
    monkeypatch.setattr(Pretended, "interrupt_at", Pretended.taken + 2)
    with pytest.raises(KeyboardInterrupt):
        list(study_of(tmp_path).run(4))
    parts += told(study_of(tmp_path).run(4))
    assert parts == whole
    assert told(study_of(tmp_path).trials) == whole
    assert list(study_of(tmp_path).run(4)) == []


def test_a_run_that_diverges_is_a_bad_trial_and_not_the_end(pretended, tmp_path, monkeypatch):
    monkeypatch.setattr(Pretended, "diverge_at", 1)
    study = study_of(tmp_path)
    trials = list(study.run(2))
    assert (trials[0].state, trials[0].f1, trials[0].epochs) == ("diverged", None, 0)
    assert study.best.number == trials[1].number


def test_a_study_of_other_settings_is_refused(pretended, tmp_path):
    list(study_of(tmp_path).run(1))
    with pytest.raises(ConfigError, match=r"training.epochs was 4, now 5; .*--study"):
        study_of(tmp_path, epochs=5)
    with pytest.raises(ConfigError, match=r"tune.training.learning_rate.high was 0.1, now 0.2"):
        study_of(tmp_path, tune={**TUNE, RATE: {"low": 0.001, "high": 0.2, "log": True}})


def test_what_no_trial_came_of_holds_nobody_up(pretended, tmp_path):
    """A misspelt setting of the model is met in the first trial; the study may be corrected."""
    study_of(tmp_path, epochs=5)
    assert list(study_of(tmp_path).run(1))


@pytest.mark.parametrize(
    ("tune", "complaint"),
    [
        ({}, "nothing to tune; add ranges"),
        ({"data.train": ["a"]}, "tune.data.train: only settings of model and training"),
        ({RATE: {"low": 1}}, r"tune.training.learning_rate needs the setting 'high'"),
        ({RATE: {"low": 2, "high": 1}}, "low must not be above high, got 2 and 1"),
        ({RATE: {"low": 0.0, "high": 1, "log": True}}, "with log, low must be more than 0"),
        ({RATE: {"low": 1, "high": 2, "step": 0}}, "step must be more than 0"),
        ({RATE: {"low": 1, "high": 2, "step": 5}}, "step must be at most high - low, 1, got 5"),
        ({RATE: [[1, 2]]}, "wants a list of plain values"),
        ({RATE: 3}, "tune.training.learning_rate: expected settings"),
        ({RATE: [0.1, "fast"]}, "training.learning_rate wants a number, got text 'fast'"),
        ({"training.rate": [1]}, "training has no setting 'rate'"),
        ({"training.epochs": {"low": 0, "high": 4}}, "epochs must be more than 0, got 0"),
    ],
)
def test_ranges_that_cannot_be_used_are_named(tmp_path, tune, complaint):
    with pytest.raises(ConfigError, match=complaint):
        study_of(tmp_path, tune=tune)
    assert not (tmp_path / "study.db").exists()


def test_a_file_that_is_no_study_is_named(tmp_path):
    (tmp_path / "study.db").write_text("nothing of the kind " * 100)
    with pytest.raises(ValueError, match=r"study.db cannot be used as a study: .*not a database"):
        study_of(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be used as a study: .*unable to open"):
        study_of(tmp_path, "nowhere/study.db")


def test_the_verb_writes_a_configuration_that_trains(tmp_path, monkeypatch, capsys):
    config = write_config(tmp_path, sentences=10, epochs=1)
    with config.open("a") as file:
        file.write(f"tune: {{{RATE}: {{low: 0.01, high: 0.02}}}}\n")
    monkeypatch.chdir(tmp_path)
    call = ["tune", "run.yaml", "--device", "cpu", "--json", "found.json"]
    assert main([*call, "--trials", "1"]) == 0
    assert main([*call, "--trials", "2"]) == 0
    printed = capsys.readouterr().out
    for part in (
        "continuing run.study.db, trials so far: 1",
        "trial   1",
        "ner train run.best",
    ):
        assert part in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert [trial["number"] for trial in found["trials"]] == [0, 1]
    best = load(tmp_path / "run.best.yaml")
    assert best["training"]["learning_rate"] == found["best"]["settings"][RATE]
    assert main(["train", "run.best.yaml", "--device", "cpu", "--quiet"]) == 0
    assert main(["tune", "run.yaml", "--output", "run.yaml"]) == 2
    assert "would be overwritten" in capsys.readouterr().err
