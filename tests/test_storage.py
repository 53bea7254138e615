"""Files are whole or not there."""

import contextlib
import os
from pathlib import Path

import pytest

from ner import storage
from ner.storage import recover, replacing, replacing_directory, write_text


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old\n")

    def write_half():
        with replacing(path) as file:
            file.write("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old\n"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_directory_is_replaced_as_a_whole(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(storage, "_swap", lambda one, other: False)
    path = tmp_path / "model"
    for content in ("old", "new"):
        with replacing_directory(path) as folder:
            (folder / "a").write_text(content)
    assert (path / "a").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("fault", ["fsync", "replace", "mkdir"])
@pytest.mark.parametrize("call", range(4))
def test_a_fault_at_any_call_leaves_the_old_directory_whole(tmp_path, monkeypatch, fault, call):
    """The k-th flush, rename or new folder fails: what was there can still be read."""
    path = tmp_path / "model"
    with replacing_directory(path) as folder:
        (folder / "a").write_text("old")
    monkeypatch.setattr(storage, "_swap", lambda one, other: False)
    calls = []
    owner = Path if fault == "replace" else os
    real = getattr(owner, fault)

    def failing(*arguments, **keywords):
        calls.append(1)
        if len(calls) == call + 1:
            raise OSError(28, "No space left on device")
        return real(*arguments, **keywords)

    monkeypatch.setattr(owner, fault, failing)
    with contextlib.suppress(OSError), replacing_directory(path) as folder:
        (folder / "a").write_text("new")
    monkeypatch.undo()
    recover(path)
    assert (path / "a").read_text() in ("old", "new")
