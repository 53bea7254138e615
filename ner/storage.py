"""Files that are whole or not there: written beside, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def replacing(path: Path, mode: str = "w", *, encoding: str | None = None) -> Iterator[IO[Any]]:
    """Open a file that takes its name only when all of it is on disk.

    Whatever goes wrong inside the block, the file that had the name before is untouched.

    Args:
        path: The name the file will have.
        mode: ``"w"`` for text (UTF-8 unless told otherwise) or ``"wb"``.
        encoding: Of text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    beside = Path(name)
    try:
        if "b" not in mode:
            encoding, newline = encoding or "utf-8", "\n"
        else:
            newline = None
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a whole file of text."""
    with replacing(path) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file of bytes."""
    with replacing(path, "wb") as file:
        file.write(content)


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """A fresh directory that takes the place of ``path`` only when it is whole and on disk.

    The old directory is swapped out in one step where the system can exchange two names;
    elsewhere it is moved aside first, and ``recover`` puts it back after a crash in between.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        beside.chmod(0o777 & ~_umask())
        yield beside
        for file in beside.rglob("*"):
            sync_directory(file) if file.is_dir() else _sync_file(file)
        sync_directory(beside)
        _exchange(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_directory(path.parent)


def recover(path: Path) -> None:
    """Put back a directory that a crash left moved aside, if there is one."""
    aside = _aside(path)
    if not path.exists() and aside.exists():
        aside.replace(path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _exchange(new: Path, path: Path) -> None:
    """Give ``new`` the name ``path``; what had that name is removed afterwards."""
    if not path.exists():
        new.replace(path)
        return
    if _swap(new, path):
        return  # the old directory now has the temporary name, which the caller removes
    aside = _aside(path)
    shutil.rmtree(aside, ignore_errors=True)
    path.replace(aside)
    new.replace(path)
    shutil.rmtree(aside, ignore_errors=True)


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
