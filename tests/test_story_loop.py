"""From raw text to a shared model: each step is the command that a user types."""

import json
from dataclasses import replace
from pathlib import Path

import ner
from ner.cli import main
from ner.sample import path as sample_path
from ner.tagger import load


def run(*words):
    assert main(list(map(str, words))) == 0, words


def f1(model, gold):
    return ner.evaluate(gold, load(model).predict(gold)).exact.f1


def careless(sentences):
    """The same, with the wrong label in every third span, as one annotator may write it."""
    spans = 0
    for one in sentences:
        given = []
        for span in one.spans:
            spans += 1
            given.append(replace(span, label="MISC") if spans % 3 == 0 else span)
        yield replace(one, spans=tuple(given), tags=None)


def decided(suspects, corpus, answers):
    """The suspects, those accepted after which the annotation is what the answers say."""
    sentences = list(ner.read(corpus))
    for one in suspects:
        new = one["suggestion"]
        gold = answers[sentences[one["sentence"]].tokens].spans
        right = new is None or any(
            (span.start, span.end, span.label) == (new["start"], new["end"], new["label"])
            for span in gold
        )
        yield {**one, "accepted": right and not one["repeats"]}


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
    corrected = careless(answers[one.tokens] for one in suggested)  # who annotates looks it up
    ner.write("export.jsonl", corrected, format="prodigy")
    run("convert", "export.jsonl", "more.conll", "--suggestions", "tasks.jsonl", "--quiet")

    more = ["--train", "start.conll", "--test", sample_path("test"), *train]
    run("train", "--train", "more.conll", "--output", "second", *more)
    before, after = f1("first", gold), f1("second", gold)

    run("suspects", "second", "more.conll", "--top", 200, "--json", "suspects.json", "--quiet")
    found = json.loads(Path("suspects.json").read_text("utf-8"))
    Path("decisions.json").write_text(json.dumps(list(decided(found, "more.conll", answers))))
    run("convert", "more.conll", "right.conll", "--decisions", "decisions.json", "--quiet")
    run("train", "--train", "right.conll", "--init-from", "second", "--output", "third", *more)
    right = [answers[one.tokens] for one in ner.read("right.conll")]
    agreed = [ner.evaluate(right, [one.spans for one in ner.read(name)]).exact.f1
              for name in ("more.conll", "right.conll")]  # fmt: skip
    assert agreed[0] + 0.03 < agreed[1]
    assert before + 0.05 < min(after, f1("third", gold))

    card = (tmp_path / "third" / "README.md").read_text("utf-8")
    assert card.startswith("---\n")
    assert "95 % interval of F1" in card
    run("push", "third", f"file://{tmp_path}/shared", "--json", "pushed.json", "--quiet")
    address = json.loads((tmp_path / "pushed.json").read_text("utf-8"))["address"]
    assert "#sha256=" in address
    assert ner.load(address).predict(gold) == load("third").predict(gold)
