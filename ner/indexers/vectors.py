"""Vectors that stay in their file, which is mapped into memory, and their indexer.

In memory there are only two numbers for each word: a hash of it and the place of its vector.
"""

from __future__ import annotations

import mmap
import struct
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ner.errors import ConfigError
from ner.indexers.base import Arrays, TypeIndexer
from ner.indexers.words import forms
from ner.storage.atomic import known_sha256
from ner.storage.manifest import tensor_facts

LONGEST_WORD = 1000  # bytes of a word in a binary format; more means another format
LARGEST_HEADER = 1 << 20  # bytes of the header of a safetensors file of one tensor
FASTTEXT = 793712314  # with which fastText's models begin
KEPT = 4  # files that stay open, so that copies of a model and its members share them

Floats = NDArray[np.float32]


class Places:
    """The place of each word, by its hash, which takes 16 bytes a word.

    Two words with the same 64 bits would be confused: among a million words that happens to one
    unknown word in 10^13.

    Args:
        words: The words with their places; of a repeated word, the first place counts.
    """

    def __init__(self, words: Iterable[tuple[bytes, int]]) -> None:
        hashes, places = array("q"), array("q")
        for word, place in words:
            hashes.append(hash(word))
            places.append(place)
        numbers = np.frombuffer(hashes, np.int64) if hashes else np.zeros(0, np.int64)
        order = np.argsort(numbers, kind="stable")
        self._hashes = numbers[order]
        self._places = np.frombuffer(places, np.int64)[order] if places else order

    def __len__(self) -> int:
        return len(self._hashes)

    def of(self, word: str) -> int:
        """Return the place of a word, or -1."""
        number = hash(word.encode("utf-8", "surrogatepass"))
        row = int(self._hashes.searchsorted(number))
        found = row < len(self._hashes) and self._hashes[row] == number
        return int(self._places[row]) if found else -1


class MappedVectors(ABC):
    """The words and vectors of a file.

    Attributes:
        places: The place of each word.
        width: The width of the vectors.
    """

    places: Places
    width: int

    @abstractmethod
    def at(self, place: int) -> Floats | None:
        """Return the vector at a place; ``None`` if its numbers cannot be read."""

    def vector_of(self, token: str) -> Floats | None:
        """Return the vector of a token as written, in lower case or with digits as 0."""
        for form in forms(token):
            place = self.places.of(form)
            if place >= 0 and (vector := self.at(place)) is not None:
                return vector
        return None


class _TextVectors(MappedVectors):
    """Text: a word and its values per line."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = _mapped(file, path)
            first = file.readline().removeprefix(b"\xef\xbb\xbf").split()
            header = len(first) == 2 and all(field.isdigit() for field in first)
            self.width = int(first[1]) if header else _width(first)
            if self.width < 1:
                raise ValueError(f"{path} contains no vectors in the format 'text'")
            if not header:
                file.seek(0)
            self.places = Places(self._words(file, file.tell()))

    def _words(self, file: BinaryIO, place: int) -> Iterator[tuple[bytes, int]]:
        for line in file:
            fields = line.rstrip().replace(b"\t", b" ")
            if place == 0:
                fields = fields.removeprefix(b"\xef\xbb\xbf")
            if fields.count(b" ") == self.width:
                word, _, _ = fields.partition(b" ")
            else:
                word = fields.rsplit(b" ", self.width)[0]  # words may contain spaces
            yield word, place
            place += len(line)

    def at(self, place: int) -> Floats | None:
        end = self._bytes.find(b"\n", place)
        line = self._bytes[place : end if end >= 0 else None]
        try:
            row = np.array(line.replace(b"\t", b" ").split()[-self.width :], np.float32)
        except ValueError:
            return None
        return row if len(row) == self.width and np.isfinite(row).all() else None


def _width(fields: Sequence[bytes]) -> int:
    """Return the number of values at the end of a line, not counting its first field."""
    width = 0
    for field in reversed(fields[1:]):
        try:
            float(field)
        except ValueError:
            break
        width += 1
    return width


class _BinaryVectors(MappedVectors):
    """The binary format of word2vec: a word, a space and little-endian floats."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = _mapped(file, path)
        end = self._bytes.find(b"\n", 0, 100)
        header = self._bytes[: max(end, 0)].split()
        if len(header) != 2 or not all(field.isdigit() for field in header):
            raise ValueError(f"{path} is not in word2vec's binary format (no header `COUNT WIDTH`)")
        count, self.width = map(int, header)
        if self.width < 1:
            raise ValueError(f"{path}: the header announces vectors of width 0")
        self.places = Places(self._words(path, count, end + 1))

    def _words(self, path: Path, count: int, place: int) -> Iterator[tuple[bytes, int]]:
        for _ in range(count):
            end = self._bytes.find(b" ", place, place + LONGEST_WORD)
            word, place = self._bytes[place : max(end, place)].lstrip(b"\n"), end + 1
            yield word, place
            place += 4 * self.width
            if end < 0 or place > len(self._bytes):
                raise ValueError(f"{path} is truncated: the header announces {count:,} vectors")

    def at(self, place: int) -> Floats:
        return np.frombuffer(self._bytes, "<f4", self.width, place).astype(np.float32)


class _ArrayVectors(MappedVectors):
    """An array of numpy or safetensors, and its words from the ``.txt`` file beside it."""

    def __init__(self, path: Path) -> None:
        self._rows = _array(path)
        beside = path.with_suffix(".txt")
        with beside.open("rb") as file:
            words = (line.rstrip(b"\n").removeprefix(b"\xef\xbb\xbf") for line in file)
            self.places = Places((word, place) for place, word in enumerate(words))
        count, self.width = self._rows.shape
        if count != len(self.places):
            raise ValueError(f"{path} has {count} vectors, but {beside} {len(self.places)} words")

    def at(self, place: int) -> Floats:
        return np.asarray(self._rows[place], np.float32)


def _array(path: Path) -> Any:
    """Map an array of two dimensions.

    Raises:
        ValueError: The file is not one.
    """
    try:
        if path.suffix == ".npy":
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            rows = np.memmap(path, "<f4", "r", *_only_tensor(path))
        if rows.ndim == 2 and rows.shape[1] >= 1 and rows.dtype.kind in "fiu":
            return rows
    except _UNUSABLE as error:
        raise ValueError(f"{path} cannot be mapped into memory ({error})") from error
    raise ValueError(f"{path}: expected an array of numbers of two dimensions")


_UNUSABLE = (ValueError, EOFError, AttributeError, LookupError, TypeError, RecursionError)


def _only_tensor(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return where the values of the only tensor of a safetensors file begin, and its shape."""
    with path.open("rb") as file:
        tensors = list(tensor_facts(file, LARGEST_HEADER).values())
        begin = file.tell()
    if len(tensors) != 1 or tensors[0]["dtype"] != "F32":
        raise ValueError("expected one tensor of type F32")
    return begin + int(tensors[0]["data_offsets"][0]), tuple(tensors[0]["shape"])


class FastText(MappedVectors):
    """A model of fastText (``.bin``): vectors of words and of their n-grams of characters.

    A word's vector is the mean of its own, where it has one, and of those of its n-grams
    (Bojanowski et al. 2017), so that every word has a vector.

    Args:
        path: The file.

    Raises:
        ValueError: It is not such a file, or a quantised one.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = _mapped(file, path)
        try:
            self._read(path)
        except struct.error as error:
            raise ValueError(f"{path} is truncated or not a fastText model") from error

    def _read(self, path: Path) -> None:
        magic, version, self.width, *others = struct.unpack_from("<14i", self._bytes)
        self._buckets, self._shortest, self._longest = others[7:10]
        if magic != FASTTEXT or version not in (11, 12) or self.width < 1:
            raise ValueError(f"{path} is not a fastText model of version 11 or 12")
        size, self._count, _, _, pruned = struct.unpack_from("<3i2q", self._bytes, 64)
        self._size, self._begin, self._end = size, 92, 92
        self.places = Places((word, row) for row, word in enumerate(self._words(path)))
        place = self._end
        (quantised,) = struct.unpack_from("<b", self._bytes, place)
        if quantised or pruned > 0:
            raise ValueError(f"{path}: quantised fastText models are not supported")
        rows, columns = struct.unpack_from("<2q", self._bytes, place + 1)
        least = self._count + (self._buckets if self._longest else 0)
        if columns != self.width or self._count != len(self.places) or rows < least:
            raise ValueError(f"{path}: its sizes do not fit each other")
        if rows * columns * 4 > len(self._bytes) - place - 17:
            raise ValueError(f"{path} is truncated: it announces {rows:,} vectors")
        self._vectors: Floats = np.memmap(path, "<f4", "r", place + 17, (rows, columns))

    def _words(self, path: Path) -> Iterator[bytes]:
        """Yield the words of the dictionary, not its labels."""
        place = self._begin
        for _ in range(self._size):
            end = self._bytes.find(b"\0", place, place + LONGEST_WORD + 1)
            if end < 0:
                raise ValueError(
                    f"{path}: a word is longer than {LONGEST_WORD} bytes, or truncated"
                )
            _, kind = struct.unpack_from("<qb", self._bytes, end + 1)
            if kind == 0:
                yield self._bytes[place:end]
            place = end + 10
        self._end = place

    def words(self) -> list[str]:
        """Return its words, the frequent ones first."""
        return [word.decode("utf-8", "replace") for word in self._words(Path())]

    def at(self, place: int) -> Floats:
        row: Floats = self._vectors[place]
        return row

    def vector_of(self, token: str) -> Floats | None:
        """Return the vector of a word in any of its forms, else that of the token's n-grams."""
        known = (form for form in forms(token) if self.places.of(form) >= 0)
        rows = self.rows_of(next(known, token))
        if not rows:
            return None
        mean: Floats = self._vectors[rows].mean(axis=0)
        return mean

    def vectors_of(self, words: Sequence[str]) -> Floats:
        """Return the vector of each word as written, ``(words, width)``; 0 without n-grams."""
        found = np.zeros((len(words), self.width), np.float32)
        for vector, word in zip(found, words, strict=True):
            if rows := self.rows_of(word):
                vector[:] = self._vectors[rows].mean(axis=0)
        return found

    def rows_of(self, word: str) -> list[int]:
        """Return the rows whose mean is a word's vector."""
        place = self.places.of(word)
        own = [place] if place >= 0 else []
        if word == "</s>" or not self._longest:
            return own
        parts = _ngrams(f"<{word}>", self._shortest, self._longest)
        return [*own, *(self._count + hashed(part) % self._buckets for part in parts)]


def _ngrams(word: str, shortest: int, longest: int) -> Iterator[str]:
    """Yield the n-grams of a word with its brackets; neither bracket is one alone."""
    for start in range(len(word)):
        for end in range(start + shortest, min(start + longest, len(word)) + 1):
            if end - start > 1 or 0 < start < len(word) - 1:
                yield word[start:end]


def hashed(text: str) -> int:
    """Return fastText's hash of a text: FNV-1a whose bytes are signed."""
    value = 2166136261
    for byte in text.encode("utf-8", "surrogatepass"):
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
    return value


def _mapped(file: BinaryIO, path: Path) -> mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise ValueError(f"{path} contains no vectors: it is empty") from error


MAPPED: dict[str, Callable[[Path], MappedVectors]] = {
    "text": _TextVectors,
    "binary": _BinaryVectors,
    "fasttext": FastText,
    "numpy": _ArrayVectors,
    "safetensors": _ArrayVectors,
}


def files_of(path: Path, kind: str) -> list[Path]:
    """Return the files that hold vectors and their words.

    Raises:
        ConfigError: The format cannot be mapped, or a file is missing.
    """
    if kind not in MAPPED:
        raise ConfigError(
            f"{path}: a model cannot refer to vectors in the format {kind!r}; expected "
            f"{', '.join(MAPPED)}, or use `vectors: pack`"
        )
    files = [path, path.with_suffix(".txt")] if MAPPED[kind] is _ArrayVectors else [path]
    for file in files:
        if not file.is_file():  # nor a device or a pipe, which may never end
            raise ConfigError(f"the file of vectors {file} does not exist or is not a regular file")
    return files


class ReferencedIndexer(TypeIndexer):
    """The vector of each token, from a file that the model refers to.

    Args:
        file: The file.
        format: A key of ``MAPPED``.
        sha256: The SHA-256 of the file, and of the file of its words where that is another one;
            empty to compute them.
        vector_width: The width of the vectors; 0 for that of the file.

    Raises:
        ConfigError: The file is missing, or not the one that the model was trained with.
        ValueError: It contains no vectors in this format.
    """

    def __init__(
        self,
        file: str,
        *,
        format: str,  # noqa: A002 - the word users know
        sha256: Sequence[str] = (),
        vector_width: int = 0,
    ) -> None:
        files = files_of(Path(file), format)
        found = [known_sha256(one) for one in files]
        if sha256 and list(sha256) != found:
            raise ConfigError(
                f"{file} differs from the file of vectors that the model was trained with "
                f"(SHA-256 {sha256[0]!s:.64}); restore that one"
            )
        self.file, self._format, self._sha256 = file, format, found
        self.vectors = _open(format, tuple(files), tuple(found))
        self.width = self.vectors.width
        if vector_width not in (0, self.width):
            raise ValueError(f"{file} has vectors of width {self.width}, not {vector_width}")

    def settings(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "format": self._format,
            "sha256": self._sha256,
            "vector_width": self.width,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.settings(),)

    def index(self, tokens: Sequence[str]) -> Arrays:
        """Return the vectors, ``(tokens, width)``, float32; zeros for tokens without one."""
        found = np.zeros((len(tokens), self.width), np.float32)
        for row, token in zip(found, tokens, strict=True):
            vector = self.vectors.vector_of(token)
            if vector is not None:
                row[:] = vector
        return cast("Arrays", (found,))


def _again(settings: dict[str, Any]) -> ReferencedIndexer:
    return ReferencedIndexer(**settings)


@lru_cache(KEPT)
def _open(kind: str, files: tuple[Path, ...], sha256: tuple[str, ...]) -> MappedVectors:
    """Open files; those with the same content are opened once."""
    return MAPPED[kind](files[0])
