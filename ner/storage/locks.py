"""Locks on files, directories and runs, on every system that Python runs on.

A lock is a file ``.NAME.lock`` beside what it protects, held by `filelock`. The system releases it
when the process ends, however it ends; whoever releases it removes the file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from filelock import BaseFileLock

LONGEST_NAME = 255  # bytes of a file name on most systems
SPARE = 32  # bytes of them reserved for `.`, a random part and `.part.lock`
POLL = 0.01  # seconds between two attempts at a lock that another process holds


def beside(path: Path, kind: str) -> Path:
    """Return the hidden name ``.NAME.KIND`` of a file that accompanies another.

    A name too long for that is replaced by its hash.
    """
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME - SPARE:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return path.with_name(f".{name}.{kind}")


def acquire(file: Path, *, wait: bool = False) -> BaseFileLock | None:
    """Lock a file, which is created if it is missing.

    Returns:
        The lock, to be released by ``release``; ``None`` if another process holds it.

    Raises:
        OSError: The file cannot be created.
    """
    from filelock import FileLock, Timeout  # takes 20 ms, and only writers need it

    lock = FileLock(file, thread_local=False, poll_interval=POLL)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        return None
    return lock


def release(lock: BaseFileLock) -> None:
    """Release a lock and remove its file; do nothing in a forked process, which has no lock."""
    if not lock.is_locked:
        return
    with contextlib.suppress(OSError):  # Windows removes the file itself
        Path(lock.lock_file).unlink()  # before the release: a waiting process notices, and retries
    lock.release()


@contextlib.contextmanager
def directory_lock(path: Path) -> Iterator[None]:
    """Prevent others from replacing a directory while the block runs.

    Raises:
        OSError: The lock file cannot be created.
    """
    lock = acquire(beside(Path(os.path.realpath(path)), "lock"), wait=True)
    assert lock is not None, "acquire waited for the lock"
    try:
        yield
    finally:
        release(lock)


class RunLock:
    """Locks a folder against other processes for as long as the object lives.

    Args:
        folder: The folder, with links resolved.

    Raises:
        BlockingIOError: Another process holds the lock.
        OSError: The lock file cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = acquire(beside(folder, "running"))
        if self._lock is None:
            raise BlockingIOError(errno.EAGAIN, "in use by another process", str(folder))

    @property
    def in_place(self) -> bool:
        """Return whether the lock file still exists, where other processes look for it."""
        return self._lock is not None and Path(self._lock.lock_file).exists()

    def __del__(self) -> None:
        if (lock := getattr(self, "_lock", None)) is not None:
            release(lock)


_RUN_LOCKS: WeakValueDictionary[Path, RunLock] = WeakValueDictionary()  # of this process


def run_lock(folder: Path) -> RunLock:
    """Lock a folder for this process; several holders in the process share the lock.

    Args:
        folder: The folder; it is created if it is missing.

    Raises:
        BlockingIOError: Another process holds the lock.
        OSError: The folder or the lock file cannot be created.
    """
    target = Path(os.path.realpath(folder))
    target.mkdir(parents=True, exist_ok=True)
    known = _RUN_LOCKS.get(target)
    if known is None or not known.in_place:
        _RUN_LOCKS[target] = known = RunLock(target)
    return known
