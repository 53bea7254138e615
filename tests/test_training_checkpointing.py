"""Checkpoints: a run that was killed ends in the same bytes as one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError
from training_runs import KILLED, bytes_of, config, write_config

import ner
from ner.cli import main
from ner.config import ConfigError
from ner.training import Run, StoppedError, optimisation, read_settings, run_folder
from ner.training.corpora import Corpora
from ner.training.run_folder import (
    KEPT,
    STATE,
    TENSORS,
    Checkpoint,
    DamagedError,
    newest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

OPTIMIZERS = ("adamw", "nadam", "sgd")


def run_of(sentences, folder, *, resume=False, overwrite=False, **training):
    settings = read_settings(config(**training), output=str(folder / "model"))
    corpora = Corpora(sentences, sentences[:4], ())
    return Run(settings, device="cpu", corpora=corpora, resume=resume, overwrite=overwrite)


def without_place(files):
    """Digests but those of the files that name the output directory."""
    return {name: files[name] for name in files if name not in ("config.yaml", "tagger.json")}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_run_stopped_anywhere_ends_in_the_same_bytes(
    toy, tmp_path, monkeypatch, optimizer, average
):
    """Stopped after every single step and gone on with in a fresh object."""
    monkeypatch.setattr(optimisation, "LEAST", 100)  # the words' table goes row by row where it may
    training = {"optimizer": optimizer, "average": average, "learning_rate": 0.02, "epochs": 3}
    list(run_of(toy, tmp_path / "whole", **training))
    broken = tmp_path / "broken"
    run, stops = run_of(toy, broken, **training), 0
    while not run.finished:
        run.stop()
        with pytest.raises(StoppedError):
            run.train_epoch()
        torch.manual_seed(stops)  # whatever happens in between
        run, stops = run_of(toy, broken, resume=True, **training), stops + 1
        if run.position.steps_of_epoch == len(run._data.groups(0)):
            run.train_epoch()
    run.finish()
    assert stops == 9
    assert without_place(bytes_of(broken / "model")) == without_place(
        bytes_of(tmp_path / "whole" / "model")
    )


def test_a_run_stopped_while_the_last_epoch_is_scored_stops(toy, tmp_path, monkeypatch):
    run = run_of(toy, tmp_path, epochs=1)
    score = run._score
    monkeypatch.setattr(run, "_score", lambda: [run.stop(), score()][1])
    with pytest.raises(StoppedError):
        run.train_epoch()
    again = run_of(toy, tmp_path, epochs=1, resume=True)
    assert again.finished
    assert again.epochs == run.epochs


@pytest.mark.parametrize("what", ["columns", "gazetteers"])
def test_other_columns_or_lists_are_not_gone_on_with(toy, tmp_path, what):
    (tmp_path / "places").write_text("Accra\n", encoding="utf-8")

    def begin(flags, *, resume):
        sentences = tuple(
            replace(s, columns={"flag": tuple(flags[n % 2] for n in range(len(s)))}) for s in toy
        )
        raw = config(epochs=1)
        own = {"columns": {}} if what == "columns" else {"gazetteers": {"files": files}}
        raw["model"] = {**raw["model"], "embeddings": {**raw["model"]["embeddings"], **own}}
        settings = read_settings(raw, output=str(tmp_path / "model"))
        corpora = Corpora(sentences, (), ())
        return Run(settings, device="cpu", corpora=corpora, resume=resume)

    files = {"places": str(tmp_path / "places")}
    begin("ab", resume=False).train_epoch()
    assert begin("ab", resume=True).epochs
    (tmp_path / "places").write_text("Lima\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="differ from the checkpoint"):
        begin("ba", resume=True)


def test_killed_processes_end_in_the_same_bytes(tmp_path):
    """SIGKILL in the midst of writing, then --resume, until the run is done.

    The table of the words is large enough to be optimised row by row.
    """
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        write_config(folder, sentences=40, words=900, epochs=3, checkpoint_steps=3, average=0.9)
    verb = ["train", "run.yaml", "--quiet", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def train(folder, *how):
        call = [sys.executable, *how]
        return subprocess.run(call, cwd=folder, env=environment, check=False).returncode

    assert train(folders[0], "-m", "ner", *verb) == 0
    for flushes in random.Random(5).sample(range(10, 40), 2):
        died = train(folders[1], "-c", KILLED, str(flushes), *verb, "--resume")
        assert died == -signal.SIGKILL
        assert list(folders[1].glob("model.run/checkpoints/step-*"))
    assert train(folders[1], "-m", "ner", *verb, "--resume") == 0
    assert bytes_of(folders[1] / "model") == bytes_of(folders[0] / "model")
    assert not (folders[1] / "model.run").exists()
    assert not list(folders[1].glob(".*"))


def test_two_processes_do_not_train_into_one_place(toy, tmp_path):
    """The second would remove the checkpoints of the first, and each replace the other's model."""
    write_config(tmp_path, sentences=10, epochs=1)
    verb = [sys.executable, "-m", "ner", "train", "run.yaml", "--quiet", "--device", "cpu"]

    def train():
        return subprocess.run(verb, cwd=tmp_path, capture_output=True, text=True, check=False)

    run = run_of(toy, tmp_path, epochs=1)
    refused = train()
    assert refused.returncode == 2
    assert "another run is writing" in refused.stderr
    list(run)
    assert (tmp_path / "model").is_dir()
    assert train().returncode == 0  # now that it has ended


def test_a_damaged_checkpoint_is_passed_over_with_a_word(toy, tmp_path):
    training = {"epochs": 3, "checkpoint_steps": 1}
    list(run_of(toy, tmp_path / "whole", **training))
    run = run_of(toy, tmp_path, **training)
    run.train_epoch()
    newest = max(run.folder.checkpoints.glob("step-*"))
    content = bytearray((newest / TENSORS).read_bytes())
    content[len(content) // 2] ^= 1
    (newest / TENSORS).write_bytes(content)
    again = run_of(toy, tmp_path, resume=True, **training)
    assert f"{newest.name}: damaged" in again.remarks[0]
    assert "using the previous checkpoint" in again.remarks[0]
    assert again.position.step == run.position.step - 1
    list(again)
    assert without_place(bytes_of(tmp_path / "model")) == without_place(
        bytes_of(tmp_path / "whole" / "model")
    )


@pytest.mark.parametrize("name", [STATE, TENSORS])
@pytest.mark.parametrize("damage", ["gone", "empty", "short", "flipped"])
def test_any_damage_is_recognised(tmp_path, name, damage):
    write_checkpoint(tmp_path, 3, Checkpoint({"a": 1.5}, {"t": torch.arange(100.0)}))
    file = tmp_path / "step-3" / name
    content = file.read_bytes()
    file.unlink()
    if damage != "gone":
        flipped = content.replace(b"1.5", b"2.5") if name == STATE else content[:-1] + b"\x01"
        new = {"empty": b"", "short": content[:-9], "flipped": flipped}[damage]
        assert new != content
        file.write_bytes(new)
    with pytest.raises(DamagedError):
        read_checkpoint(tmp_path / "step-3")
    assert newest_checkpoint(tmp_path)[0] is None


@pytest.mark.parametrize("content", ["[]", "[" * 100_000, "null", "{}", '{"checksum": 1}'])
def test_a_state_of_another_shape_is_damaged_too(tmp_path, content):
    for step in (3, 4):
        write_checkpoint(tmp_path, step, Checkpoint({"n": step}, {"t": torch.ones(3)}))
    (tmp_path / "step-4" / STATE).write_text(content)
    checkpoint, remarks = newest_checkpoint(tmp_path)
    assert checkpoint.state["n"] == 3
    assert "step-4: damaged" in remarks[0]


def test_what_is_written_is_read_and_only_the_newest_are_kept(tmp_path):
    for step in (2, 4, 10):
        write_checkpoint(tmp_path, step, Checkpoint({"n": step}, {"t": torch.ones(step)}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-4"]
    assert len(list(tmp_path.iterdir())) == KEPT
    checkpoint, remarks = newest_checkpoint(tmp_path)
    assert (checkpoint.state["n"], len(checkpoint.tensors["t"]), remarks) == (10, 10, [])


@pytest.mark.parametrize("error", [SafetensorError("full (os error 28)"), OSError(28, "full")])
def test_a_full_disk_is_a_clear_error_and_leaves_what_was_there(tmp_path, monkeypatch, error):
    write_checkpoint(tmp_path, 1, Checkpoint({}, {"t": torch.ones(3)}))

    def full(*_):
        raise error

    monkeypatch.setattr(ner.model_directory, "save_file", full)
    with pytest.raises(OSError, match=r"step-2.*cannot be written|cannot be written.*step-2"):
        write_checkpoint(tmp_path, 2, Checkpoint({}, {"t": torch.ones(3)}))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert newest_checkpoint(tmp_path)[0] is not None


def test_a_disk_full_at_the_next_checkpoint_leaves_run_and_model_whole(toy, tmp_path, monkeypatch):
    training = {"epochs": 3}
    list(run_of(toy, tmp_path / "whole", **training))
    run = run_of(toy, tmp_path, **training)
    run.train_epoch()
    before = bytes_of(tmp_path / "model")

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(ner.model_directory, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        run.train_epoch()
    monkeypatch.undo()
    assert bytes_of(tmp_path / "model") == before
    list(run_of(toy, tmp_path, resume=True, **training))
    assert without_place(bytes_of(tmp_path / "model")) == without_place(
        bytes_of(tmp_path / "whole" / "model")
    )


def test_another_run_does_not_continue_this_one(toy, tmp_path):
    run_of(toy, tmp_path).train_epoch()
    with pytest.raises(ConfigError, match=r"training.seed was 1 .* now 2"):
        run_of(toy, tmp_path, resume=True, seed=2)
    with pytest.raises(ConfigError, match="sentences differ from the checkpoint"):
        run_of(toy[1:], tmp_path, resume=True)


def test_an_interrupted_run_is_discarded_only_when_asked(toy, tmp_path):
    run_of(toy, tmp_path).train_epoch()
    with pytest.raises(
        ConfigError, match=r"model.run contains an interrupted run.*--resume.*--over"
    ):
        run_of(toy, tmp_path)
    run = run_of(toy, tmp_path, overwrite=True)
    assert "removed the interrupted run" in run.remarks[0]
    assert (run.epochs, run.position.step) == ([], 0)


def test_a_run_that_was_interrupted_before_its_first_checkpoint_holds_nobody_up(toy, tmp_path):
    run_of(toy, tmp_path)
    assert run_of(toy, tmp_path).remarks == []


def test_a_finished_model_is_replaced_with_a_word(toy, tmp_path):
    list(run_of(toy, tmp_path))
    again = run_of(toy, tmp_path)
    assert again.remarks == [f"the model in {tmp_path / 'model'} will be replaced"]
    assert len(list(again)) == 3


def test_a_checkpoint_of_another_version_is_refused_and_kept(toy, tmp_path, monkeypatch):
    run_of(toy, tmp_path).train_epoch()
    monkeypatch.setattr(run_folder, "FORMAT", 4)
    with pytest.raises(ConfigError, match=r"another version of ner \(format 3, expected 4"):
        run_of(toy, tmp_path, resume=True)
    assert list((tmp_path / "model.run" / "checkpoints").glob("step-*"))


def test_nothing_to_resume_is_said_and_training_begins(toy, tmp_path):
    run = run_of(toy, tmp_path, resume=True)
    assert "no checkpoint" in run.remarks[0]
    assert len(list(run)) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_and_says_how_to_go_on(number, tmp_path, capsys, monkeypatch):
    write_config(tmp_path, sentences=12, epochs=2)
    monkeypatch.chdir(tmp_path)
    step = Run._take
    taken = []

    def take(run, group, share):
        taken.append(group)
        if len(taken) == 3:
            signal.raise_signal(number)
        return step(run, group, share)

    monkeypatch.setattr(Run, "_take", take)
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert main(["train", "run.yaml", "--device", "cpu"]) == 128 + number
    assert "stopped after step 3; continue with --resume" in capsys.readouterr().out
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    assert main(["train", "run.yaml", "--device", "cpu", "--resume"]) == 0
    assert "continuing after step 3" in capsys.readouterr().out
    assert not (tmp_path / "model.run").exists()


def test_the_log_of_epochs_is_json_lines(toy, tmp_path):
    run = run_of(toy, tmp_path)
    run.train_epoch()
    live = [
        json.loads(line) for line in (run.folder.path / "metrics.jsonl").read_text().splitlines()
    ]
    assert live[0]["seconds"] > 0
    list(run)
    kept = [json.loads(x) for x in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in kept] == [1, 2, 3]
    assert not run.folder.path.exists()
    assert all(line["development"]["gold"] for line in kept)
