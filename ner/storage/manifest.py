"""The description of a model in its directory: its parts, and the checksums of its files.

A description is JSON with the format version, the SHA-256 of every other file, and its own
checksum. Names cannot lead outside the directory, and only regular files of bounded size are read.
Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from ner.errors import ModelError
from ner.storage.atomic import recover, sha256
from ner.storage.locks import LONGEST_NAME, directory_lock

Read = TypeVar("Read")
LARGEST = 1 << 28  # maximum bytes of a description
EXPORTED = "runtime.json"  # the description of an exported model
OTHERS = {  # other kinds of directories, recognised by a file
    EXPORTED: "an exported model, which cannot be trained; use the original model",
    "tagger.json": "not an exported model; load it with `ner.load`, or export it with `ner export`",
    "config.cfg": "a spaCy pipeline; load it with `spacy.load`, or use the folder of its component",
}
SPARE = 4 << 20  # maximum bytes of a description beyond twice the size of the weights
CONTAINERS = 50_000  # maximum lists and objects; each takes 30 times the memory of its text
NAMES = 50_000  # maximum names in objects; each takes 15 times the memory of its text
MOST_FILES, TEXTS = 100, 64 << 20  # maximum files beside the description; bytes of text files
PART = 1 << 20  # characters of a description that are hashed at a time
ATTEMPTS = 3  # to read a directory that is being replaced, before locking it
_STRING = re.compile(rb'(?s)"(?:[^"\\]|\\.)*+(?:"|\\?\Z)')  # an unclosed one extends to the end
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_COPY = "copy the complete model directory again"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A kind of description.

    Attributes:
        name: The name of its file.
        version: The format version that is written, and the newest that is read.
        needs: Required keys.
        files: Required binary files: weights, graphs.
        more: Optional binary files.
        migrations: Functions that update a description to the next version, by version.
    """

    name: str
    version: int
    needs: frozenset[str]
    files: frozenset[str]
    more: frozenset[str] = frozenset()
    migrations: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = field(
        default_factory=dict
    )

    def write(self, folder: Path, content: Mapping[str, Any]) -> None:
        """Write the description of a directory, after all its other files.

        Raises:
            ModelError: The description is too large.
        """
        description = {
            "format": self.version,
            **content,
            "files": {file.name: {"sha256": sha256(file)} for file in sorted(folder.iterdir())},
        }
        description["checksum"] = checksum(description)
        text = json.dumps(description, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        allowed = self._allowance(folder)
        if len(text.encode()) > allowed:
            raise ModelError(
                f"{self.name} would exceed the {allowed:,} bytes allowed for weights of this size; "
                "use shorter vocabularies and lists, or wider vectors"
            )
        (folder / self.name).write_text(text, encoding="utf-8", newline="\n")

    def read(self, folder: Path) -> dict[str, Any]:
        """Read the description of a directory and verify every file.

        Raises:
            ModelError: The directory is missing, damaged, or from a newer version of ner.
        """
        description = self.describe(folder)
        self.verify(folder, description)
        return description

    def describe(self, folder: Path) -> dict[str, Any]:
        """Read the description of a directory, and check that its files exist, not their content.

        Raises:
            ModelError: As ``read``.
        """
        recover(folder)
        if not folder.is_dir():
            wrong = "is a file" if folder.exists() else "does not exist"
            raise ModelError(f"model directory {str(folder)!r} {wrong}")
        for name, kind in OTHERS.items() if not (folder / self.name).exists() else ():
            if (folder / name).is_file():
                raise ModelError(f"{folder} is {kind}")
        description = self._read(folder)
        files = description["files"]
        if len(files) > MOST_FILES:
            raise ModelError(f"{folder / self.name} lists more than {MOST_FILES} files")
        texts = 0
        for name in files:
            if not is_file_name(name):
                raise ModelError(f"{folder / self.name}: {name!r} is not a valid file name")
            size = _size(folder / name)
            texts += size if name not in self.files | self.more else 0
        if texts > TEXTS:
            raise ModelError(f"{folder}: its text files exceed {TEXTS:,} bytes")
        return description

    def verify(self, folder: Path, description: Mapping[str, Any]) -> None:
        """Compare every file with its checksum in the description.

        Raises:
            ModelError: A file has changed.
        """
        for name, facts in description["files"].items():
            _check(folder / name, facts, sha256(folder / name))

    def text(self, folder: Path, description: Mapping[str, Any], name: str) -> str:
        """Return the text of a file after verifying its checksum.

        Raises:
            ModelError: The description does not list the file, or the file has changed.
        """
        if name not in description["files"]:
            raise ModelError(f"{folder / self.name} does not list {name}")
        content = read_bytes(folder / name, TEXTS)
        _check(folder / name, description["files"][name], hashlib.sha256(content).hexdigest())
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise ModelError(f"{folder / name} is not UTF-8 text ({error})") from None

    def _read(self, folder: Path) -> dict[str, Any]:
        """Read the description of a directory and verify its own checksum."""
        file = folder / self.name
        description = read_json(file, min(self._allowance(folder), LARGEST))
        version = description.get("format") if isinstance(description, dict) else None
        if type(version) is not int or version < 1:
            raise ModelError(f"{file} is not a valid model description")
        if version > self.version:
            raise ModelError(
                f"{folder} was written by a newer version of ner (format {version}; this version "
                f"reads up to {self.version}); upgrade ner to read it"
            )
        try:
            fits = description.get("checksum") == checksum(description)
        except (ValueError, RecursionError) as error:  # infinite numbers; nested too deep
            raise ModelError(f"{file} is not a valid model description ({error})") from None
        if not fits:
            raise ModelError(f"{file} is damaged (its checksum does not match); {_COPY}")
        for older in range(version, self.version):
            description = self.migrations[older](description)
        files = description.get("files")
        known = isinstance(files, dict) and self.files <= files.keys()
        if not known or not self.needs <= description.keys():
            raise ModelError(f"{file} is not a valid model description")
        return dict(description)

    def _allowance(self, folder: Path) -> int:
        """Return the maximum bytes of the description; large tables belong in other files."""
        files = (folder / name for name in self.files | self.more)
        return SPARE + 2 * sum(file.stat().st_size for file in files if file.is_file())


def is_file_name(name: str) -> bool:
    """Return whether a name is a valid file name, without a folder and not too long."""
    alone = Path(name).name == name and name not in ("", "..")
    return alone and "\0" not in name and len(name.encode()) <= LONGEST_NAME


def is_exported(path: Path | str) -> bool:
    """Return whether a directory is an exported model, rather than one for torch."""
    return (Path(path) / EXPORTED).is_file()


def checksum(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of a description without its own checksum.

    Raises:
        ValueError: A number is not finite.
    """
    content = {name: value for name, value in description.items() if name != "checksum"}
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256()
    for start in range(0, len(text), PART):
        digest.update(text[start : start + PART].encode())
    return digest.hexdigest()


def read_consistently(folder: Path, read: Callable[[], Read]) -> Read:
    """Read a directory, and read it again if it was replaced in the meantime.

    Raises:
        ModelError: ``read`` failed although the directory was not replaced.
    """
    for _ in range(ATTEMPTS):
        with _pinned(folder) as before:
            try:
                found = read()
            except (ModelError, FileNotFoundError):
                if _identity(folder) == before:
                    raise
                continue
            if _identity(folder) == before:
                return found
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # without write permission, just try once more
            stack.enter_context(directory_lock(folder))
        return read()


def read_json(file: Path, largest: int = LARGEST) -> Any:
    """Read a JSON file of a model.

    Args:
        file: The file.
        largest: The maximum number of bytes.

    Raises:
        ModelError: The file is missing, too large, not a regular file, or not valid JSON.
    """
    try:
        return parse_json(read_bytes(file, largest))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing; is {file.parent} a model directory?") from None
    except ModelError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not valid JSON ({error})") from None


def parse_json(content: bytes) -> Any:
    """Parse JSON with unique keys, finite numbers and no lone surrogates.

    Raises:
        ValueError: It is not valid, or has too many lists, objects or names.
        RecursionError: It is nested too deeply.
    """
    limits = ((b"[{", CONTAINERS, "lists and objects"), (b":", NAMES, "names in objects"))
    for signs, most, what in limits:
        if _count(content, signs) > most and _count(_STRING.sub(b"", content), signs) > most:
            raise ValueError(f"more than {most:,} {what}")
    halves = _SURROGATE.search(content) is not None
    text = content.decode()
    del content  # keep only one of the two in memory while parsing
    value = json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse)
    if halves:
        json.dumps(value, ensure_ascii=False).encode()  # raises for a lone surrogate
    return value


def tensor_facts(file: IO[bytes], largest: int = 100_000_000) -> dict[str, Any]:
    """Read the type, shape and offsets of each tensor from the header of a safetensors file.

    The values begin where this leaves the file.

    Args:
        file: The file, at its beginning.
        largest: The maximum bytes of the header; by default that of safetensors.

    Raises:
        ValueError: The header is larger, or not JSON.
    """
    size = int.from_bytes(file.read(8), "little")
    if size > largest:
        raise ValueError("not a safetensors file")
    header = json.loads(file.read(size))
    return {name: facts for name, facts in header.items() if name != "__metadata__"}


def _count(content: bytes, signs: bytes) -> int:
    """Count the occurrences of any of some characters."""
    return sum(map(content.count, signs))


def read_bytes(file: Path, largest: int) -> bytes:
    """Read a regular file, but no link, up to a maximum size.

    Raises:
        ModelError: It is not a regular file, or too large.
        FileNotFoundError: It is missing.
    """
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe would block
    _regular(file)
    handle = os.open(file, os.O_RDONLY | flags | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{file} is not a regular file; {_COPY}")
        content = opened.read(min(largest, found.st_size) + 1)
    if len(content) > largest:
        raise ModelError(f"{file} exceeds the limit of {largest:,} bytes")
    return content


def _regular(file: Path) -> os.stat_result:
    """Return the ``stat`` of a regular file.

    Raises:
        ModelError: It is not a regular file.
        FileNotFoundError: It is missing.
    """
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode):
        link = stat.S_ISLNK(found.st_mode)
        kind = "a symbolic link" if link else "not a regular file"
        raise ModelError(f"{file} is {kind}; {_COPY}")
    return found


def _size(file: Path) -> int:
    try:
        return _regular(file).st_size
    except FileNotFoundError:
        raise ModelError(f"{file} is missing; {_COPY}") from None


def _check(file: Path, facts: Any, found: str) -> None:
    if not isinstance(facts, dict) or found != facts.get("sha256"):
        raise ModelError(
            f"{file} has changed since the model was saved (its SHA-256 differs); {_COPY}"
        )


@contextlib.contextmanager
def _pinned(folder: Path) -> Iterator[tuple[int, int] | None]:
    """Yield the identity of a directory, which stays unique while the block runs.

    An open directory keeps its inode number from being reused if it is removed.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # missing, or the system cannot open directories
        yield _identity(folder)
        return
    try:
        found = os.fstat(handle)
        yield found.st_dev, found.st_ino
    finally:
        os.close(handle)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not valid")
