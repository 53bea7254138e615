"""Files are whole or not there."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ner import storage
from ner.storage import recover, replacing, replacing_directory, sweep, write_text


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
        with replacing_directory(path, holds="a") as folder:
            (folder / "a").write_text(content)
    assert (path / "a").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_the_folder_one_is_in_can_be_recovered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recover(Path())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("holds", [None, "tagger.json"])
def test_what_somebody_else_put_there_is_not_replaced(tmp_path, holds):
    (tmp_path / "file").write_text("keep")
    for there in (tmp_path / "file", tmp_path):
        refused = pytest.raises(FileExistsError, match="is there already")
        with refused, replacing_directory(there, holds=holds) as folder:
            (folder / "a").write_text("new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["keep"]


@pytest.mark.parametrize("fault", ["fsync", "replace", "mkdir"])
@pytest.mark.parametrize("call", range(4))
def test_a_fault_at_any_call_leaves_the_old_directory_whole(tmp_path, monkeypatch, fault, call):
    """The k-th flush, rename or new folder fails: what was there can still be read."""
    path = tmp_path / "model"
    with replacing_directory(path, holds="a") as folder:
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
    with contextlib.suppress(OSError), replacing_directory(path, holds="a") as folder:
        (folder / "a").write_text("new")
    monkeypatch.undo()
    recover(path)
    assert (path / "a").read_text() in ("old", "new")


def test_what_is_no_file_is_written_and_not_replaced(tmp_path):
    """``--output /dev/stdout``, a named pipe, /dev/null: no rename may take their place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through\n")
    reader.join()
    assert read == ["through\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    (tmp_path / "linked").symlink_to(tmp_path / "there" / "model")
    write_text(tmp_path / "link", "new")
    with replacing_directory(tmp_path / "linked", holds="a") as folder:
        (folder / "a").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "linked").is_symlink()
    assert (tmp_path / "there" / "file").read_text() == "new"
    assert (tmp_path / "there" / "model" / "a").read_text() == "new"


def test_a_file_keeps_its_permissions_and_a_new_one_has_the_usual(tmp_path):
    private, new = tmp_path / "private", tmp_path / "new"
    private.touch(mode=0o600)
    private.chmod(0o600)
    write_text(private, "secret")
    write_text(new, "public")
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert new.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_being_written_is_in_nobodys_way(tmp_path):
    """Two writers of one file, one of them within the other: the last to end is there."""
    path = tmp_path / "a.txt"
    with replacing(path) as one:
        one.write("one")
        with replacing(path) as other:
            other.write("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    with replacing_directory(tmp_path / "m", holds="a") as one:
        (one / "a").write_text("one")
        with replacing_directory(tmp_path / "m", holds="a") as other:
            (other / "a").write_text("other")
    assert (tmp_path / "m" / "a").read_text() == "one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "m"]


KILLED = """
import os, signal, sys
from pathlib import Path
from ner.storage import replacing, replacing_directory
with replacing(Path("a.txt")) as file, replacing_directory(Path("m"), holds="a") as folder:
    file.write("half")
    (folder / "a").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(file.name for file in tmp_path.iterdir()) == [".a.txt.part", ".m.part"]
    write_text(tmp_path / "a.txt", "whole")
    with replacing_directory(tmp_path / "m", holds="a") as folder:
        (folder / "a").write_text("whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "m"]
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    with replacing(tmp_path / "other") as file:
        file.write("being written")
        sweep(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "m", "other"]


def test_what_is_taken_for_something_left_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Another writer sweeps in the moment between the making of a name and the lock on it."""
    path, names, mkdir = tmp_path / "m", [], Path.mkdir

    def make(name, **options):
        mkdir(name, **options)
        if name != tmp_path:
            names.append(name.name)
        if len(names) == 1:
            sweep(tmp_path)

    monkeypatch.setattr(Path, "mkdir", make)
    with replacing_directory(path) as folder:
        (folder / "a").write_text("new")
    assert names == [".m.part"] * 2
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
    assert (path / "a").read_text() == "new"


@pytest.mark.parametrize("exchange", [True, False])
def test_the_old_directory_keeps_its_name_when_the_new_one_is_removed(
    tmp_path, monkeypatch, exchange
):
    if not exchange:
        monkeypatch.setattr(storage, "_swap", lambda one, other: False)
    path = tmp_path / "m"
    path.mkdir()
    (path / "a").write_text("old")
    recover_alone = storage.recover

    def recover_and_remove(target):
        recover_alone(target)
        (tmp_path / ".m.part" / "a").unlink()
        (tmp_path / ".m.part").rmdir()

    monkeypatch.setattr(storage, "recover", recover_and_remove)
    with (
        pytest.raises(FileNotFoundError, match="cannot be written"),
        replacing_directory(path, holds="a") as folder,
    ):
        (folder / "a").write_text("new")
    assert (path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_writers_at_once_leave_one_whole_directory(tmp_path):
    """Eight threads replace one directory again and again; what is there is one's, whole."""
    path, ends = tmp_path / "m", []

    def write(number):
        for _ in range(10):
            with replacing_directory(path, holds="a") as folder:
                (folder / "a").write_text(str(number))
                (folder / "b").write_text(str(number))
        ends.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(ends) == list(range(8))
    assert (path / "a").read_text() == (path / "b").read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_while_a_thread_exchanges_names_writes_on(tmp_path):
    """The thread that holds the lock does not come along, and will never give it back."""
    path, holds, ends = tmp_path / "m", threading.Event(), threading.Event()

    def hold():
        with storage._MUTEX:
            holds.set()
            ends.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    holds.wait()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(300)  # instead of hanging for ever
            with replacing_directory(path, holds="a") as folder:
                (folder / "a").write_text("child")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    ends.set()
    holder.join()
    assert status == 0
    assert (path / "a").read_text() == "child"
