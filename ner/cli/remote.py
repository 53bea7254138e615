"""Remote files (``s3://``, ``gs://``, ``hdfs://``, ``file://``), accessed with fsspec."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path

from ner.errors import DataError
from ner.storage.addresses import is_remote, reaching


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


def exists(path: str) -> bool:
    """Return whether a file exists."""
    if not is_remote(path):
        return Path(path).exists()
    with reaching(path) as (system, place):
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
            with reaching(source) as (system, place):
                system.get_file(place, here)
        try:
            yield here, there
        except DataError as error:
            raise error.renamed(here, source) from None
        if is_remote(target):
            with reaching(target) as (system, place):
                system.put_file(there, place)


def _expand_remote(pattern: str) -> list[str]:
    address, mark, settings = pattern.partition("?")
    if not has_magic(address):
        return [pattern]
    with reaching(pattern) as (system, place):
        found = system.glob(place, detail=True)
    start = address[: len(address) - len(place)]
    matches = sorted(name for name, facts in found.items() if facts["type"] == "file")
    if not matches:
        raise FileNotFoundError(2, "no file matches", pattern)
    return [f"{start}{name}{mark}{settings}" for name in matches]


def _name(path: str) -> str:
    return path.partition("?")[0].rpartition("/")[2]
