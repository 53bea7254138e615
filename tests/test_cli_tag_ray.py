"""``ner tag --engine ray``: every shard once and whole, whoever is killed on the way.

Slow: Ray takes half a minute to begin. ``python -m pytest -m slow tests/test_cli_tag_ray.py``
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ner.cli import main, parser_of
from ner.cli.tag_workers import Worker

SHARDS = 10


@pytest.fixture(scope="module")
def corpus(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for shard in range(SHARDS):
        records = [
            json.dumps({"id": [shard, number], "tokens": toy[number % len(toy)].tokens * 3})
            for number in range(1500)
        ]
        (folder / f"part-{shard}.jsonl").write_text("\n".join(records), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def wanted(corpus, small_model, tmp_path_factory):
    """What one process writes."""
    folder = tmp_path_factory.mktemp("wanted")
    assert main(command(small_model, corpus, folder)) == 0
    return contents(folder)


def command(model, corpus, folder, *more):
    return ["tag", model, f"{corpus}/*.jsonl", "--output-dir", str(folder), "--quiet", *more]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


def started(model, corpus, folder):
    pytest.importorskip("ray")
    more = ("--engine", "ray", "--workers", "2")
    environment = {**os.environ, "RAY_worker_niceness": "0"}  # else a busy machine starves them
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-m", "ner", *command(model, corpus, folder, *more)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def descendants(process):
    """The processes that came of one, and what they call themselves."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
            names[int(entry.name)] = (entry / "cmdline").read_text()
        except OSError:
            continue  # it has ended meanwhile
    found, level = {}, {process}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level}
        found.update((pid, names[pid]) for pid in level)
    return found


def wait_until(true, seconds=600):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(corpus, wanted, small_model, tmp_path):
    with started(small_model, corpus, tmp_path) as process:
        wait_until(lambda: len(contents(tmp_path)) >= 2)
        workers = [pid for pid, name in descendants(process.pid).items() if "Map(Worker)" in name]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert contents(tmp_path) == wanted


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(corpus, wanted, small_model, tmp_path):
    with started(small_model, corpus, tmp_path) as process:
        wait_until(lambda: len(contents(tmp_path)) >= 2)
        came = descendants(process.pid)
        process.kill()
        process.communicate()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in came))
    there = contents(tmp_path)
    assert 2 <= len(there) < SHARDS
    assert all(wanted[name] == content for name, content in there.items())
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in there}
    with started(small_model, corpus, tmp_path) as process:
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert contents(tmp_path) == wanted
    assert times == {name: (tmp_path / name).stat().st_mtime_ns for name in there}


@pytest.mark.slow
def test_a_bad_shard_is_said_and_the_others_are_tagged(corpus, wanted, small_model, tmp_path):
    own = tmp_path / "corpus"
    own.mkdir()
    for path in corpus.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    (own / "part-3.jsonl").write_text('{"tokens": ["a"]}\n{"tokens": 5}\n', encoding="utf-8")
    with started(small_model, own, tmp_path / "out") as process:
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == (  # Ray may have said something before
        "error: 1 of 10 files could not be tagged: "
        f"{own}/part-3.jsonl:2: tokens: expected a list of strings"
    )
    assert contents(tmp_path / "out") == {k: v for k, v in wanted.items() if k != "part-3.jsonl"}


def test_without_ray_the_extra_is_named(small_model, corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(command(small_model, corpus, tmp_path, "--engine", "ray")) == 2
    assert capsys.readouterr().err == "error: --engine ray needs ray: pip install 'ner-crf[ray]'\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engine", "ray"], "--engine ray goes with --output-dir"),
        (["--engine", "ray", "--output-dir", "x", "--processes", "2"], "without --processes"),
        (["--workers", "2"], "goes with --engine ray"),
        (
            ["--engine", "ray", "--workers", "0", "--output-dir", "x"],
            "--workers: must be at least 1, got 0",
        ),
        (["a.jsonl", "--output-dir", "s9://x/y"], "s9://x/y/a.jsonl"),
    ],
)
def test_settings_that_do_not_go_together(small_model, capsys, arguments, said):
    assert main(["tag", small_model, *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.startswith("error: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("exported", [False, True])
def test_a_worker_tags_with_the_files_of_any_model(
    small_model, toy, tmp_path, monkeypatch, exported
):
    """Without Ray: what it does with a shard once it has the files of the model."""
    model, source, target = str(small_model), tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"tokens": s.tokens}) + "\n" for s in toy), "utf-8")
    if exported:
        model = str(tmp_path / "exported")
        pytest.importorskip("onnxruntime")
        assert main(["export", str(small_model), model, "--quiet"]) == 0
    assert main(["tag", model, str(source), "--output", str(tmp_path / "here.jsonl")]) == 0
    files = {path.name: path.read_bytes() for path in Path(model).iterdir()}
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=lambda reference: reference))
    arguments = parser_of("tag").parse_intermixed_args(["elsewhere", "--to", "jsonl", "--quiet"])
    worker = Worker(files, arguments)
    outcome = worker({"path": str(source), "target": str(target)})
    assert (outcome["skipped"], outcome["error"]) == ("", "")
    assert outcome["tokens"] == sum(map(len, toy))
    assert target.read_bytes() == (tmp_path / "here.jsonl").read_bytes()
    assert worker({"path": str(source), "target": str(target)})["tokens"] == 0, "it is there"
