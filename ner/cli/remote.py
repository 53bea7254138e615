"""Remote files (``s3://``, ``gs://``, ``hdfs://``, ``file://``), accessed with fsspec."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ner.errors import ConfigError, DataError

REMOTE = "://"
_NUMBERS = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
}  # for errors without an errno


def is_remote(path: str) -> bool:
    """Return whether a path is a URL."""
    return REMOTE in path


def expand(patterns: Iterable[str]) -> list[str]:
    """Return the files that paths, URLs, and globs of either stand for.

    Raises:
        OSError: A glob matches no file.
        ConfigError: A URL cannot be used.
    """
    from ner.formats import expand as expand_local

    found: list[str] = []
    for pattern in patterns:
        if is_remote(pattern):
            found += _expand_remote(pattern)
        else:
            found += map(str, expand_local(pattern))
    return found


def joined(folder: str, name: str) -> str:
    """Return the path or URL of a file in a folder, keeping the settings of the URL."""
    if not is_remote(folder):
        return str(Path(folder) / name)
    place, mark, settings = folder.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{settings}"


def exists(path: str) -> bool:
    """Return whether a file exists."""
    if not is_remote(path):
        return Path(path).exists()
    with _reaching(path) as (system, place):
        return bool(system.exists(place))


@contextmanager
def nearby(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Give a local copy to read, and a local path to write, which is uploaded at the end.

    Local files are used directly. An object store shows a file only once it is complete.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = str(Path(folder) / _name(source)) if is_remote(source) else source
        there = str(Path(folder) / "tagged") if is_remote(target) else target
        if is_remote(source):
            with _reaching(source) as (system, place):
                system.get_file(place, here)
        try:
            yield here, there
        except DataError as error:
            raise error.renamed(here, source) from None
        if is_remote(target):
            with _reaching(target) as (system, place):
                system.put_file(there, place)


def _expand_remote(pattern: str) -> list[str]:
    address, mark, settings = pattern.partition("?")
    if not has_magic(address):
        return [pattern]
    with _reaching(pattern) as (system, place):
        found = system.glob(place, detail=True)
    start = address[: len(address) - len(place)]
    matches = sorted(name for name, facts in found.items() if facts["type"] == "file")
    if not matches:
        raise FileNotFoundError(2, "no file matches", pattern)
    return [f"{start}{name}{mark}{settings}" for name in matches]


def _name(path: str) -> str:
    return path.partition("?")[0].rpartition("/")[2]


@contextmanager
def _reaching(address: str) -> Iterator[tuple[Any, str]]:
    """Give the file system of a URL and the path in it; errors name the URL.

    Raises:
        ConfigError: The URL cannot be used, or its fsspec driver is not installed.
        OSError: The file cannot be read or written.
    """
    from fsspec.core import url_to_fs

    url, _, settings = address.partition("?")
    try:
        yield url_to_fs(url, **dict(parse_qsl(settings)))
    except OSError as error:
        number = error.errno or _NUMBERS.get(type(error), errno.EIO)
        raise OSError(number, error.strerror or os.strerror(number), address) from error
    except Exception as error:  # each kind of store has its own errors
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{address}: {reason[0]}") from error
