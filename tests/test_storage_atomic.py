"""Files are whole or not there."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ner.storage import atomic
from ner.storage.atomic import atomic_directory, atomic_write, recover, remove_stale, write_text
from ner.storage.locks import directory_lock


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old\n")

    def write_half():
        with atomic_write(path) as file:
            file.write("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old\n"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_directory_is_replaced_as_a_whole(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(atomic, "_swap", lambda one, other: False)
    path = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_directory(path, holds="a") as folder:
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
        refused = pytest.raises(FileExistsError, match="already exists")
        with refused, atomic_directory(there, holds=holds) as folder:
            (folder / "a").write_text("new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["keep"]


@pytest.mark.parametrize("fault", ["fsync", "replace", "mkdir"])
@pytest.mark.parametrize("call", range(4))
def test_a_fault_at_any_call_leaves_the_old_directory_whole(tmp_path, monkeypatch, fault, call):
    """The k-th flush, rename or new folder fails: what was there can still be read."""
    path = tmp_path / "model"
    with atomic_directory(path, holds="a") as folder:
        (folder / "a").write_text("old")
    monkeypatch.setattr(atomic, "_swap", lambda one, other: False)
    calls = []
    owner = Path if fault == "replace" else os
    real = getattr(owner, fault)

    def failing(*arguments, **keywords):
        calls.append(1)
        if len(calls) == call + 1:
            raise OSError(28, "No space left on device")
        return real(*arguments, **keywords)

    monkeypatch.setattr(owner, fault, failing)
    with contextlib.suppress(OSError), atomic_directory(path, holds="a") as folder:
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
    with atomic_directory(tmp_path / "linked", holds="a") as folder:
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
    with atomic_write(path) as one:
        one.write("one")
        with atomic_write(path) as other:
            other.write("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    with atomic_directory(tmp_path / "m", holds="a") as one:
        (one / "a").write_text("one")
        with atomic_directory(tmp_path / "m", holds="a") as other:
            (other / "a").write_text("other")
    assert (tmp_path / "m" / "a").read_text() == "one"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "m"]


KILLED = """
import os, signal, sys
from pathlib import Path
from ner.storage.atomic import atomic_write, atomic_directory
with atomic_write(Path("a.txt")) as file, atomic_directory(Path("m"), holds="a") as folder:
    file.write("half")
    (folder / "a").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        ".a.txt.part",
        ".a.txt.part.lock",
        ".m.part",
        ".m.part.lock",
    ]
    write_text(tmp_path / "a.txt", "whole")
    with atomic_directory(tmp_path / "m", holds="a") as folder:
        (folder / "a").write_text("whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "m"]
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    with atomic_write(tmp_path / "other") as file:
        file.write("being written")
        remove_stale(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.txt", "m", "other"]


def test_what_is_being_made_is_never_taken_for_something_left(tmp_path, monkeypatch):
    """Another writer removes what is stale in the moment after a name was made."""
    path, names, mkdir = tmp_path / "m", [], Path.mkdir

    def make(name, **options):
        mkdir(name, **options)
        if name != tmp_path:
            names.append(name.name)
            remove_stale(tmp_path)

    monkeypatch.setattr(Path, "mkdir", make)
    with atomic_directory(path) as folder:
        (folder / "a").write_text("new")
    assert names == [".m.part"]
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
    assert (path / "a").read_text() == "new"


@pytest.mark.parametrize("exchange", [True, False])
def test_the_old_directory_keeps_its_name_when_the_new_one_is_removed(
    tmp_path, monkeypatch, exchange
):
    if not exchange:
        monkeypatch.setattr(atomic, "_swap", lambda one, other: False)
    path = tmp_path / "m"
    path.mkdir()
    (path / "a").write_text("old")
    put_back = atomic._put_back

    def put_back_and_remove(target):
        put_back(target)
        (tmp_path / ".m.part" / "a").unlink()
        (tmp_path / ".m.part").rmdir()

    monkeypatch.setattr(atomic, "_put_back", put_back_and_remove)
    with (
        pytest.raises(FileNotFoundError, match="cannot be written"),
        atomic_directory(path, holds="a") as folder,
    ):
        (folder / "a").write_text("new")
    assert (path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_writers_at_once_leave_one_whole_directory(tmp_path):
    """Eight threads replace one directory again and again; what is there is one's, whole."""
    path, ends = tmp_path / "m", []

    def write(number):
        for _ in range(10):
            with atomic_directory(path, holds="a") as folder:
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
    """The thread that holds the lock does not come along; the child waits for the parent's."""
    path, holds, ends = tmp_path / "m", threading.Event(), threading.Event()

    def hold():
        with directory_lock(path):
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
            with atomic_directory(path, holds="a") as folder:
                (folder / "a").write_text("child")
            status = 0
        finally:
            os._exit(status)
    time.sleep(0.1)
    assert not path.exists()
    ends.set()
    holder.join()
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert (path / "a").read_text() == "child"


def test_a_second_rename_that_fails_leaves_the_old_directory_in_its_place(tmp_path, monkeypatch):
    """A file system that cannot exchange names: nobody may find the name missing meanwhile."""
    path, replace, renames = tmp_path / "m", Path.replace, []
    with atomic_directory(path, holds="a") as folder:
        (folder / "a").write_text("old")
    monkeypatch.setattr(atomic, "_swap", lambda one, other: False)

    def failing(name, target):
        renames.append(name.name)
        if len(renames) == 2:
            raise OSError(errno.EIO, "Input/output error", str(name))
        return replace(name, target)

    monkeypatch.setattr(Path, "replace", failing)
    with (
        pytest.raises(OSError, match="cannot be written"),
        atomic_directory(path, holds="a") as folder,
    ):
        (folder / "a").write_text("new")
    assert renames == ["m", ".m.part", ".m.old"]
    assert (path / "a").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_cannot_flush_is_written_all_the_same(tmp_path, monkeypatch, number):
    def unsupported(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", unsupported)
    write_text(tmp_path / "a.txt", "new")
    with atomic_directory(tmp_path / "m") as folder:
        (folder / "a").write_text("new")
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "m" / "a").read_text() == "new"


def test_permissions_that_cannot_be_set_matter_only_where_others_could_read_more(
    tmp_path, monkeypatch
):
    shared, private = tmp_path / "shared", tmp_path / "private"
    for path, mode in ((shared, 0o666), (private, 0o600)):
        path.write_text("old")
        path.chmod(mode)

    def refused(path, mode):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refused)
    write_text(shared, "new")
    with pytest.raises(PermissionError, match="cannot be written"):
        write_text(private, "new")
    assert (shared.read_text(), private.read_text()) == ("new", "old")


@pytest.mark.parametrize("length", [223, 250, 255])
def test_the_longest_names_can_be_written(tmp_path, length):
    file, folder = tmp_path / ("f" * length), tmp_path / ("d" * length)
    for content in ("old", "new"):
        write_text(file, content)
        with atomic_directory(folder, holds="a") as fresh:
            (fresh / "a").write_text(content)
    assert file.read_text() == (folder / "a").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 2
