"""States of a transformer, kept on disk while it is frozen, or in memory within a bound."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ner.storage.atomic import atomic_write, write_bytes

Floats = NDArray[np.float32]
DIGEST = 32  # bytes of a key
REMEMBERED = 64 << 20  # bytes of states kept in memory


class Features:
    """Rows of float32 by the hash of what they were computed from.

    Each ``add`` leaves two files: the rows (``HASH.npy``), then their keys and counts
    (``HASH.keys``). Both take their names when they are whole, so processes may share a folder
    and one that is killed harms nobody.

    Args:
        folder: Where they are kept; made if it is not there.

    Raises:
        OSError: The folder cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bytes, tuple[str, int, int]] = {}  # the file, and which of its rows
        self._files: dict[str, Floats] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.glob("*.keys")):
            self._learn(file.stem, file.read_bytes())

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: bytes) -> Floats | None:
        """The rows of a key, ``(rows, width)``, where they are known."""
        place = self._known.get(_hashed(key))
        if place is None:
            return None
        name, start, end = place
        if name not in self._files:
            self._files[name] = np.load(self._folder / f"{name}.npy", mmap_mode="r")
        return self._files[name][start:end]

    def add(self, found: Mapping[bytes, Floats]) -> None:
        """Write down the rows of some keys.

        Raises:
            OSError: They cannot be written; what was there is untouched.
        """
        keys = np.frombuffer(b"".join(map(_hashed, found)), np.uint8).reshape(-1, DIGEST)
        counts = np.array([len(rows) for rows in found.values()], "<i8").view(np.uint8)
        records = np.concatenate((keys, counts.reshape(-1, 8)), axis=1).tobytes()
        name = hashlib.sha256(records).hexdigest()
        with atomic_write(self._folder / f"{name}.npy", "wb") as file:
            np.save(file, np.concatenate(list(found.values())), allow_pickle=False)
        write_bytes(self._folder / f"{name}.keys", records)
        self._learn(name, records)

    def _learn(self, name: str, records: bytes) -> None:
        table = np.frombuffer(records, np.uint8).reshape(-1, DIGEST + 8)
        counts = table[:, DIGEST:].copy().view("<i8").ravel().tolist()
        end = 0
        for key, count in zip(table[:, :DIGEST], counts, strict=True):
            self._known[key.tobytes()] = (name, end, end + count)
            end += count


class Memory:
    """The states of the windows that were read last, within a bound. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._version: tuple[int, ...] | None = None
        self._known: dict[bytes, Floats] = {}
        self._bytes = 0

    def at(self, version: tuple[int, ...]) -> Self:
        """Itself, with all forgotten if the weights have changed."""
        with self._lock:
            if version != self._version:
                self._version, self._known, self._bytes = version, {}, 0
        return self

    def find(self, key: bytes) -> Floats | None:
        return self._known.get(key)

    def add(self, fresh: Mapping[bytes, Floats]) -> None:
        with self._lock:
            self._known.update(fresh)
            self._bytes += sum(states.nbytes for states in fresh.values())
            while self._bytes > REMEMBERED and self._known:
                self._bytes -= self._known.pop(next(iter(self._known))).nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, ()


def _hashed(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def default_folder() -> Path:
    """Where features are kept unless a configuration says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "ner" / "features"
    with contextlib.suppress(RuntimeError):  # no home
        return Path.home() / ".cache" / "ner" / "features"
    return Path(tempfile.gettempdir()) / "ner-features"
