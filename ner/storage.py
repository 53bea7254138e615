"""Files that are whole or not there: written beside, flushed to disk, then renamed.

What is being written is called ``.NAME.part``, and its writer holds a lock on it. What a killed
process left behind so is known by that nobody holds the lock; the next writer removes it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from ner.locks import close, held, is_at, lock

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# Names are exchanged by one thread at a time: between the exchange and the removal of the old
# directory, another thread would take its name for one that is free.
_MUTEX = threading.Lock()


def _renew_mutex() -> None:
    global _MUTEX
    _MUTEX = threading.Lock()  # the thread that held it did not come along


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_mutex)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of writing alone, never of reading


@contextlib.contextmanager
def replacing(path: Path, mode: str = "w", *, encoding: str | None = None) -> Iterator[IO[Any]]:
    """Open a file that takes its name only when all of it is on disk.

    Whatever goes wrong inside the block, the file that had the name before is untouched. A link is
    followed, and the file keeps its permissions. What is no regular file, such as a pipe or
    ``/dev/stdout``, cannot be replaced: it is written as it goes.

    Args:
        path: The name the file will have.
        mode: ``"w"`` for text (UTF-8 unless told otherwise) or ``"wb"``.
        encoding: Of text.

    Raises:
        OSError: The file cannot be written; the error says which.
    """
    encoding, newline = (None, None) if "b" in mode else (encoding or "utf-8", "\n")
    before = path.stat().st_mode if path.exists() else stat.S_IFREG
    if not stat.S_ISREG(before) and not stat.S_ISDIR(before):
        with path.open(mode, encoding=encoding, newline=newline) as stream:
            yield stream
        return
    with _beside(path, Path.touch) as (fresh, target):
        with fresh.open(mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            _flush(file.fileno(), fresh)
        if stat.S_IMODE(before):
            fresh.chmod(stat.S_IMODE(before))
        fresh.replace(target)


def write_text(path: Path, text: str) -> None:
    """Write a whole file of text."""
    with replacing(path) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file of bytes."""
    with replacing(path, "wb") as file:
        file.write(content)


@contextlib.contextmanager
def replacing_directory(path: Path, *, holds: str | None = None) -> Iterator[Path]:
    """A fresh directory that takes the place of ``path`` only when it is whole and on disk.

    The old directory is swapped out in one step where the system can exchange two names;
    elsewhere it is moved aside first, and ``recover`` puts it back after a crash in between.

    Args:
        path: The name the directory will have.
        holds: The name of a file in what may be replaced; see ``check_replaceable``.

    Raises:
        OSError: The directory cannot be written; the error says which.
    """
    check_replaceable(path, holds=holds)
    with _beside(path, Path.mkdir) as (fresh, target):
        yield fresh
        for one in fresh.rglob("*"):
            _flush_path(one)
        _flush_path(fresh)
        recover(target)
        with _MUTEX, held(target):  # the old one is ours until it is gone, whatever its name then
            if _exchange(fresh, target):
                _remove(fresh)


def check_replaceable(path: Path, *, holds: str | None = None) -> None:
    """Refuse to replace what somebody else may have put there.

    Args:
        path: A directory that is to be written; nothing, or an empty directory, may be there.
        holds: A directory with a file of this name may be there too.

    Raises:
        FileExistsError: Something else is.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if holds is not None and (path / holds).is_file():
        return
    why = "is no empty directory" if holds is None else f"has no {holds} in it"
    told = f"is there already, {why}, and is left as it is; give another name"
    raise FileExistsError(errno.EEXIST, told, str(path))


def recover(path: Path) -> None:
    """Put back a directory that a crash left moved aside, if there is one."""
    aside = _aside(path)
    if not path.exists() and aside.exists():
        aside.replace(path)


def sweep(path: Path) -> None:
    """Remove what killed processes left of files or directories being written in a folder."""
    for left in path.glob(".*.part"):
        _remove_if_left(left)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _beside(path: Path, make: Callable[..., None]) -> Iterator[tuple[Path, Path]]:
    """Something new beside what it will replace; gone at the end, if it still has its name then.

    Args:
        path: What it will replace, as the user calls it.
        make: Makes a file or a directory, which must not be there.

    Yields:
        The new one, and what it will replace, links followed.
    """
    target = Path(os.path.realpath(path))
    fresh = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh, ours = _made(fresh, make)
        try:
            yield fresh, target
        finally:
            if ours is None or is_at(ours, fresh):
                _remove(fresh)
            close(ours)
        _flush_path(target.parent)
    except OSError as error:
        if not _is_of(error, fresh):
            raise
        told = f"cannot be written: {error.strerror}"
        raise OSError(error.errno, told, str(path)) from error


def _made(name: Path, make: Callable[..., None]) -> tuple[Path, int | None]:
    """Make something of that name, or of one like it where another process has taken it.

    Returns:
        Its name and the lock on it.
    """
    _remove_if_left(name)
    while True:
        try:
            make(name, exist_ok=False)
        except FileExistsError:
            name = name.with_suffix(f".{secrets.token_hex(4)}.part")
            continue
        # Until it is locked, another writer takes it for something left, and removes it.
        try:
            ours = lock(name, wait=True, missing_ok=False)
        except FileNotFoundError:
            continue
        if ours is None or is_at(ours, name):
            return name, ours
        close(ours)


def _remove_if_left(name: Path) -> None:
    """Remove what a killed process was writing; what somebody is still writing stays."""
    ours = lock(name, wait=False)
    if ours is not None and is_at(ours, name):
        _remove(name)
    close(ours)


def _remove(name: Path) -> None:
    if name.is_dir():
        shutil.rmtree(name, ignore_errors=True)
    else:
        name.unlink(missing_ok=True)


def _is_of(error: OSError, fresh: Path) -> bool:
    """Whether an error came of writing something, rather than of what is read meanwhile."""
    if error.filename is None:
        return error.errno in _FULL
    path = Path(os.fsdecode(error.filename))
    return path == fresh.parent or path.is_relative_to(fresh)


def _flush_path(path: Path) -> None:
    """Make the content of a file, or the names in a directory, durable."""
    if path.is_dir() and os.name != "posix":
        return  # Windows flushes no directories
    handle = os.open(path, os.O_RDONLY)
    try:
        _flush(handle, path)
    finally:
        os.close(handle)


def _flush(handle: int, path: Path) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _aside(path: Path) -> Path:
    """Where what has a name is for the moment in which another takes it; ``.`` has one too."""
    path = Path(os.path.realpath(path))
    return path.with_name(f".{path.name}.old")


def _exchange(new: Path, path: Path) -> bool:
    """Give ``new`` the name ``path``.

    Returns:
        Whether what had that name now has that of ``new``, and is to be removed. Otherwise the
        name of ``new`` is free, and may be another writer's by now.
    """
    if not path.exists():
        try:
            new.replace(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return False  # otherwise another writer was sooner, and is replaced
    if _swap(new, path):
        return True
    new.lstat()  # not to move the old one aside for what somebody has removed meanwhile
    aside = _aside(path)
    shutil.rmtree(aside, ignore_errors=True)
    path.replace(aside)
    new.replace(path)
    shutil.rmtree(aside, ignore_errors=True)
    return False


def _swap(one: Path, other: Path) -> bool:
    """Exchange two names in one step (Linux ``renameat2``); whether that was possible."""
    import ctypes  # costs milliseconds, and only a replaced directory needs it

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done: int = renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )
    return done == 0
