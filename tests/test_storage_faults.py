"""A fault at every call that writes, in turn: what was there is whole, and nothing half is left."""

import contextlib
import io
import os
import re
import shutil

import pytest
import torch

import ner
from ner import model_directory
from ner.cli import main
from ner.network import build
from ner.sample import path as sample_path
from ner.storage import atomic
from ner.tagger import Tagger
from ner.training.run_folder import STATE, TENSORS, Checkpoint, newest_checkpoint, write_checkpoint

FULL = OSError(28, "No space left on device")


class Faults:
    """Makes the k-th call that writes fail: each open, write, flush, rename, new folder, chmod.

    Files of tensors are written outside Python: that one call leaves half a file and fails as
    safetensors does.
    """

    def __init__(self, monkeypatch):
        self._patch = monkeypatch
        self.calls = 0
        self.fail_at = None
        self.error = FULL

    @contextlib.contextmanager
    def at(self, number, error):
        self.calls, self.fail_at, self.error = 0, number, error
        with self._patch.context() as patch:
            for name in ("fsync", "replace", "mkdir", "chmod"):
                patch.setattr(os, name, self._counted(getattr(os, name)))
            patch.setattr(os, "open", self._opening(os.open, lambda flags: flags & os.O_CREAT))
            patch.setattr(io, "open", self._opening(io.open, lambda mode: mode[0] in "wxa"))
            patch.setattr(model_directory, "save_file", self._saving(model_directory.save_file))
            yield

    def count(self, path=None):
        self.calls += 1
        if self.calls != self.fail_at:
            return
        if isinstance(self.error, OSError) and isinstance(path, str | os.PathLike):
            raise OSError(self.error.errno, self.error.strerror, os.fspath(path))  # as the system
        raise self.error

    def _counted(self, real):
        def call(*arguments, **keywords):
            self.count(arguments[0])
            return real(*arguments, **keywords)

        return call

    def _opening(self, real, writes):
        def call(path, how="r", *arguments, **keywords):
            if not writes(how):
                return real(path, how, *arguments, **keywords)
            self.count(path)
            file = real(path, how, *arguments, **keywords)
            return file if isinstance(file, int) else Writing(file, self)

        return call

    def _saving(self, real):
        def call(tensors, path):
            try:
                self.count()
            except OSError as error:
                path.write_bytes(b"half")
                raise model_directory.SafetensorError(
                    f"I/O error: {error.strerror} (os error {error.errno})"
                ) from None
            return real(tensors, path)

        return call


class Writing:
    """A file whose every write may fail."""

    def __init__(self, file, faults):
        self._file, self._faults = file, faults

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, content):
        self._faults.count()
        return self._file.write(content)


@pytest.fixture
def faults(monkeypatch):
    return Faults(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory, toy):
    """A small model directory, not to be changed."""
    torch.manual_seed(0)
    sizes = {"words": {"width": 4}, "characters": {"width": 4}, "affixes": {"width": 2}}
    path = tmp_path_factory.mktemp("model") / "good"
    Tagger(build(toy, embeddings=sizes, encoder={"width": 5}).eval()).save(path)
    return path


def content(folder):
    """Every file below a folder, with what it holds."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def every_fault(faults, folder, action, error=FULL):
    """Run an action with a fault at each call in turn; what there is after each, and was said."""
    before = content(folder)
    for number in range(1, 1000):
        with faults.at(number, error):
            try:
                said = action()
            except type(error) as raised:
                said = raised
        yield said, content(folder), before
        if faults.calls < number:
            break  # there was no such call any more: the action went through
        shutil.rmtree(folder)
        for name, old in before.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(old)


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_model_is_the_old_or_the_new_one(faults, model, tmp_path, monkeypatch, exchange, error):
    if not exchange:
        monkeypatch.setattr(atomic, "_swap", lambda one, other: False)
    folder = tmp_path / "models"
    shutil.copytree(model, folder / "mine")
    tagger = ner.load(model)
    with torch.no_grad():
        tagger.network.projection.bias += 1.0
    tagger.save(tmp_path / "new")
    known = [content(folder / "mine"), content(tmp_path / "new")]
    seen = []
    for said, _, before in every_fault(faults, folder, lambda: tagger.save(folder / "mine"), error):
        atomic.recover(folder / "mine")
        assert set(content(folder)) == set(before), said
        seen.append(known.index(content(folder / "mine")))
        if isinstance(said, OSError):
            assert (said.filename, said.errno) == (str(folder / "mine"), FULL.errno)
    assert set(seen) == {0, 1}
    assert len(seen) > 15
    assert ner.load(folder / "mine").labels == tagger.labels


def test_a_checkpoint_leaves_those_before_it(faults, tmp_path):
    folder = tmp_path / "checkpoints"
    write_checkpoint(folder, 1, Checkpoint({"n": 1}, {"t": torch.ones(3)}))

    for said, now, before in every_fault(
        faults,
        folder,
        lambda: write_checkpoint(folder, 2, Checkpoint({"n": 2}, {"t": torch.ones(3)})),
    ):
        newest, remarks = newest_checkpoint(folder)
        assert newest is not None
        assert not remarks
        assert set(now) - set(before) in (set(), {f"step-2/{name}" for name in (STATE, TENSORS)})
        assert before.items() <= now.items()
        assert said is None or "step-2: cannot be written" in _told(said)


def _told(error):
    return f"{error.filename}: {error.strerror}"


COMMANDS = {
    "report": ["evaluate", "{gold}", "--predictions", "{gold}", "--html", "{out}/report.html"],
    "json": ["evaluate", "{gold}", "--predictions", "{gold}", "--json", "{out}/report.json"],
    "conll": ["convert", "{gold}", "{out}/a.conll", "--scheme", "BIOES"],
    "jsonl": ["convert", "{gold}", "{out}/a.jsonl"],
    "gzip": ["convert", "{gold}", "{out}/a.conll.gz"],
    "docbin": ["convert", "{gold}", "{out}/a.spacy"],
    "brat": ["convert", "{gold}", "{out}/brat", "--to", "brat"],
    "tagged": ["tag", "{model}", "{gold}", "--output", "{out}/a.jsonl", "--quiet"],
    "each": ["tag", "{model}", "{gold}", "--to", "conll", "--output-dir", "{out}", "--quiet"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_output_is_whole_or_what_was_there(faults, model, tmp_path, command, capsys):
    gold = tmp_path / "gold.conll"
    text = sample_path("test").read_text(encoding="utf-8")
    gold.write_text("\n\n".join(text.split("\n\n")[:3]) + "\n\n", encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    names = {"gold": gold, "out": out, "model": model}
    call = [part.format_map(names) for part in COMMANDS[command]]
    assert main(call) == 0
    whole = content(out)
    shutil.rmtree(out)
    out.mkdir()
    if command not in ("brat", "each"):  # which never replace anything
        for name in whole:
            (out / name).write_text("old", encoding="utf-8")
    capsys.readouterr()
    statuses = []
    for status, now, before in every_fault(faults, out, lambda: main(call)):
        told = capsys.readouterr().err
        statuses.append(status)
        assert now in ((before, whole) if status else (whole,))  # the last flush is of the folder
        if status:
            assert status == 2
            assert told.startswith("error: ")
            assert "No space left" in told
            assert re.match(r"error: /\S+: (cannot be written: )?No space left", told)
            assert str(out) in told or command == "each"  # which makes temporary files too
            assert told.count("\n") == 1
    assert len(statuses) > 3
    assert statuses[-1] == 0
    assert set(statuses) == {0, 2}
