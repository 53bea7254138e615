"""Every example runs, and shows what it says."""

from __future__ import annotations

import inspect
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import types
from pathlib import Path

import httpx
import pytest
from documented import ROOT, furnish, lines_of, pipelines, run
from serving_client import running, wait_for

import ner
from ner.serving.request import Limits

PRODIGY = ROOT / "examples" / "prodigy_recipes.py"  # which cannot be installed here
LABEL_STUDIO = ROOT / "examples" / "label_studio.py"  # which needs that server, see below
EXAMPLES = sorted(set((ROOT / "examples").glob("*.py")) - {PRODIGY, LABEL_STUDIO})
SHOWS = {
    "tag_text": r"\w+ +(PER|LOC|ORG|MISC) +0\.\d\d  at \d+",
    "spacy_pipeline": r"\('Accra', 'LOC', 0\.\d+\)",
    "correct_labels": r"\d+ of the first 30 suspects are in sentences with a wrong label",
    "redact": r"\[\w+-1\] met",
    "few_sentences": r"30 sentences, self-trained +F1 \d+\.\d\d\n +60 sentences, alone-60 ",
    "serve": r"Ada Obi left Accra\. \[",
}
GIVEN = {  # other arguments than the model
    "few_sentences": "--sentences 30 --epochs 1 --tokens 3000 --pretraining classes=50 width=20",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, trained_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = GIVEN.get(path.stem, trained_model).split()
    monkeypatch.setattr("sys.argv", [path.name, *given])
    runpy.run_path(str(path), run_name="__main__")
    assert re.search(SHOWS[path.stem], capsys.readouterr().out)


def test_three_commands_train_on_own_files(trained_model, exported_model, tmp_path, monkeypatch):
    furnish(tmp_path, trained_model, exported_model)
    shutil.rmtree(tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    for line in lines_of((ROOT / "examples" / "own_conll.sh").read_text("utf-8")):
        for pipeline in pipelines(line):
            printed = run(pipeline, monkeypatch)
    assert re.search(r"^ +micro avg +0\.\d+", printed, re.MULTILINE)
    assert (tmp_path / "report.html").exists()


@pytest.fixture
def recipes(monkeypatch, tmp_path):
    """The recipes by name, with what they use of Prodigy, as its documentation describes it."""
    found = {}

    def recipe(name, **arguments):
        def register(function):
            assert list(arguments) == list(inspect.signature(function).parameters)
            found[name] = function
            return function

        return register

    def hashed(task):
        return {**task, "_task_hash": hash(json.dumps(task))}

    def prefer_uncertain(scored):
        return (task for _, task in sorted(scored, key=lambda one: abs(one[0] - 0.5)))

    def get_stream(source, **settings):
        assert settings == {"rehash": True, "dedup": True, "input_key": "text"}
        return map(json.loads, Path(source).read_text("utf-8").splitlines())

    names = ("prodigy", "prodigy.components.sorters", "prodigy.components.stream")
    top, sorters, stream = (types.ModuleType(name) for name in names)
    top.recipe, top.set_hashes = recipe, hashed
    sorters.prefer_uncertain, stream.get_stream = prefer_uncertain, get_stream
    for name, module in zip(names, (top, sorters, stream), strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "prodigy.components", types.ModuleType("components"))
    texts = ["Ada Obi left Accra for Lagos.", "Nobody came. Kestrel Foods grew in Berlin."]
    lines = [json.dumps({"text": text, "meta": {"source": "news"}}) + "\n" for text in texts]
    (tmp_path / "news.jsonl").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    script = runpy.run_path(str(PRODIGY))
    return {**found, "accepted": script["accepted"]}


def test_what_is_corrected_in_prodigy_comes_back(recipes, trained_model, tmp_path):
    given = recipes["ner-crf.correct"]("news", trained_model, "news.jsonl")
    assert (given["dataset"], given["view_id"]) == ("news", "ner_manual")
    tasks = list(given["stream"])
    assert set(given["config"]["labels"]) >= {s["label"] for task in tasks for s in task["spans"]}
    assert all(task["meta"] == {"source": "news"} and "_task_hash" in task for task in tasks)
    exported = "".join(json.dumps({**task, "answer": "accept"}) + "\n" for task in tasks)
    (tmp_path / "export.jsonl").write_text(exported)
    found = list(ner.read("export.jsonl"))
    tagger = ner.load(trained_model)
    texts = [json.loads(line)["text"] for line in Path("news.jsonl").read_text().splitlines()]
    wanted = [sentence for text in texts for sentence in tagger.tag(text).sentences]
    assert [(one.tokens, one.spans) for one in found] == [(s.tokens, s.spans) for s in wanted]
    assert any(one.spans for one in found)


def test_answers_about_single_spans_leave_the_rest_open(recipes, trained_model, monkeypatch):
    given = recipes["ner-crf.teach"]("doubts", trained_model, "news.jsonl")
    questions = list(given["stream"])
    assert given["view_id"] == "ner"
    doubts = [abs(task["spans"][0]["score"] - 0.5) for task in questions]
    assert doubts == sorted(doubts)
    assert {len(task["spans"]) for task in questions} == {1}
    answers = [{**questions[0], "answer": "accept"}]
    answers += [{**task, "answer": "reject"} for task in questions[1:]]
    Path("doubts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers))
    monkeypatch.setattr("sys.argv", [PRODIGY.name, "doubts.jsonl", "doubts.conll"])
    runpy.run_path(str(PRODIGY), run_name="__main__")
    found = list(ner.read("doubts.conll"))
    (span,) = (span for one in found for span in one.spans)
    asked = questions[0]["spans"][0]
    assert (span.start, span.end, span.label) == (
        asked["token_start"], asked["token_end"] + 1, asked["label"],
    )  # fmt: skip
    marked = sum(len(one) - len(one.unknown) for one in found)
    assert marked == span.end - span.start


@pytest.fixture
def label_studio(monkeypatch, tmp_path):
    """The functions of the example, connected to a running Label Studio without any data."""
    program = shutil.which("label-studio")
    if program is None:
        pytest.skip("label-studio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], "0123456789abcdef" * 2 + "01234567"
    settings = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "data"),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "USE_DEFAULT_BANNED_SUBNETS": "false",  # which are those of this machine, too
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    command = [program, "start", "--init", "--no-browser", "--port", str(port)]
    command += ["--username", "a@example.org", "--password", "a-secret-1", "--user-token", token]
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("LABEL_STUDIO_URL", address)
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", token)
    with (
        (tmp_path / "label_studio.log").open("w") as log,
        subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log) as server,
    ):
        try:
            wait_for(lambda: _answers(f"{address}/api/version"), 600)
            yield runpy.run_path(str(LABEL_STUDIO))
        finally:
            server.terminate()


def _answers(address):
    try:
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False


def test_label_studio_suggests_and_what_is_corrected_comes_back(
    label_studio, trained_model, tmp_path, monkeypatch, capsys
):
    """The real server: tasks with suggestions, this server as its backend, an export."""
    monkeypatch.chdir(tmp_path)
    Path("news.txt").write_text("Ada Obi left Accra for Lagos. Ben Kofi came to Kumasi.\n")
    ask, tagger = label_studio["ask"], ner.load(trained_model)
    with running(tagger, Limits(), name="news-2") as server:
        label_studio["send"](trained_model, "news.txt", "tasks.json", server.address)
        project = re.search(r"project (\d+): 2 tasks", capsys.readouterr().out)[1]
        (backend,) = ask(f"/api/ml?project={project}")
        assert (backend["state"], backend["model_version"]) == ("CO", "news-2")
        tasks = ask(f"/api/tasks?project={project}&fields=all")["tasks"]
        first = tasks[0]["predictions"][0]["result"]
        given = {**first[0], "value": {**first[0]["value"], "labels": ["ORG"]}}
        made = {"task": tasks[0]["id"], "context": {"result": [given]}}
        answer = ask(f"/api/ml/{backend['id']}/interactive-annotating", made)["data"]["result"]
        assert answer[0]["value"]["labels"] == ["ORG"]
    for task in tasks:
        (suggested,) = task["predictions"]
        assert suggested["model_version"] == Path(trained_model).name
        corrected = [given, *first[1:]] if task is tasks[0] else suggested["result"]
        ask(f"/api/tasks/{task['id']}/annotations/", {"result": corrected})
    label_studio["fetch"](project, "tasks.json", "train.conll")
    said = capsys.readouterr().err
    assert "2 of 2 suggested sentences came back annotated, 1 of them unchanged" in said
    assert next(ner.read("train.conll")).spans[0].label == "ORG"
