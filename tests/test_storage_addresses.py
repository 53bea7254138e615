"""Models at an address: fetched once, whole or not at all, and no other than the pinned one."""

import hashlib
import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import ner
from ner.cli import main
from ner.errors import ConfigError, ModelError
from ner.storage import addresses
from ner.storage.addresses import Address, local, pin_of


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what is asked for."""

    asked: list[str] = []  # noqa: RUF012 - one list for the whole of a test

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(small_model, tmp_path, monkeypatch):
    """A copy of a model and its address on a local server; the cache is empty."""
    folder = tmp_path / "web" / "mine"
    shutil.copytree(small_model, folder)
    monkeypatch.setenv("NER_CACHE", str(tmp_path / "cache"))
    Quiet.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/mine"
    server.shutdown()
    server.server_close()


def cached(tmp_path):
    return [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def test_a_model_is_fetched_once_and_then_read_offline(served, small_model, toy, monkeypatch):
    folder, url = served
    found = ner.load(url).predict(toy)
    assert found == ner.load(small_model).predict(toy)
    assert len(Quiet.asked) == len(list(folder.iterdir()))
    monkeypatch.setattr(addresses, "_opened", None)  # nobody is asked any more
    assert ner.load(url).predict(toy) == found
    assert ner.load(f"{url}#sha256={pin_of(folder)}").predict(toy) == found


def test_refresh_fetches_a_model_that_has_changed(served, exported_model):
    folder, url = served
    assert isinstance(ner.load(url), ner.Tagger)
    shutil.rmtree(folder)
    shutil.copytree(exported_model, folder)
    assert isinstance(ner.load(url), ner.Tagger)
    assert type(ner.load(url, refresh=True)).__name__ == "ExportedTagger"


def test_a_pin_holds_the_model_to_its_bytes(served, tmp_path):
    folder, url = served
    other = "0" * 64
    with pytest.raises(ModelError, match=f"but {other} is pinned"):
        ner.load(f"{url}#sha256={other}")
    assert not cached(tmp_path)
    pin = hashlib.sha256((folder / "tagger.json").read_bytes()).hexdigest()
    assert pin == pin_of(folder)
    assert ner.load(f"{url}#sha256={pin.upper()}")
    with pytest.raises(ModelError, match="is pinned"):  # what is in the cache is checked, too
        ner.load(f"{url}#sha256={other}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "weights.safetensors").write_bytes(b"other"), "weights.* is damaged"),
        (lambda f: (f / "tagger.json").write_text("[]"), "not a valid model description"),
        (lambda f: (f / "tagger.json").unlink(), "no model is there"),
        (lambda f: rename(f, "../../outside"), "'../../outside' is not a valid file name"),
        (lambda f: rename(f, "tagger.json"), "'tagger.json' is not a valid file name"),
        (lambda f: rename(f, "missing.txt"), "missing.txt"),
    ],
)
def test_what_is_no_whole_model_leaves_nothing(served, tmp_path, spoil, message):
    folder, url = served
    spoil(folder)
    with pytest.raises((ModelError, OSError), match=message):
        ner.load(url)
    assert not cached(tmp_path)


def rename(folder, name):
    """Let the description name another file in place of one."""
    file = folder / "tagger.json"
    known = json.loads(file.read_text("utf-8"))
    known["files"][name] = known["files"].pop("metrics.json")
    file.write_text(json.dumps(known), encoding="utf-8")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://host/x#v2", "expected #sha256="),
        ("https://host/x#sha256=12", "expected #sha256="),
        ("http://example.org/x", "use https, or pin"),
        ("nothing://host/x", "nothing"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(address, message, tmp_path, monkeypatch):
    monkeypatch.setenv("NER_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=message):
        ner.load(address)
    assert Address.parse("http://example.org/x#sha256=" + "a" * 64).pin == "a" * 64


def test_without_a_home_the_cache_has_to_be_named(monkeypatch):
    for name in ("NER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(ConfigError, match="set NER_CACHE"):
        local("https://host/x")
    assert local("models/mine") == Path("models/mine")


def test_the_hub_is_reached_through_its_file_system(served, toy, monkeypatch):
    """The stand-in has the interface of ``HfFileSystem``: ``open`` of user/name@revision/file."""
    folder, _ = served
    asked = []

    class Hub:
        def open(self, path, mode):
            asked.append(path)
            name = path.removeprefix("user/mine@v2/")
            return (folder / name).open(mode)

    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (Hub(), url.removeprefix("hf://")))
    assert ner.load("hf://user/mine@v2").predict(toy)
    assert asked[0] == "user/mine@v2/tagger.json"


@pytest.mark.parametrize("verb", ["tag", "evaluate"])
def test_verbs_take_an_address_for_a_model(served, verb, toy, tmp_path):
    gold, out = tmp_path / "gold.conll", tmp_path / "out.json"
    ner.write(gold, toy)
    calls = {
        "tag": ["tag", served[1], str(gold), "--output", str(out), "--to", "jsonl"],
        "evaluate": ["evaluate", str(gold), "--model", served[1], "--json", str(out)],
    }
    assert main([*calls[verb], "--quiet"]) == 0
    assert out.stat().st_size


def test_a_model_is_pushed_to_any_file_system_and_loaded_from_there(
    served, toy, tmp_path, capsys, small_model
):
    address = f"file://{tmp_path}/shared/mine"
    assert main(["push", small_model, address, "--dry-run"]) == 0
    assert "would be at" in capsys.readouterr().out
    assert not (tmp_path / "shared").exists()
    assert main(["push", small_model, address]) == 0
    pinned = capsys.readouterr().out.split('ner.load("')[1].split('")')[0]
    assert pinned == f"{address}#sha256={pin_of(Path(small_model))}"
    assert ner.load(pinned).predict(toy) == ner.load(small_model).predict(toy)


def test_a_model_is_pushed_to_the_hub(small_model, monkeypatch, capsys):
    """The stand-in takes the arguments of ``huggingface_hub.HfApi`` and notes them."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    calls, real = [], huggingface_hub.HfApi

    class Api:
        def __getattr__(self, name):
            def call(*given, **named):
                signature(getattr(real, name)).bind(self, *given, **named)  # as the real one takes
                calls.append((name, given, named))
                return SimpleNamespace(oid="4f0c")

            return call

    assert main(["push", small_model, "hf://user/mine", "--dry-run"]) == 0
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert main(["push", small_model, "hf://user/mine@v2", "--private"]) == 0
    assert [name for name, _, _ in calls] == ["create_repo", "create_branch", "upload_folder"]
    assert calls[0][1:] == (("user/mine",), {"private": True, "exist_ok": True})
    assert calls[2][2]["folder_path"] == small_model
    assert calls[2][2]["revision"] == "v2"
    assert 'ner.load("hf://user/mine@4f0c#sha256=' in capsys.readouterr().out


def test_a_damaged_model_is_not_pushed(served, small_model, capsys, tmp_path):
    folder, _ = served
    (folder / "weights.safetensors").write_bytes(b"other")
    assert main(["push", str(folder), f"file://{tmp_path}/shared"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "shared").exists()
    assert main(["push", str(folder), "elsewhere"]) == 2
    assert main(["push", small_model, "hf://user", "--dry-run"]) == 2
    assert "expected hf://user/name" in capsys.readouterr().err


def test_the_card_begins_with_metadata_of_the_hub(small_model):
    tagger = ner.load(small_model)
    figures = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "correct": 1, "predicted": 2}
    one = {**figures, "gold": 4}
    tagger.metrics = {
        "test": one,
        "labels": {
            "test": {"PER": {**one, "interval": [0.1, 0.6]}, "X": {**one, "interval": None}}
        },
    }
    from ner.tagger import model_card

    card = model_card(tagger)
    _, front, text = card.split("---\n", 2)
    known = yaml.safe_load(front)
    assert known["pipeline_tag"] == "token-classification"
    (result,) = known["model-index"][0]["results"]
    assert {one["type"]: one["value"] for one in result["metrics"]}["f1"] == 0.3333
    assert "| PER | 50.00 | 25.00 | 33.33 | 10.00 - 60.00 | 4 |" in text
    assert "were not tested" in text
    tagger.metrics = {"test": "nothing", "labels": 3}
    assert "not scored on a test file" in model_card(tagger)
