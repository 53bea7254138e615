"""From raw text to a shared model: each step is the command that a user types."""

import json

import ner
from ner.cli import main
from ner.sample import path as sample_path
from ner.tagger import load


def run(*words):
    assert main(list(map(str, words))) == 0, words


def f1(model, gold):
    return ner.evaluate(gold, load(model).predict(gold)).exact.f1


def test_from_raw_text_to_a_shared_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NER_CACHE", str(tmp_path / "cache"))
    answers = {one.tokens: one for one in ner.read(sample_path("train"))}
    gold = list(ner.read(sample_path("test")))
    start, pool = list(answers.values())[:40], list(answers.values())[40:400]
    ner.write("start.conll", start)
    raw = [" ".join(one.tokens) for one in pool]
    ner.write("raw.jsonl", [ner.Sentence(tuple(one.split())) for one in raw])
    small = ["--set", "model.encoder.width=16", "--set", "training.learning_rate=0.02"]
    train = ["--epochs", 6, "--device", "cpu", "--quiet", *small]
    run("train", "--train", "start.conll", "--output", "first", *train)

    run("select", "first", "raw.jsonl", "--budget", 150, "--suggest", "--to", "prodigy",
        "--output", "tasks.jsonl", "--quiet")  # fmt: skip
    suggested = list(ner.read("tasks.jsonl"))
    assert len(suggested) == 150
    corrected = [answers[one.tokens] for one in suggested]  # who annotates looks it up
    ner.write("export.jsonl", corrected, format="prodigy")
    run("convert", "export.jsonl", "more.conll", "--suggestions", "tasks.jsonl", "--quiet")

    run("train", "--train", "start.conll", "--train", "more.conll", "--test", sample_path("test"),
        "--output", "second", *train)  # fmt: skip
    before, after = f1("first", gold), f1("second", gold)
    assert after > before + 0.05

    run("suspects", "second", "more.conll", "--top", 5, "--json", "suspects.json", "--quiet")
    assert len(json.loads((tmp_path / "suspects.json").read_text("utf-8"))) == 5

    card = (tmp_path / "second" / "README.md").read_text("utf-8")
    assert card.startswith("---\n")
    assert "95 % interval of F1" in card
    run("push", "second", f"file://{tmp_path}/shared", "--json", "pushed.json", "--quiet")
    address = json.loads((tmp_path / "pushed.json").read_text("utf-8"))["address"]
    assert "#sha256=" in address
    assert ner.load(address).predict(gold) == load("second").predict(gold)
