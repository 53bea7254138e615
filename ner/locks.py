"""Locks on files and directories, where the system has them: who writes, and who may not.

A lock is a handle of the system's, which gives it up when the process ends, however it ends. A name
may be given to something else while one waits for its lock, so that has to be looked at again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakValueDictionary

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock(name: Path, *, wait: bool, shared: bool = False, missing_ok: bool = True) -> int | None:
    """Lock a file or directory.

    Returns:
        A handle that holds the lock until it is closed; ``None`` where somebody else holds it,
        nothing is there, or the system has no such locks.

    Raises:
        FileNotFoundError: Nothing is there, and ``missing_ok`` is false.
    """
    try:
        return _locked(name, wait=wait, shared=shared)
    except FileNotFoundError:
        if missing_ok:
            return None
        raise
    except OSError:
        return None


def _locked(name: Path, *, wait: bool, shared: bool = False) -> int | None:
    """A handle that holds a lock until it is closed; ``None`` where there are no such locks.

    Raises:
        BlockingIOError: Somebody else holds it.
        OSError: It cannot be opened.
    """
    if fcntl is None:
        return None
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


def close(handle: int | None) -> None:
    """Let go of a lock, if there is one."""
    if handle is not None:
        os.close(handle)


def is_at(handle: int, name: Path) -> bool:
    """Whether a name is still that of what is locked."""
    try:
        return os.path.samestat(os.fstat(handle), name.lstat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Let nobody replace a directory while the block runs, but who does not know of such locks.

    Args:
        path: The directory; there may be none.
        shared: Whether others may hold it at the same time, as readers do.
    """
    target = Path(os.path.realpath(path))
    ours = lock(target, wait=True, shared=shared)
    while ours is not None and not is_at(ours, target):  # it was replaced while we waited
        close(ours)
        ours = lock(target, wait=True, shared=shared)
    try:
        yield
    finally:
        close(ours)


class Claim:
    """A folder that no other process can claim, as long as the object is there.

    Args:
        folder: The folder, its links followed; it is made where it is missing.

    Raises:
        BlockingIOError: It is another process's.
        OSError: It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = _claimed(folder)

    def holds(self, folder: Path) -> bool:
        """Whether it is still this folder that has the name."""
        return self._handle is None or is_at(self._handle, folder)

    def __del__(self) -> None:
        close(getattr(self, "_handle", None))


_CLAIMS: WeakValueDictionary[Path, Claim] = WeakValueDictionary()  # those of this process


def claim(folder: Path) -> Claim:
    """Claim a folder for this process, in which several may hold the claim together.

    Args:
        folder: The folder; it is made where it is missing.

    Raises:
        BlockingIOError: Another process has claimed it.
        OSError: It cannot be made.
    """
    target = Path(os.path.realpath(folder))
    known = _CLAIMS.get(target)
    if known is None or not known.holds(target):
        _CLAIMS[target] = known = Claim(target)
    return known


def _claimed(folder: Path) -> int | None:
    """A handle that holds a folder until it is closed; ``None`` where there are no such locks."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = _locked(folder, wait=False)
        except FileNotFoundError:
            continue  # whose it was, has just removed it
        if handle is None or is_at(handle, folder):
            return handle
        os.close(handle)
