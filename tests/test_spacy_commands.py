"""spaCy's commands, and every command of docs/spacy.md, on a corpus of nine sentences."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import spacy
from spacy.cli import app
from typer.testing import CliRunner

import ner
from ner.cli import main
from ner.formats import write
from ner.sample import path as sample_path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "spacy.md").read_text(encoding="utf-8")
CONFIG = ROOT / "configs" / "spacy.cfg"
LEARNING = "--training.optimizer.learn_rate"
QUICK = {
    "train": f"{LEARNING}.total_steps 150 {LEARNING}.warmup_steps 5 --training.max_epochs 30 "
    "--training.eval_frequency 15".split(),
    "benchmark": ["--batch-size", "2", "--warmup", "0"],
}


def run(*arguments, status=0):
    """Run one of spaCy's commands; what it printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spaCy's command line and what it is built with
        result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == status, (arguments, result.output, result.exception)
    return result.output


@pytest.fixture
def here(tmp_path, monkeypatch, toy):
    """A folder with a corpus and the configurations, to work in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name in ("train", "development"):
        write(f"{name}.conll", toy)
    return tmp_path


def commands():
    blocks = re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if not line[1].startswith("benchmarks/")]  # minutes long


def test_every_command_of_the_page_runs(here, capfd):
    """With a package that is built but for the wheel, which would ask for the network."""
    for command in commands():
        if command[0] == "ner":
            assert main(command[1:]) == 0
            continue
        if command[0] == "mkdir":
            (here / command[1]).mkdir()
            continue
        assert command[:3] == ["python", "-m", "spacy"]
        arguments = ["none" if word == "wheel" else word for word in command[3:]]
        few = arguments[:2] == ["debug", "data"]  # which finds nine sentences to be too few
        run(*arguments, *QUICK.get(arguments[0], ()), status=int(few))
    assert (here / "packages" / "en_news-1.0.0" / "setup.py").exists()
    nlp = spacy.load("pipeline/model-best")
    assert {ent.text for ent in nlp("Ada Obi joined Kestrel Foods in Accra .").ents} == {
        "Ada Obi",
        "Kestrel Foods",
        "Accra",
    }
    component = "pipeline/model-best/ner_crf"
    assert main(["export", component, f"{component}-onnx"]) == 0
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        names: dict = {"spacy": spacy}
        exec(block.replace("models/conll2003", component), names)
        if "doc = " in block:
            assert names["doc"].has_annotation("ENT_IOB")
        elif "-onnx" in block:
            assert names["nlp"]("Ada Obi joined Kestrel Foods in Accra .").ents
        else:
            assert names["scores"]["ents_f"] > 0.9  # learned by heart
    assert main(["evaluate", "train.conll", "--model", component]) == 0


def test_the_reader_of_the_component_scores_as_ner_evaluate_does(trained_model, tmp_path):
    gold = tmp_path / "test.conll"
    write(gold, list(ner.read(sample_path("test")))[:60])
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_crf", config={"model": trained_model})
    assert main(["evaluate", str(gold), "--model", trained_model, "--json", f"{gold}.json"]) == 0
    expected = json.loads(Path(f"{gold}.json").read_text())["exact"]["f1"]
    corpus = spacy.registry.readers.get("ner_crf.Corpus.v1")(str(gold))
    assert 0 < expected < 1
    assert nlp.evaluate(list(corpus(nlp)))["ents_f"] == pytest.approx(expected, abs=1e-9)


def test_a_package_loads_without_the_folder_it_was_made_of(here, monkeypatch):
    nlp = spacy.blank("en")
    tagger = ner.network.build(list(ner.read("train.conll"))).eval()
    ner.Tagger(tagger).save(here / "model")
    nlp.add_pipe("ner_crf", config={"model": str(here / "model")})
    nlp.to_disk(here / "pipeline")
    run(
        "package", "pipeline", str(here), "--name", "moved", "--version", "1.0.0", "--build", "none"
    )
    build = [sys.executable, "setup.py", "--quiet", "bdist_wheel"]
    subprocess.run(build, cwd=here / "en_moved-1.0.0", check=True, capture_output=True)
    (wheel,) = (here / "en_moved-1.0.0" / "dist").glob("*.whl")
    shutil.unpack_archive(wheel, here / "installed", "zip")
    shutil.rmtree(here / "model")
    shutil.rmtree(here / "pipeline")
    monkeypatch.syspath_prepend(here / "installed")
    moved = spacy.load("en_moved")
    assert moved.get_pipe("ner_crf").labels == nlp.get_pipe("ner_crf").labels
    text = "Ada Obi joined"
    assert [e.text for e in moved(text).ents] == [e.text for e in nlp(text).ents]
    (facts,) = (here / "installed").glob("*.dist-info/METADATA")
    assert "Requires-Dist: ner-crf" in facts.read_text()


def test_the_configuration_is_whole(here):
    """Filling it changes nothing, so every setting can be seen in it."""
    run("init", "fill-config", str(CONFIG), "filled.cfg")
    plain = spacy.util.load_config(CONFIG)
    assert spacy.util.load_config("filled.cfg") == plain


def test_labels_are_made_ahead_and_read_in_training(here):
    paths = ["--paths.train", "train.conll", "--paths.dev", "development.conll"]
    run("init", "labels", str(CONFIG), "labels", *paths)
    assert json.loads(Path("labels/ner_crf.json").read_text()) == ["LOC", "MISC", "ORG", "PER"]


def test_two_runs_give_the_same_bytes(here):
    paths = ["--paths.train", "train.conll", "--paths.dev", "development.conll"]
    for name in ("one", "two"):
        run("train", str(CONFIG), *paths, "--output", name, "--training.max_epochs", "2")
    weights = [Path(name, "model-last/ner_crf/weights.safetensors") for name in ("one", "two")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
