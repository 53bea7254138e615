"""Models and files at an address: ``hf://user/name@revision``, ``https://``, ``s3://``, ``file://``.

The description of a model names its files and their SHA-256, so nothing is listed and nothing else
is fetched: first the description, then the files it names, into a folder of the cache that is whole
or not there. ``#sha256=...`` at the end of an address pins the SHA-256 of the description, and by
it every file. What is in the cache is not asked for again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, urlsplit

from ner.errors import ConfigError, DataError, ModelError
from ner.storage.atomic import atomic_directory, sha256
from ner.storage.manifest import EXPORTED, LARGEST, MOST_FILES, is_file_name, parse_json

REMOTE = "://"
DESCRIPTIONS = ("tagger.json", EXPORTED)
CACHE = "NER_CACHE"  # the environment variable that names the cache
LARGEST_FILE = 64 << 30  # bytes of a file of a model
SECONDS = 60.0  # without an answer of a server
_PART = 1 << 20
_PIN = re.compile(r"sha256=([0-9a-f]{64})")
_NUMBERS = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
}  # for errors without an errno


def is_remote(path: Path | str) -> bool:
    """Return whether a path is a URL."""
    return isinstance(path, str) and REMOTE in path


def joined(folder: str, name: str) -> str:
    """Return the path or URL of a file in a folder, keeping the settings of the URL."""
    if not is_remote(folder):
        return str(Path(folder) / name)
    place, mark, settings = folder.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{settings}"


@contextmanager
def reaching(address: str) -> Iterator[tuple[Any, str]]:
    """Give the file system of a URL and the path in it; errors name the URL.

    Raises:
        ConfigError: The URL cannot be used, or its fsspec driver is not installed.
        OSError: The file cannot be read or written.
    """
    from fsspec.core import url_to_fs

    url, _, settings = address.partition("?")
    with _naming(address):
        yield url_to_fs(url, **dict(parse_qsl(settings)))


@contextmanager
def _naming(address: str) -> Iterator[None]:
    """Let errors name the URL."""
    try:
        yield
    except ModelError:
        raise
    except OSError as error:
        number = error.errno or _NUMBERS.get(type(error), errno.EIO)
        if getattr(error, "code", None) in (401, 403, 404):
            number = errno.ENOENT if error.code == 404 else errno.EACCES  # type: ignore[attr-defined]
        reason = error.strerror or (str(error) if number == errno.EIO else os.strerror(number))
        raise OSError(number, reason, address) from error
    except Exception as error:  # each kind of store has its own errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{address}: {reason}") from error


def matching(pattern: str) -> list[str]:
    """Return the URLs of the files that a URL stands for: itself, or those that match its glob.

    Raises:
        OSError: The glob matches no file.
        ConfigError: The URL cannot be used.
    """
    address, mark, settings = pattern.partition("?")
    if not has_magic(address):
        return [pattern]
    with reaching(pattern) as (system, place):
        found = system.glob(place, detail=True)
    start = address[: len(address) - len(place)]
    matches = sorted(name for name, facts in found.items() if facts["type"] == "file")
    if not matches:
        raise FileNotFoundError(errno.ENOENT, "no file matches", pattern)
    return [f"{start}{name}{mark}{settings}" for name in matches]


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
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        name = source.partition("?")[0].rpartition("/")[2]
        here = str(Path(folder) / name) if is_remote(source) else source
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


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a model.

    Attributes:
        url: Where it is, a folder.
        pin: The SHA-256 of its description, if it is pinned.
    """

    url: str
    pin: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            ConfigError: What follows ``#`` is not a SHA-256, or the address is not safe.
        """
        url, mark, after = text.partition("#")
        pin = _PIN.fullmatch(after.lower())
        if mark and pin is None:
            raise ConfigError(f"{text}: expected #sha256= and 64 hexadecimal digits after #")
        parts = urlsplit(url)
        near = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme == "http" and not near and pin is None:
            raise ConfigError(f"{text}: use https, or pin the model with #sha256=...")
        return cls(url, pin[1] if pin else None)

    @property
    def folder(self) -> Path:
        """The folder of the cache for it."""
        name = re.sub(r"[^\w.-]+", "-", self.url.partition("?")[0].partition(REMOTE)[2])[-40:]
        return cache() / f"{name}-{hashlib.sha256(self.url.encode()).hexdigest()[:16]}"

    def cached(self) -> bool:
        """Return whether the cache has the model, and the one that is pinned."""
        files = [self.folder / name for name in DESCRIPTIONS if (self.folder / name).is_file()]
        return bool(files) and self.pin in (None, sha256(files[0]))


def cache() -> Path:
    """Return the folder of the models that were fetched."""
    if given := os.environ.get(CACHE):
        return Path(given)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "ner" / "models"
    try:
        return Path.home() / ".cache" / "ner" / "models"
    except RuntimeError:  # no home
        raise ConfigError(f"there is no home directory for the cache; set {CACHE}") from None


def local(path: Path | str, *, refresh: bool = False) -> Path:
    """Return the directory of a model, which is fetched if the path is an address.

    Args:
        path: A directory, or an address.
        refresh: Fetch the model even if the cache has it.

    Raises:
        ConfigError: The address cannot be used.
        ModelError: There is no model, or it is not the one that was pinned, or damaged.
        OSError: It cannot be reached.
    """
    if not is_remote(path):
        return Path(path)
    address = Address.parse(str(path))
    if refresh or not address.cached():
        _fetch(address)
    return address.folder


def _fetch(address: Address) -> None:
    name, content = _description(address)
    digest = hashlib.sha256(content).hexdigest()
    if address.pin not in (None, digest):
        raise ModelError(
            f"{address.url}: the SHA-256 of {name} is {digest}, but {address.pin} is pinned"
        )
    files = _files(address, name, content)
    address.folder.parent.mkdir(parents=True, exist_ok=True)
    before = (one for one in DESCRIPTIONS if (address.folder / one).is_file())
    with atomic_directory(address.folder, holds=next(before, name)) as folder:
        (folder / name).write_bytes(content)
        for own, expected in files.items():
            if _copy(joined(address.url, own), folder / own) != expected:
                raise ModelError(f"{address.url}: {own} is damaged (its SHA-256 does not match)")


def _description(address: Address) -> tuple[str, bytes]:
    """Fetch the description of a model, whichever of its two names it has."""
    for name in DESCRIPTIONS:
        try:
            with _opened(joined(address.url, name)) as file:
                content = file.read(LARGEST + 1)
        except FileNotFoundError:
            continue
        if len(content) > LARGEST:
            raise ModelError(f"{address.url}: {name} exceeds {LARGEST:,} bytes")
        return name, content
    raise ModelError(f"{address.url}: no model is there (no {' and no '.join(DESCRIPTIONS)})")


def _files(address: Address, name: str, content: bytes) -> dict[str, str]:
    """Return the files that a description names, and their SHA-256."""
    try:
        known = parse_json(content)
        files = {own: facts["sha256"] for own, facts in known["files"].items()}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{address.url}: {name} is not a valid model description") from None
    if len(files) > MOST_FILES:
        raise ModelError(f"{address.url}: {name} lists more than {MOST_FILES} files")
    for own in files:
        if not is_file_name(own) or own == name:
            raise ModelError(f"{address.url}: {own!r} is not a valid file name")
    return files


def _copy(url: str, file: Path) -> str:
    """Fetch a file, and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with _opened(url) as source, file.open("wb") as target:
        while part := source.read(_PART):
            size += len(part)
            if size > LARGEST_FILE:
                raise ModelError(f"{url} exceeds {LARGEST_FILE:,} bytes")
            digest.update(part)
            target.write(part)
    return digest.hexdigest()


@contextmanager
def _opened(url: str) -> Iterator[IO[bytes]]:
    """Open a file at a URL: of the web by the standard library, of anything else by fsspec."""
    if urlsplit(url).scheme in ("http", "https"):
        from urllib.request import urlopen  # imports much that other addresses do not need

        with _naming(url), urlopen(url, timeout=SECONDS) as file:
            yield file
        return
    with reaching(url) as (system, place), system.open(place, "rb") as file:
        yield file


def upload(folder: Path, url: str) -> None:
    """Copy the files of a model to a URL, the description last.

    Raises:
        ConfigError: The URL cannot be used.
        OSError: It cannot be written.
    """
    names = sorted((file.name for file in folder.iterdir()), key=lambda one: one in DESCRIPTIONS)
    with reaching(url) as (system, place):
        system.makedirs(place, exist_ok=True)
        for name in names:
            system.put_file(str(folder / name), f"{place.rstrip('/')}/{name}")


def pin_of(folder: Path) -> str:
    """Return the SHA-256 that pins a model.

    Raises:
        ModelError: The directory is not a model.
    """
    for name in DESCRIPTIONS:
        if (folder / name).is_file():
            return sha256(folder / name)
    raise ModelError(f"{folder} is not a model directory")
