"""``ner train`` and ``ner cv`` from the outside."""

import json
import re
import sys

import pytest
from training_runs import write_config

import ner
from ner.cli import main
from ner.evaluation.perturbations import case_advice
from ner.training import results
from ner.training.distributed import Processes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_config(tmp_path, sentences=14, epochs=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments):
    return main(["train", "run.yaml", "--device", "cpu", *arguments])


def test_training_shows_epochs_and_leaves_a_model(folder, capsys):
    assert train("--json", "result.json") == 0
    printed = capsys.readouterr().out
    for part in ("13 sentences", "in 1,000 tokens", "epoch   1  loss", "epoch   2", "saved model"):
        assert part in printed
    assert sorted(path.name for path in (folder / "model").iterdir()) == [
        "README.md", "config.yaml", "metrics.json", "metrics.jsonl", "tagger.json",
        "training.svg", "weights.safetensors",
    ]  # fmt: skip
    result = json.loads((folder / "result.json").read_text())
    assert result["development"] == ner.load("model").metrics["development"]
    assert not (folder / "model.run").exists()


def test_training_says_what_text_in_lower_case_loses(folder, capsys, monkeypatch):
    found = {"unchanged": 0.9, "lower": 0.1}
    monkeypatch.setattr(results, "_lower_cased", lambda *given: found)
    assert train() == 0
    assert case_advice("lower", 0.9, 0.1) in capsys.readouterr().out
    assert ner.load("model").metrics["lower case"] == found


def test_a_finished_run_is_not_run_again(folder, capsys):
    assert train("--quiet") == 0
    before = (folder / "model" / "weights.safetensors").stat().st_mtime_ns
    assert train("--resume") == 0
    assert "finished already" in capsys.readouterr().out
    assert (folder / "model" / "weights.safetensors").stat().st_mtime_ns == before


def test_a_finished_run_of_other_settings_is_not_taken_for_this_one(folder, capsys):
    """Else models of several settings would be averaged as seeds of one."""
    assert train("--quiet", "--seeds", "2") == 0
    assert train("--resume", "--seeds", "3", "--set", "training.epochs=1") == 2
    assert "training.epochs was 2 before, now 1" in capsys.readouterr().err
    assert not (folder / "model.seeds" / "3").exists()


def test_a_process_that_does_not_write_says_and_leaves_nothing(folder, capsys, monkeypatch):
    monkeypatch.setattr(Processes, "writes", False)
    assert train("--json", "result.json", "--seeds", "2") == 0
    assert capsys.readouterr().out == ""
    assert sorted(path.suffix for path in folder.iterdir()) == [".conll", ".conll", ".yaml"]


def test_the_folder_of_a_run_is_removed_only_if_it_is_one(folder, capsys):
    (folder / "model.run").mkdir()
    (folder / "model.run" / "thesis.txt").write_text("keep")
    assert train() == 2
    assert "model.run contains thesis.txt" in capsys.readouterr().err
    assert (folder / "model.run" / "thesis.txt").read_text() == "keep"


def test_what_a_killed_run_was_writing_holds_nobody_up(folder):
    (folder / "model.run").mkdir()
    (folder / "model.run" / ".metrics.jsonl.part").write_text("half")
    assert train("--quiet", "--set", "training.epochs=1") == 0


def test_predictions_that_cannot_be_written_are_told_before_training(folder, capsys):
    assert main(["cv", "run.yaml", "--predictions", "."]) == 2
    assert capsys.readouterr().err == "error: --predictions .: is a folder; name a file\n"


@pytest.mark.parametrize("more", [[], ["--seeds", "2"]])
@pytest.mark.parametrize("output", ["mine", "mine/thesis.txt", ".", "", ".."])
def test_nothing_is_trained_into_the_place_of_other_files(folder, capsys, output, more):
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("keep")
    assert train("--output", output, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert (folder / "mine" / "thesis.txt").read_text() == "keep"
    assert not (folder / "mine.seeds").exists()


def test_several_seeds_keep_the_best_and_tell_the_spread(folder, capsys):
    assert train("--seeds", "2", "--json", "result.json") == 0
    assert "over 2 seeds" in capsys.readouterr().out
    result = json.loads((folder / "result.json").read_text())
    assert set(result["seeds"]) == {"1", "2"}
    best = max(result["seeds"].values(), key=lambda one: one["development"]["f1"] or 0)
    kept = (folder / "model" / "weights.safetensors").read_bytes()
    assert kept == (folder / best["output"] / "weights.safetensors").read_bytes()


def test_cross_validation_writes_a_prediction_of_every_sentence(folder, capsys):
    blocks = (folder / "train.conll").read_text().split("\n\n")
    (folder / "train.conll").write_text("\n\n".join([*blocks[:7], "-DOCSTART- O", *blocks[7:]]))
    assert main(["cv", "run.yaml", "--folds", "2", "--set", "training.epochs=1",
                 "--predictions", "predicted.conll", "--json", "cv.json"]) == 0  # fmt: skip
    assert "together" in capsys.readouterr().out
    result = json.loads((folder / "cv.json").read_text())
    assert len(result["folds"]) == 2
    gold = list(ner.read("train.conll"))
    assert [s.tokens for s in ner.read("predicted.conll")] == [s.tokens for s in gold]
    assert result["exact"]["gold"] == sum(len(s.spans) for s in gold)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--seeds", "0"], "--seeds: must be at least 1, got 0"),
        (["--init-from", "nowhere"], "nowhere"),
        (["--set", "training.epochs=none"], "training.epochs wants a whole number"),
        (["--set", "data.train=missing.conll"], "missing.conll"),
    ],
)
def test_bad_arguments_are_one_line(folder, arguments, complaint, capsys):
    assert train(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert complaint in error
    assert error.count("\n") == 1
    assert not (folder / "model").exists()


def test_ill_formed_tags_are_told_before_training(folder, capsys):
    text = (folder / "train.conll").read_text().rstrip("\n")
    (folder / "train.conll").write_text(f"{text}\n\nAda I-PER\nfell O\nthen I-ORG\n")
    assert train("--set", "training.epochs=1") == 0
    assert "warning: " in capsys.readouterr().out


def test_the_course_of_a_run_is_written_for_tensorboard(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train("--quiet", "--tensorboard", "board") == 0
    board = EventAccumulator(str(folder / "board"))
    board.Reload()
    epochs = [
        json.loads(line) for line in (folder / "model/metrics.jsonl").read_text().splitlines()
    ]
    found = board.Scalars("development F1/all")
    assert [one.value for one in found] == pytest.approx(
        [epoch["development"]["f1"] or 0.0 for epoch in epochs]
    )
    steps = [one.step for one in board.Scalars("loss/step")]
    assert steps == list(range(1, found[-1].step + 1))
    labels = {f"development F1/{label}" for epoch in epochs for label in epoch["labels"]}
    assert labels <= set(board.Tags()["scalars"])


def test_without_tensorboard_the_extra_is_named(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    (folder / "model.run").mkdir()
    assert train("--quiet", "--tensorboard", "board") == 2
    assert (folder / "model.run").exists()  # what an unfinished run left
    assert "pip install 'ner-crf[tensorboard]'" in capsys.readouterr().err


def test_a_terminal_sees_loss_score_speed_and_time_left(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    assert train() == 0
    seen = capsys.readouterr()
    bars = [bar for bar in seen.err.split("\r") if "epoch=2/2" in bar]
    assert bars
    assert re.search(r"training: +\d+%.*<.* tokens/s, epoch=2/2, loss=\d+\.\d+, F1=", bars[-1])
    assert "epoch   2  loss" in seen.out


def test_what_was_forgotten_of_old_labels_is_told(folder, capsys):
    assert train("--quiet", "--set", "training.epochs=1") == 0
    again = ("--init-from", "model", "--output", "next", "--set", "training.epochs=1")
    assert train(*again, "--set", "training.rehearsal=1") == 0
    printed = capsys.readouterr().out
    for part in ("labels kept:", "labels dropped: none", "declare", "F1 on old labels"):
        assert part in printed
    found = json.loads((folder / "next" / "metrics.json").read_text())["old labels"]["development"]
    assert found["drop"] == found["before"] - found["after"]
    assert f"now, a {'gain' if found['drop'] < 0 else 'drop'} of" in printed
    assert found["labels"] == sorted(found["labels"])
