"""Atomic files and directories: written beside their target, flushed, then renamed.

An unfinished file is called ``.NAME.part``, and its writer holds the lock ``.NAME.part.lock``. If a
process was killed, nobody holds the lock any more, and the next writer removes the file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ner.storage.locks import acquire, beside, directory_lock, release

if TYPE_CHECKING:
    from filelock import BaseFileLock

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors that only writing causes
_UNSUPPORTED = (
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
)  # not supported by a file system


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w", *, encoding: str | None = None) -> Iterator[IO[Any]]:
    """Open a file that replaces ``path`` only when it is completely on disk.

    If the block fails, the existing file is unchanged. Links are followed, and permissions are
    kept. A pipe, a device or ``/dev/stdout`` cannot be replaced and is written directly.

    Args:
        path: The file to write.
        mode: ``"w"`` for text (UTF-8 by default) or ``"wb"``.
        encoding: The encoding of text.

    Raises:
        OSError: The file cannot be written; the error names it.
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
        _keep_mode(fresh, stat.S_IMODE(before))
        fresh.replace(target)


def write_text(path: Path, text: str) -> None:
    """Write a whole file of text."""
    with atomic_write(path) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file of bytes."""
    with atomic_write(path, "wb") as file:
        file.write(content)


@contextlib.contextmanager
def atomic_directory(path: Path, *, holds: str | None = None) -> Iterator[Path]:
    """Create a directory that replaces ``path`` only when it is completely on disk.

    If the system can exchange two names, the old directory is replaced in one step. Otherwise it is
    moved aside first, and ``recover`` restores it after a crash in between.

    Args:
        path: The directory to write.
        holds: The name of a file that a replaceable directory has; see ``check_replaceable``.

    Raises:
        OSError: The directory cannot be written; the error names it.
    """
    check_replaceable(path, holds=holds)
    with _beside(path, Path.mkdir) as (fresh, target):
        yield fresh
        for one in fresh.rglob("*"):
            _flush_path(one)
        _flush_path(fresh)
        with directory_lock(target):
            _put_back(target)
            _exchange(fresh, target)


def check_replaceable(path: Path, *, holds: str | None = None) -> None:
    """Check that writing a directory does not overwrite other files.

    Args:
        path: The directory to write; it may be missing or empty.
        holds: A directory with a file of this name may be replaced, too.

    Raises:
        FileExistsError: The path is something else.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if holds is not None and (path / holds).is_file():
        return
    why = "is not an empty directory" if holds is None else f"does not contain {holds}"
    message = f"already exists and {why}, so it is not overwritten; choose another name"
    raise FileExistsError(errno.EEXIST, message, str(path))


def recover(path: Path) -> None:
    """Restore a directory that a crash left moved aside, unless it is being replaced now."""
    if path.exists() or not _aside(path).exists():
        return
    with contextlib.suppress(OSError):  # without write permission it stays missing
        lock = acquire(beside(Path(os.path.realpath(path)), "lock"))
        if lock is None:
            return
        try:
            _put_back(path)
        finally:
            release(lock)


def remove_stale(folder: Path) -> None:
    """Remove unfinished files and directories of killed processes from a folder."""
    for lock in folder.glob(".*.lock"):
        _remove_if_stale(lock.with_suffix(""))
    for part in folder.glob(".*.part"):
        _remove_if_stale(part)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is remembered until the file changes."""
    facts = path.stat()
    return _known_sha256(path, facts.st_size, facts.st_mtime_ns)


@cache
def _known_sha256(path: Path, size: int, changed: int) -> str:
    return sha256(path)


@contextlib.contextmanager
def _beside(path: Path, make: Callable[..., None]) -> Iterator[tuple[Path, Path]]:
    """Create an unfinished file or directory, and remove it at the end if it still exists.

    Args:
        path: The path to replace, as the user wrote it.
        make: Creates the file or directory, which must not exist.

    Yields:
        The unfinished one, and the path to replace, with links resolved.
    """
    target = Path(os.path.realpath(path))
    fresh = beside(target, "part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh, lock = _made(target, make)
        try:
            yield fresh, target
        finally:
            _remove(fresh)
            release(lock)
        _flush_path(target.parent)
    except OSError as error:
        if not _is_of(error, fresh):
            raise
        why = f"cannot be written: {error.strerror}"
        raise OSError(error.errno, why, str(path)) from error


def _made(target: Path, make: Callable[..., None]) -> tuple[Path, BaseFileLock]:
    """Create ``.NAME.part``, or one with a random name if another writer holds that.

    Returns:
        Its path and the lock on it.
    """
    fresh = beside(target, "part")
    while True:
        lock = acquire(_lock_of(fresh))
        if lock is not None:
            try:
                _remove(fresh)  # a killed process left it
                make(fresh, exist_ok=False)
            except FileExistsError:  # left by another writer and not removable
                release(lock)
            except BaseException:
                release(lock)
                raise
            else:
                return fresh, lock
        fresh = beside(target, f"{os.urandom(4).hex()}.part")


def _lock_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.lock")


def _remove_if_stale(part: Path) -> None:
    """Remove an unfinished file, unless it is still being written."""
    lock = acquire(_lock_of(part))
    if lock is None:
        return
    if part.suffix == ".part":
        _remove(part)
    release(lock)


def _remove(name: Path) -> None:
    if name.is_dir():
        from shutil import rmtree

        rmtree(name, ignore_errors=True)
    else:
        name.unlink(missing_ok=True)


def _is_of(error: OSError, fresh: Path) -> bool:
    """Return whether an error was caused by writing, rather than by reading in the block."""
    if error.filename is None:
        return error.errno in FULL
    path = Path(os.fsdecode(error.filename))
    ours = path.parent == fresh.parent and path.suffix == ".lock" and path.name.startswith(".")
    return ours or path == fresh.parent or path.is_relative_to(fresh)


def _keep_mode(fresh: Path, mode: int) -> None:
    """Copy the permissions of the file to replace, if there is one."""
    now = stat.S_IMODE(fresh.stat().st_mode)
    if mode in (0, now):
        return
    try:
        fresh.chmod(mode)
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.EPERM) or now & ~mode:
            raise  # the new file would be readable by more users


def _flush_path(path: Path) -> None:
    """Make the content of a file, or the names in a directory, durable."""
    how = os.O_RDONLY if os.name == "posix" else os.O_RDWR  # Windows needs write access to flush
    try:
        handle = os.open(path, how)
    except PermissionError:
        if path.is_dir():
            return  # Windows cannot open directories
        raise
    try:
        _flush(handle, path)
    finally:
        os.close(handle)


def _flush(handle: int, path: Path) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return  # nothing more can be done here
        raise OSError(error.errno, error.strerror, str(path)) from error


def _aside(path: Path) -> Path:
    """Return the path that a directory is moved to while it is replaced."""
    return beside(Path(os.path.realpath(path)), "old")


def _put_back(path: Path) -> None:
    if not path.exists() and _aside(path).exists():
        _aside(path).replace(path)


def _exchange(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path`` and remove the old directory; the caller holds the lock."""
    if not path.exists():
        new.replace(path)
        return
    if _swap(new, path):
        _remove(new)
        return
    new.lstat()  # fail before moving the old one aside if ``new`` was removed in the meantime
    aside = _aside(path)
    _remove(aside)
    path.replace(aside)
    try:
        new.replace(path)
    except BaseException:
        _put_back(path)
        raise
    _remove(aside)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two names in one step (Linux ``renameat2``); return whether it succeeded."""
    import ctypes  # costs milliseconds, and only a replaced directory needs it

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done: int = renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )
    return done == 0
