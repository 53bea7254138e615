"""``ner suspects`` and ``ner select``: what users type and read."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from headless import dom_of

import ner
from ner.cli import main

NAMES = ("Ada", "Ben", "Chi", "Dan", "Eve", "Fay")
ABSENT = dict.fromkeys(("characters", "affixes", "document", "topic"), False)
PLACES = ("Accra", "Bern", "Cairo", "Delhi")


def text(wrong=False):
    """A small language: who speaks is a person, where is a place; one label may be wrong."""
    parts = []
    for number, name in enumerate(NAMES * 4):
        place = PLACES[number % len(PLACES)]
        label = "LOC" if wrong and number == 9 else "PER"
        parts.append(f"-DOCSTART- O\n\n{name} B-{label}\nspoke O\nin O\n{place} B-LOC\n. O\n\n")
    return "".join(parts)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "train.conll").write_text(text(), encoding="utf-8")
    config = {
        "data": {"train": str(folder / "train.conll")},
        "model": {"embeddings": {"words": {"width": 16}, **ABSENT}, "encoder": {"width": 16}},
        "training": {"epochs": 15, "batch_size": 4, "threads": 1, "learning_rate": 0.02}
        | {"average": 0.0},
        "output": str(folder / "model"),
    }
    (folder / "run.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    assert main(["train", str(folder / "run.yaml"), "--device", "cpu", "--quiet"]) == 0
    return str(folder / "model")


@pytest.fixture
def spoiled(tmp_path):
    path = tmp_path / "spoiled.conll"
    path.write_text(text(wrong=True), encoding="utf-8")
    return str(path)


def run(capsys, *arguments):
    status = main([*arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize("folds", [[], ["--folds", "3"]])
def test_the_label_that_is_wrong_is_the_first_suspect(model, spoiled, capsys, tmp_path, folds):
    out = tmp_path / "suspects.json"
    status, said, _ = run(
        capsys,
        "suspects",
        model,
        spoiled,
        "--top",
        "3",
        "--device",
        "cpu",
        "--json",
        str(out),
        *folds,
    )
    assert status == 0
    lines = [line for line in said.splitlines() if not line.startswith("fold")]
    assert len(lines) <= 3
    name = NAMES[9 % len(NAMES)]
    assert re.search(rf"   1  .*spoiled\.conll:\d+  label .*\[LOC {name}\].*->  PER {name}", said)
    first = json.loads(out.read_text("utf-8"))[0]
    assert first["sentence"] == 9
    assert first["gold"]["label"] == "LOC"
    assert first["suggestion"]["label"] == "PER"
    line = Path(spoiled).read_text("utf-8").split("\n")[first["line"] - 1]
    assert line == f"{name} B-LOC"


@pytest.fixture
def reviewed(model, spoiled, capsys, tmp_path):
    """The page of suspects, and the suspects as JSON."""
    page, out = tmp_path / "review.html", tmp_path / "suspects.json"
    status, _, _ = run(
        capsys, "suspects", model, spoiled, "--top", "3", "--json", str(out), "--html", str(page)
    )
    assert status == 0
    return page, json.loads(out.read_text("utf-8"))


def test_an_accepted_change_is_made_in_the_file(reviewed, spoiled, capsys, tmp_path):
    _, suspects = reviewed
    decisions, corrected = tmp_path / "decisions.json", tmp_path / "corrected.conll"
    made = [{"accepted": number == 0, **one} for number, one in enumerate(suspects)]
    decisions.write_text(json.dumps(made), encoding="utf-8")
    call = ("convert", spoiled, str(corrected), "--decisions", str(decisions))
    assert run(capsys, *call)[0] == 0
    right = tmp_path / "right.conll"
    right.write_text(text(), encoding="utf-8")
    found, wanted = list(ner.read(corrected)), list(ner.read(right))
    assert [one.spans for one in found] == [one.spans for one in wanted]
    assert [one.tokens for one in found] == [one.tokens for one in wanted]


def test_decisions_about_another_file_are_refused(reviewed, capsys, tmp_path):
    _, suspects = reviewed
    decisions, other = tmp_path / "decisions.json", tmp_path / "other.conll"
    decisions.write_text(json.dumps([{"accepted": True, **suspects[0]}]), encoding="utf-8")
    out = tmp_path / "out.conll"
    for content, message in (
        (text(), "a decision does not fit sentence 10; was it made on this file?"),
        ("Ada B-PER\n", "decisions are about sentence 10, of 1"),
    ):
        other.write_text(content, encoding="utf-8")
        status, _, error = run(
            capsys, "convert", str(other), str(out), "--decisions", str(decisions)
        )
        assert (status, error.count("\n")) == (2, 1)
        assert message in error
        assert not out.exists()
    for wrong in ("{", '[{"accepted": true}]', "3"):
        decisions.write_text(wrong, encoding="utf-8")
        status, _, error = run(
            capsys, "convert", str(other), str(out), "--decisions", str(decisions)
        )
        assert status == 2
        assert "decisions.json: " in error


def test_suspects_are_accepted_and_rejected_by_keys(reviewed, tmp_path):
    page, suspects = reviewed
    keys = "for (const key of 'aru') dispatchEvent(new KeyboardEvent('keydown', { key }));"
    page.write_text(
        page.read_text("utf-8").replace("</body>", f"<script>{keys}</script></body>"), "utf-8"
    )
    dom = dom_of(page.as_uri(), tmp_path / "profile")
    found = re.findall(r'<li class="([^"]*)"', dom)
    assert len(found) == len(suspects) == 3
    assert [one.split() for one in found] == [["accepted"], ["rejected"], ["current"]]
    assert "2 of 3 decided, 1 accepted" in dom


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "0"], "--top: must be at least 1, got 0"),
        (["--folds", "1"], "--folds: must be at least 2, got 1"),
        (["--format", "nothing"], "no format is called 'nothing'"),
    ],
)
def test_bad_input_is_one_clear_line(model, spoiled, capsys, arguments, message):
    status, _, error = run(capsys, "suspects", model, spoiled, "--device", "cpu", *arguments)
    assert status == 2
    assert message in error
    assert error.count("\n") == 1


def test_without_annotation_there_is_nothing_to_suspect(model, capsys, tmp_path):
    path = tmp_path / "bare.conll"
    path.write_text("Ada\nspoke\n", encoding="utf-8")
    status, _, error = run(capsys, "suspects", model, str(path), "--reader", "tagged=false")
    assert status == 2
    assert "no sentence is annotated" in error


def test_sentences_are_chosen_and_written_best_first(model, capsys, tmp_path):
    path, out, chosen = tmp_path / "new.conll", tmp_path / "next.conll", tmp_path / "next.json"
    path.write_text(
        "Ada\nspoke\nin\nAccra\n.\n\nZoe\nflew\nover\nZug\n.\n\nAda\nspoke\nin\nBern\n.\n\n",
        encoding="utf-8",
    )
    status, said, _ = run(
        capsys, "select", model, str(path), "--budget", "2", "--reader", "tagged=false",
        "--device", "cpu", "--output", str(out), "--json", str(chosen),
    )  # fmt: skip
    assert status == 0
    assert said.splitlines()[0].endswith("Zoe flew over Zug .")
    found = json.loads(chosen.read_text("utf-8"))
    assert found[0]["sentence"] == 1
    assert found[0]["gain"] >= found[1]["gain"] >= 0.0
    assert out.read_text("utf-8").split()[0] == "Zoe"


def test_a_budget_is_a_whole_number_from_one(model, spoiled, capsys):
    status, _, error = run(capsys, "select", model, spoiled, "--budget", "0")
    assert status == 2
    assert "--budget: must be at least 1, got 0" in error


RAW = "Ada spoke in Accra. Zoe flew over Zug.\nBen spoke in Bern.\nZoe flew over Zug.\n\n"


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "news.txt"
    path.write_text(RAW, encoding="utf-8")
    return str(path)


def select(model, raw, *more):
    return main(["select", model, raw, "--device", "cpu", "--quiet", *map(str, more)])


@pytest.mark.parametrize("strategy", ["uncertainty", "diversity", "random"])
def test_raw_text_is_cut_into_sentences_and_repeats_are_offered_once(
    model, raw, tmp_path, strategy
):
    out = tmp_path / "next.json"
    assert select(model, raw, "--budget", 9, "--strategy", strategy, "--json", out) == 0
    found = {tuple(one["tokens"]): one for one in json.loads(out.read_text("utf-8"))}
    assert len(found) == 3
    again = found["Zoe", "flew", "over", "Zug", "."]
    assert (again["sentence"], again["repeats"], again["line"]) == (1, [3], 1)
    assert found["Ben", "spoke", "in", "Bern", "."]["line"] == 2


def test_a_seed_draws_the_same_sentences(model, raw, tmp_path):
    found = []
    for name, seed in (("a", 1), ("b", 1)):
        out = tmp_path / name
        how = ("--strategy", "random", "--seed", seed, "--budget", 2, "--json", out)
        assert select(model, raw, *how) == 0
        found.append(out.read_text("utf-8"))
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:.*with only predictions")
@pytest.mark.parametrize("tool", ["labelstudio", "prodigy", "doccano", "argilla", "conll", "jsonl"])
def test_suggestions_are_written_read_back_and_compared_with_what_people_made_of_them(
    model, raw, tmp_path, tool, capsys
):
    columns = tool == "conll"
    tasks = tmp_path / ("tasks.conll" if columns else "tasks.json")
    options = {} if columns else {"tokenizer": "builtin"}
    assert select(model, raw, "--budget", 3, "--suggest", "--to", tool, "--output", tasks) == 0
    suggested = list(ner.read(tasks, **options))
    assert [one.spans for one in suggested] == ner.load(model).predict(suggested)
    assert sum(len(one.spans) for one in suggested) >= 4
    first = suggested[0]
    changed = replace(first, spans=(replace(first.spans[0], label="ORG"), *first.spans[1:]))
    corrected = tmp_path / ("corrected.conll" if columns else "corrected.jsonl")
    ner.write(corrected, [replace(suggested[1], spans=None), suggested[2], changed])
    capsys.readouterr()
    call = ["convert", corrected, tmp_path / "train.conll", "--suggestions", tasks, "--quiet"]
    call += [] if columns else ["--reader", "tokenizer=builtin"]
    assert main(list(map(str, call))) == 0
    said = capsys.readouterr().err
    assert "2 of 3 suggested sentences came back annotated, 1 of them unchanged" in said
    assert "only predictions" not in said  # which suggestions are
    words = " ".join(first.tokens[first.spans[0].start : first.spans[0].end])
    assert f"label  {first.spans[0].label} {words}  ->  ORG {words}" in said


def test_alternatives_go_where_each_tool_shows_them(model, raw, tmp_path):
    found = {}
    for tool in ("labelstudio", "prodigy", "doccano", "jsonl"):
        out = tmp_path / f"{tool}.json"
        assert select(model, raw, "--budget", 1, "--suggest", "--to", tool, "--output", out) == 0
        text = out.read_text("utf-8")
        found[tool] = json.loads(text) if text[0] == "[" else json.loads(text.splitlines()[0])
    task = found["labelstudio"][0]
    assert task["predictions"][0]["model_version"] == Path(model).name
    (first, *_) = task["predictions"][0]["result"]
    span = found["prodigy"]["spans"][0]
    assert first["score"] == pytest.approx(span["score"])
    for one in (span, found["jsonl"]["spans"][0]):
        scores = [other["score"] for other in one["alternatives"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) + one["score"] < 2
    said = first.get("meta", {}).get("text", [])
    assert [one.split()[0] for one in said] == [one["label"] for one in span["alternatives"]]
    assert found["doccano"]["alternatives"][0] == said


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (RAW, ("--output", "news.txt"), "news.txt is an input and would be overwritten"),
        (RAW, ("--output", "x.json", "--to", "labelstudio", "--writer", "model=1"), "no option"),
        ("", ("--output", "x.conll"), "news.txt: no sentence to choose from"),
        ("\n\n", (), "news.txt: no sentence to choose from"),
    ],
)
def test_what_cannot_be_chosen_or_written_is_refused_before_the_work(
    model, text, more, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("news.txt").write_text(text, encoding="utf-8")
    assert select(model, "news.txt", "--budget", 3, *more) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert not said.out
    assert [path.name for path in tmp_path.iterdir()] == ["news.txt"]
    assert Path("news.txt").read_text(encoding="utf-8") == text


def test_a_page_does_not_replace_the_file_it_is_about(model, spoiled, capsys):
    before = Path(spoiled).read_bytes()
    status, _, error = run(capsys, "suspects", model, spoiled, "--html", spoiled)
    assert status == 2
    assert "is an input and would be overwritten; name another" in error
    assert Path(spoiled).read_bytes() == before


@pytest.mark.parametrize("suggested", [None, "", "It\nrained\n", '{"a":1'])
def test_suggestions_are_read_before_anything_is_written(suggested, tmp_path, capsys):
    corrected, tasks, out = (tmp_path / name for name in ("a.conll", "tasks.json", "train.conll"))
    corrected.write_text("Ada B-PER\nleft O\n", encoding="utf-8")
    if suggested is not None:
        tasks.write_text(suggested, encoding="utf-8")
    assert main(["convert", str(corrected), str(out), "--suggestions", str(tasks)]) == 2
    assert str(tasks) in capsys.readouterr().err
    assert not out.exists()


def test_corrections_of_other_sentences_are_refused_before_anything_is_written(tmp_path, capsys):
    corrected, tasks, out = (tmp_path / name for name in ("a.conll", "b.conll", "train.conll"))
    corrected.write_text("Ada B-PER\nleft O\n", encoding="utf-8")
    tasks.write_text("It O\nrained O\n", encoding="utf-8")
    assert main(["convert", str(corrected), str(out), "--suggestions", str(tasks)]) == 2
    assert "no corrected sentence is among the suggested ones" in capsys.readouterr().err
    assert not out.exists()
