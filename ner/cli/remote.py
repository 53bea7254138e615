"""Files on other machines (``s3://``, ``gs://``, ``hdfs://``, ``file://``), by way of pyarrow."""

from __future__ import annotations

import fnmatch
import glob
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ner.errors import ConfigError

REMOTE = "://"


def is_remote(path: str) -> bool:
    """Whether a path is the address of a file elsewhere."""
    return REMOTE in path


def expand(patterns: Iterable[str]) -> list[str]:
    """The files meant by paths, addresses, and globs of either.

    Raises:
        OSError: A glob matches no file.
        ConfigError: An address cannot be used.
    """
    from ner.formats.lines import expand as expand_local

    found: list[str] = []
    for pattern in patterns:
        if is_remote(pattern):
            found += _expand_remote(pattern)
        else:
            found += map(str, expand_local(pattern))
    return found


def joined(folder: str, name: str) -> str:
    """The path or address of a file in a folder; what follows ``?`` in an address is kept."""
    if not is_remote(folder):
        return str(Path(folder) / name)
    place, mark, settings = folder.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{settings}"


def exists(path: str) -> bool:
    """Whether there is such a file."""
    if not is_remote(path):
        return Path(path).exists()
    system, place = _system(path)
    return bool(system.get_file_info(place).type.name != "NotFound")


@contextmanager
def nearby(source: str, target: str) -> Iterator[tuple[str, str]]:
    """A local copy to read, and a local path to write, which is copied to its place at the end.

    What is local is used as it is. An object store shows a file only when all of it is there.
    """
    from ner.errors import DataError

    with tempfile.TemporaryDirectory() as folder:
        here = str(Path(folder) / _name(source)) if is_remote(source) else source
        there = str(Path(folder) / "tagged") if is_remote(target) else target
        if is_remote(source):
            _copy(source, here)
        try:
            yield here, there
        except DataError as error:
            raise error.renamed(here, source) from None
        if is_remote(target):
            _copy(there, target)


def _expand_remote(pattern: str) -> list[str]:
    place, mark, settings = pattern.partition("?")
    if not glob.has_magic(place):
        return [pattern]
    folder, _, _ = place[: _first_magic(place)].rpartition("/")
    from pyarrow import fs

    system, below = _system(folder + mark + settings)
    wanted = below + place[len(folder) :]
    infos = system.get_file_info(fs.FileSelector(below, recursive=True, allow_not_found=True))
    matches = sorted(
        f"{folder}{info.path.removeprefix(below)}{mark}{settings}"
        for info in infos
        if info.is_file
        and info.path.count("/") == wanted.count("/")  # * does not reach into folders
        and fnmatch.fnmatchcase(info.path, wanted)
    )
    if not matches:
        raise FileNotFoundError(2, "no file matches", pattern)
    return matches


def _first_magic(place: str) -> int:
    return min(number for sign in "*?[" if (number := place.find(sign)) >= 0)


def _name(path: str) -> str:
    return path.partition("?")[0].rpartition("/")[2]


def _copy(source: str, target: str) -> None:
    from pyarrow import fs

    (from_system, from_place), (to_system, to_place) = _system(source), _system(target)
    fs.copy_files(
        from_place, to_place, source_filesystem=from_system, destination_filesystem=to_system
    )


def _system(path: str) -> tuple[Any, str]:
    """The file system of a path or an address, and the path in it."""
    try:
        from pyarrow import fs
    except ModuleNotFoundError:
        raise ConfigError(f"{path} needs pyarrow: pip install 'ner-crf[ray]'") from None
    if not is_remote(path):
        return fs.LocalFileSystem(), str(Path(path).absolute())
    try:
        system, place = fs.FileSystem.from_uri(path)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from None
    return system, place
