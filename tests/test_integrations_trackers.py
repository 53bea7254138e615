"""Trackers: what training logs, to the real packages where they are installed."""

import json
import signal
import sys
from typing import ClassVar

import pytest
from training_runs import write_config

from ner.cli import main
from ner.integrations.trackers import TRACKERS, Log, Trackers
from ner.training import Run, StoppedError, read_settings


class Fake:
    """Keeps what it is told, and fails where it is asked to."""

    module, package = "json", "Fake"
    runs: ClassVar = []
    fails = None

    def __init__(self, run):
        self.begun, self.logged, self.id = run, [], run.known or f"id {len(self.runs)}"
        self.state = self.attached = None
        self.runs.append(self)
        self._fail("begin")

    def _fail(self, what):
        if self.fails == what:
            raise OSError("the server\nis away")

    def log(self, figures, epoch, step):
        self.logged.append((figures, epoch, step))
        self._fail("log")

    def attach(self, model):
        self.attached = sorted(file.name for file in model.iterdir())

    def end(self, state):
        self.state = state
        self._fail("end")

    @property
    def epochs(self):
        return [(epoch, figures) for figures, epoch, _ in self.logged if epoch is not None]


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setitem(TRACKERS, "fake", Fake)
    monkeypatch.setattr(Fake, "runs", [])
    return Fake


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_config(tmp_path, sentences=14, epochs=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    for name, value in (("MODE", "offline"), ("DIR", str(tmp_path)), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    return tmp_path


def train(*arguments):
    test = ("--test", "development.conll")
    return main(["train", "run.yaml", "--device", "cpu", "--quiet", *test, *arguments])


def epochs_of(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_settings_epochs_scores_and_the_model_are_logged(fake, folder):
    assert train("--track", "fake", "--track-model") == 0
    (run,) = fake.runs
    assert (run.begun.group, run.begun.name, run.state) == ("model", "model", "FINISHED")
    assert run.begun.settings["training"]["epochs"] == 2
    assert "tagger.json" in run.attached
    known = epochs_of(folder / "model")
    for (number, figures), epoch in zip(run.epochs, known, strict=False):
        assert (number, figures["loss/epoch"]) == (epoch["epoch"], epoch["loss"])
        for label, scores in {"all": epoch["development"], **epoch["labels"]}.items():
            for name, figure in (("F1", "f1"), ("precision",) * 2, ("recall",) * 2):
                assert figures[f"development {name}/{label}"] == (scores[figure] or 0.0)
    final = {name: value for _, figures in run.epochs[2:] for name, value in figures.items()}
    metrics = json.loads((folder / "model" / "metrics.json").read_text())
    assert final["test F1/all"] == metrics["test"]["f1"]
    assert final["best development F1/all"] == metrics["development"]["f1"]
    for label, scores in metrics["labels"]["test"].items():
        assert final[f"test recall/{label}"] == (scores["recall"] or 0.0)
    steps = [step for _, epoch, step in run.logged if epoch is None]
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("what", ["begin", "log", "end"])
def test_a_tracker_that_fails_is_left_out_and_training_goes_on(
    fake, folder, what, capsys, monkeypatch
):
    monkeypatch.setattr(fake, "fails", what)
    assert train("--track", "fake", "--seeds", "2") == 0
    error = capsys.readouterr().err
    assert error == "warning: Fake fails, so the run is not logged there: the server\n"
    assert len(fake.runs) == 1
    assert (folder / "model" / "tagger.json").exists()


def test_a_resumed_run_continues_that_of_the_tracker(fake, folder, monkeypatch, capsys):
    logged = Log.epoch

    def then_stop(log, epoch):
        logged(log, epoch)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Log, "epoch", then_stop)
    assert train("--track", "fake", "--set", "training.checkpoint_steps=1") > 128
    monkeypatch.setattr(Log, "epoch", logged)
    assert train("--track", "fake", "--set", "training.checkpoint_steps=1", "--resume") == 0
    first, second = fake.runs
    assert first.begun.known is None
    assert second.begun.known == first.id
    assert (first.state, second.state) == ("KILLED", "FINISHED")
    assert second.begun.steps >= max(step for *_, step in first.logged)
    assert train("--track", "fake", "--set", "training.epochs=1") == 0
    assert fake.runs[-1].begun.known is None


def test_seeds_folds_and_trials_are_runs_of_a_group(fake, folder):
    assert train("--track", "fake", "--seeds", "2", "--set", "training.epochs=1") == 0
    shared = ["--device", "cpu", "--track", "fake", "--set", "training.epochs=1", "--quiet"]
    text = (folder / "train.conll").read_text()
    half = text.index("\n\n", len(text) // 2)
    (folder / "train.conll").write_text(f"{text[:half]}\n\n-DOCSTART- O{text[half:]}")
    assert main(["cv", "run.yaml", "--folds", "2", *shared]) == 0
    assert "test F1/all" in fake.runs[-1].epochs[-1][1]
    pytest.importorskip("optuna")
    tuned = (folder / "run.yaml").read_text() + "tune: {training.learning_rate: [0.001, 0.01]}\n"
    (folder / "run.yaml").write_text(tuned)
    assert main(["tune", "run.yaml", "--trials", "2", *shared]) == 0
    assert [run.begun.name for run in fake.runs] == [
        "model/1", "model/2", "run cv/fold 1", "run cv/fold 2", "run/trial 0", "run/trial 1",
    ]  # fmt: skip
    assert {run.state for run in fake.runs} == {"FINISHED"}
    assert len({str(run.begun.settings) for run in fake.runs}) > 2


def test_nothing_is_imported_for_trackers_that_are_not_asked_for(folder, monkeypatch):
    for name in ("mlflow", "wandb", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    assert train() == 0
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("mlflow", "pip install 'ner-crf[mlflow]'"), ("mlfow", "mlflow")],
)
def test_a_tracker_that_is_not_there_is_an_error_before_training(
    folder, name, complaint, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert train("--track", name) == 2
    assert complaint in capsys.readouterr().err
    assert not (folder / "model").exists()


def test_mlflow_has_the_run_and_continues_it(folder):
    mlflow = pytest.importorskip("mlflow")
    settings = read_settings("run.yaml")
    some, where = Trackers(["mlflow"], upload=True), {"device": "cpu"}
    run = Run(settings, **where)
    run._stopping = True  # after the first step
    with pytest.raises(StoppedError), some.begin(run, "model") as log:
        list(log.epochs())
    del run
    (found,) = mlflow.search_runs(output_format="list")
    assert found.info.status == "KILLED"
    again = Run(settings, **where, resume=True)
    with some.begin(again, "model") as log:
        epochs = list(log.epochs())
        log.scores("test", {"f1": 0.5, "precision": 1.0, "recall": None}, {})
        log.attach(folder / "model")
    (found,) = mlflow.search_runs(output_format="list")
    assert (found.info.status, found.info.run_name) == ("FINISHED", "model")
    assert found.data.params["training.epochs"] == "2"
    assert found.data.metrics["test F1/all"] == 0.5
    history = mlflow.MlflowClient().get_metric_history(found.info.run_id, "development F1/all")
    assert [one.value for one in history] == pytest.approx([one.score.f1 for one in epochs])
    assert [one.step for one in history] == [1, 2]
    files = mlflow.artifacts.list_artifacts(run_id=found.info.run_id, artifact_path="model")
    assert "model/tagger.json" in {file.path for file in files}


def test_wandb_has_the_run_offline(folder):
    pytest.importorskip("wandb")
    assert train("--track", "wandb", "--track-model") == 0
    (place,) = folder.glob("wandb/offline-run-*")
    (file,) = place.glob("*.wandb")
    text = file.read_bytes()
    for part in (b"development F1/all", b"test recall/PER", b"checkpoint_minutes", b"tagger.json"):
        assert part in text
