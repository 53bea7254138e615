"""The description of a model in its directory: its parts, and the checksums of its files.

It is JSON with the format's version, the SHA-256 of every other file, and a checksum of its own.
No name in it leads outside the directory, and nothing is read but regular files of a bounded size.
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
from typing import Any, TypeVar

from ner.errors import ModelError
from ner.storage.atomic import recover, sha256
from ner.storage.locks import LONGEST_NAME, directory_lock

Read = TypeVar("Read")
LARGEST = 1 << 28  # bytes of a description
EXPORTED = "runtime.json"  # the name of that of an exported model
OTHERS = {  # what a directory without the description looked for may be, by a file in it
    EXPORTED: "an exported model, which cannot be trained; use the model it was made from",
    "tagger.json": "a model that is not exported; use `ner.load`, or export it with `ner export`",
    "config.cfg": "a pipeline of spaCy; use `spacy.load`, or the folder of its component in it",
}
SPARE = 4 << 20  # bytes a description may have beyond twice the size of the weights
CONTAINERS = 50_000  # lists and mappings in a description; each takes 30 times its text's memory
NAMES = 50_000  # in the mappings of a description; each takes 15 times its text's memory
MOST_FILES, TEXTS = 100, 64 << 20  # files beside the description; bytes of those that are text
PART = 1 << 20  # characters of a description that are encoded at a time
ATTEMPTS = 3  # at a directory that is replaced while it is read, before it is locked
_STRING = re.compile(rb'(?s)"(?:[^"\\]|\\.)*+(?:"|\\?\Z)')  # one without end reaches to the end
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_COPY = "copy the model directory again, whole"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One kind of description.

    Attributes:
        name: Of its file.
        version: The newest format that is read, and the one that is written.
        needs: Names it must hold.
        files: Files of numbers it must know: weights, graphs.
        more: Such files that it may know.
        migrations: What makes a description of a format one of the next, by the older's number.
    """

    name: str
    version: int
    needs: frozenset[str]
    files: frozenset[str]
    more: frozenset[str] = frozenset()
    migrations: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = field(
        default_factory=dict
    )

    def write(self, folder: Path, said: Mapping[str, Any]) -> None:
        """Write the description of a directory whose other files are all there.

        Raises:
            ModelError: The description is too large.
        """
        description = {
            "format": self.version,
            **said,
            "files": {file.name: {"sha256": sha256(file)} for file in sorted(folder.iterdir())},
        }
        description["checksum"] = checksum(description)
        text = json.dumps(description, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        allowed = self._allowance(folder)
        if len(text.encode()) > allowed:
            raise ModelError(
                f"{self.name}: would be larger than the {allowed:,} bytes that go with weights of "
                "this size; use shorter vocabularies and lists, or wider vectors"
            )
        (folder / self.name).write_text(text, encoding="utf-8", newline="\n")

    def read(self, folder: Path) -> dict[str, Any]:
        """Read the description of a directory and verify every file.

        Raises:
            ModelError: The directory is missing, damaged, or of a newer version of ner.
        """
        description = self.describe(folder)
        self.verify(folder, description)
        return description

    def describe(self, folder: Path) -> dict[str, Any]:
        """Read the description of a directory; its files exist but are not verified.

        Raises:
            ModelError: As ``read``.
        """
        recover(folder)
        if not folder.is_dir():
            wrong = "is a file" if folder.exists() else "does not exist"
            raise ModelError(f"model directory {str(folder)!r} {wrong}")
        for name, told in OTHERS.items() if not (folder / self.name).exists() else ():
            if (folder / name).is_file():
                raise ModelError(f"{folder}: {told}")
        description = self._read(folder)
        files = description["files"]
        if len(files) > MOST_FILES:
            raise ModelError(f"{folder / self.name}: names more than {MOST_FILES} files")
        texts = 0
        for name in files:
            if not is_file_name(name):
                raise ModelError(f"{folder / self.name}: {name!r} is no name of a file beside it")
            size = _size(folder / name)
            texts += size if name not in self.files | self.more else 0
        if texts > TEXTS:
            raise ModelError(f"{folder}: its texts are larger than any model's")
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
            raise ModelError(f"{folder / self.name}: knows no {name}")
        content = read_bytes(folder / name, TEXTS)
        _check(folder / name, description["files"][name], hashlib.sha256(content).hexdigest())
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise ModelError(f"{folder / name}: not UTF-8 text ({error})") from None

    def _read(self, folder: Path) -> dict[str, Any]:
        """Read the description of a directory and verify its own checksum."""
        file = folder / self.name
        description = read_json(file, min(self._allowance(folder), LARGEST))
        version = description.get("format") if isinstance(description, dict) else None
        if type(version) is not int or version < 1:
            raise ModelError(f"{file}: describes no tagger")
        if version > self.version:
            raise ModelError(
                f"{folder}: written by a newer version of ner (format {version}, this one reads "
                f"up to {self.version}); upgrade with `pip install -U ner-crf`"
            )
        try:
            fits = description.get("checksum") == checksum(description)
        except (ValueError, RecursionError) as error:  # infinite numbers; nested too deep
            raise ModelError(f"{file}: describes no tagger ({error})") from None
        if not fits:
            raise ModelError(f"{file}: damaged (it does not fit its checksum); {_COPY}")
        for older in range(version, self.version):
            description = self.migrations[older](description)
        files = description.get("files")
        known = isinstance(files, dict) and self.files <= files.keys()
        if not known or not self.needs <= description.keys():
            raise ModelError(f"{file}: describes no tagger")
        return dict(description)

    def _allowance(self, folder: Path) -> int:
        """Return the size limit of the description; large tables belong in other files."""
        files = (folder / name for name in self.files | self.more)
        return SPARE + 2 * sum(file.stat().st_size for file in files if file.is_file())


def is_file_name(name: str) -> bool:
    """Return whether a name is valid for a file beside the description: no folder, not too long."""
    alone = Path(name).name == name and name not in ("", "..")
    return alone and "\0" not in name and len(name.encode()) <= LONGEST_NAME


def is_exported(path: Path | str) -> bool:
    """Return whether a directory holds an exported model, rather than one to be used with torch."""
    return (Path(path) / EXPORTED).is_file()


def checksum(description: Mapping[str, Any]) -> str:
    """The SHA-256 of what a description says, its own checksum aside, however it is laid out.

    Raises:
        ValueError: A number in it is not finite.
    """
    said = {name: value for name, value in description.items() if name != "checksum"}
    text = json.dumps(said, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256()
    for start in range(0, len(text), PART):
        digest.update(text[start : start + PART].encode())
    return digest.hexdigest()


def read_consistently(folder: Path, read: Callable[[], Read]) -> Read:
    """Read a directory; read it again, if it was replaced meanwhile.

    Raises:
        ModelError: As ``read`` does of a directory that stays in its place.
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
        with contextlib.suppress(OSError):  # who may not write beside it can only try once more
            stack.enter_context(directory_lock(folder))
        return read()


def read_json(file: Path, largest: int = LARGEST) -> Any:
    """The content of a JSON file of a model.

    Args:
        file: The file.
        largest: The most bytes it may have.

    Raises:
        ModelError: It is missing, too large, no regular file, or not JSON of finite numbers.
    """
    try:
        return parse_json(read_bytes(file, largest))
    except FileNotFoundError:
        raise ModelError(f"{file}: missing; is {file.parent} a model directory?") from None
    except ModelError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: not JSON ({error})") from None


def parse_json(content: bytes) -> Any:
    """JSON whose keys stand once, whose numbers are finite and whose text is whole.

    Raises:
        ValueError: It is not such, or has more lists, mappings or names than any model.
        RecursionError: They are nested deeper than Python can say.
    """
    limits = ((b"[{", CONTAINERS, "lists and mappings"), (b":", NAMES, "names in mappings"))
    for signs, most, what in limits:
        if _count(content, signs) > most and _count(_STRING.sub(b"", content), signs) > most:
            raise ValueError(f"it holds more than {most:,} {what}")
    halves = _SURROGATE.search(content) is not None
    text = content.decode()
    del content  # only one of the two is held while the value grows
    value = json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse)
    if halves:
        json.dumps(value, ensure_ascii=False).encode()  # half of a pair cannot be written
    return value


def _count(content: bytes, signs: bytes) -> int:
    """Return how often any of some signs stands there."""
    return sum(map(content.count, signs))


def read_bytes(file: Path, largest: int) -> bytes:
    """Read a regular file that is not a link and not larger than the limit.

    Raises:
        ModelError: It is.
        FileNotFoundError: It is missing.
    """
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe would wait
    _regular(file)
    handle = os.open(file, os.O_RDONLY | flags | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{file}: no regular file; {_COPY}")
        content = opened.read(min(largest, found.st_size) + 1)
    if len(content) > largest:
        raise ModelError(f"{file}: larger than the {largest:,} bytes that such a model's may have")
    return content


def _regular(file: Path) -> os.stat_result:
    """Return the ``stat`` of a regular file.

    Raises:
        ModelError: It is none.
        FileNotFoundError: It is missing.
    """
    found = file.lstat()
    if not stat.S_ISREG(found.st_mode):
        link = stat.S_ISLNK(found.st_mode)
        raise ModelError(f"{file}: {'a symbolic link' if link else 'no regular file'}; {_COPY}")
    return found


def _size(file: Path) -> int:
    try:
        return _regular(file).st_size
    except FileNotFoundError:
        raise ModelError(f"{file}: missing; {_COPY}") from None


def _check(file: Path, facts: Any, found: str) -> None:
    if not isinstance(facts, dict) or found != facts.get("sha256"):
        raise ModelError(
            f"{file}: not the file the model was saved with (its SHA-256 differs); {_COPY}"
        )


@contextlib.contextmanager
def _pinned(folder: Path) -> Iterator[tuple[int, int] | None]:
    """Which directory has a name, and no later one passes for it while the block runs.

    The number of a directory that is removed is given to the next one, unless somebody has it open.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # it is missing; or the system opens no directories, and numbers each anew
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
        raise ValueError("a name stands twice in a mapping")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")
