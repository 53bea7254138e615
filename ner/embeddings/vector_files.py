"""Files of word vectors: GloVe, word2vec, fastText, numpy, safetensors, spaCy."""

from __future__ import annotations

import contextlib
import errno
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from ner.errors import DataWarning
from ner.formats import ending_of
from ner.formats.lines import COMPRESSED, broken, opened

VectorFormat = Literal["text", "binary", "fasttext", "numpy", "safetensors", "spacy"]
# A "word" with spaces that ends in a decimal number: the line has more values than the width.
_TOO_LONG = re.compile(r".* [-+]?\d*\.\d+(e[-+]?\d+)?", re.IGNORECASE | re.DOTALL)
LONGEST_WORD = 1000  # bytes of a word in word2vec's binary format; more means another format


Floats = NDArray[np.float32]


class WordVectors(NamedTuple):
    """Words and their vectors.

    Attributes:
        words: The words.
        vectors: The vectors, ``(rows, width)``.
        rows: The row of each word, where several words share one; empty where each has its own.
    """

    words: list[str]
    vectors: Floats
    rows: NDArray[np.int64] = np.zeros(0, np.int64)

    def only(self, places: Sequence[int]) -> WordVectors:
        """Return the table of some of the words, without rows that none of them needs."""
        words = [self.words[place] for place in places]
        if not len(self.rows):
            return WordVectors(words, self.vectors[list(places)])
        kept, rows = np.unique(self.rows[list(places)], return_inverse=True)
        return WordVectors(words, self.vectors[kept], rows)


def read(file: str | Path, format: str | None = None) -> WordVectors:  # noqa: A002 - the word users know
    """Read the words and vectors of a file; of a repeated word, the first vector counts.

    Args:
        file: The file, or the folder or name of a spaCy pipeline.
        format: A key of ``READERS``; by default inferred from the extension.

    Raises:
        ValueError: The file contains no vectors.
        OSError: The file cannot be read.
    """
    path = Path(file)
    chosen = format or format_of(path)
    table = READERS[chosen](path)
    if not table.words:
        raise ValueError(f"{path} contains no vectors in the format {chosen!r}")
    finite = np.isfinite(table.vectors).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        place = int(np.flatnonzero(table.rows == row)[0]) if len(table.rows) else row
        raise ValueError(f"{path}: the vector of {table.words[place]!r} contains NaN or infinity")
    first: dict[str, int] = {}
    for place, word in enumerate(table.words):
        first.setdefault(word, place)
    return table.only(list(first.values())) if len(first) < len(table.words) else table


def format_of(path: Path) -> VectorFormat:
    """Return the format that the extension of a file, or its first bytes, tell."""
    if path.is_dir():
        return "spacy"
    ending = ending_of(path)
    found = _BY_ENDING.get(ending, "text")
    if found == "binary":
        with opened(path) as file:
            if file.read(4) == struct.pack("<i", _MAGIC):
                return "fasttext"
    return found


def _read_text(path: Path) -> WordVectors:
    """Read one word and its values per line, separated by spaces or tabs.

    Words may contain spaces. The first line may be the header ``COUNT WIDTH`` of word2vec. Without
    a header, the width is the number of values at the end of the first line; lines of another width
    are skipped with a single warning.
    """
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    promised, odd, width = None, 0, 0
    with _decompressed(path) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="\n")
        for number, line in enumerate(lines):
            fields = line.rstrip().replace("\t", " ").split(" ")
            if number == 0 and len(fields) == 2 and all(field.isdigit() for field in fields):
                promised, width = map(int, fields)
                continue
            width = width or _width(fields)
            row = _numbers(fields[-width:])
            word = " ".join(fields[:-width])
            if row is None or not word or width < 1 or _TOO_LONG.fullmatch(word):
                odd += 1
                continue
            words.append(word)
            rows.append(row)
    if odd:
        message = f"{path}: skipped lines that are not a word and {width} numbers: {odd:,}"
        warnings.warn(message, DataWarning, stacklevel=2)
    if promised is not None and len(words) + odd != promised:
        message = f"{path}: the header announces {promised:,} vectors, found {len(words) + odd:,}"
        warnings.warn(f"{message}; is the file complete?", DataWarning, stacklevel=2)
    return WordVectors(words, np.stack(rows) if rows else np.zeros((0, 1), np.float32))


def _width(fields: Sequence[str]) -> int:
    """Return the number of values at the end of a line, not counting its first field."""
    width = 0
    for field in reversed(fields[1:]):
        if _numbers([field]) is None:
            break
        width += 1
    return width


def _numbers(fields: Sequence[str]) -> NDArray[np.float32] | None:
    try:
        with np.errstate(over="ignore"):  # values too large for float32 become inf and are skipped
            row = np.array(fields, dtype=np.float32)
    except ValueError:
        return None
    return row if np.isfinite(row).all() else None


def _read_binary(path: Path) -> WordVectors:
    """Read word2vec's binary format: ``COUNT WIDTH``, then words with little-endian floats."""
    with _decompressed(path) as file:
        header = file.readline(100).split()
        if len(header) != 2 or not all(field.isdigit() for field in header):
            raise ValueError(f"{path} is not in word2vec's binary format (no header `COUNT WIDTH`)")
        count, width = map(int, header)
        if width < 1:
            raise ValueError(f"{path}: the header announces vectors of width 0")
        if count * width * 4 > path.stat().st_size and path.suffix not in COMPRESSED:
            raise ValueError(f"{path} is truncated: the header announces {count:,} vectors")
        words, content = [], bytearray()
        for _ in range(count):  # memory for no more than there is
            words.append(_word(file, path))
            row = file.read(4 * width)
            if len(row) < 4 * width:
                raise ValueError(f"{path} is truncated: the header announces {count:,} vectors")
            content += row
    return WordVectors(words, np.frombuffer(content, "<f4").reshape(-1, width).astype(np.float32))


def _word(file: IO[bytes], path: Path) -> str:
    """Return the bytes before the next space, as text."""
    word = bytearray()
    while (byte := file.read(1)) not in (b" ", b""):
        word += byte
        if len(word) > LONGEST_WORD:
            raise ValueError(f"{path}: a word is longer than {LONGEST_WORD} bytes")
    return word.decode("utf-8", errors="replace").lstrip("\n")


def _read_numpy(path: Path) -> WordVectors:
    """Read an array ``(count, width)`` and its words from the ``.txt`` file beside it."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)  # maps no more than there is
    except (ValueError, EOFError, SyntaxError, TokenError, OverflowError) as error:
        raise ValueError(f"{path} is not a numpy array file ({error})") from None
    if not isinstance(vectors, np.ndarray):  # .npz
        raise ValueError(f"{path} contains several arrays; save one with `numpy.save`")
    return _beside(path, vectors)


def _read_safetensors(path: Path) -> WordVectors:
    """Read a tensor ``(count, width)`` and its words from the ``.txt`` file beside it."""
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from error
    if len(tensors) != 1:
        names = ", ".join(sorted(tensors))
        raise ValueError(f"{path}: expected one tensor, got {len(tensors)} ({names})")
    return _beside(path, next(iter(tensors.values())).float().numpy())


def _read_spacy(path: Path) -> WordVectors:
    """Read the vectors of a spaCy pipeline: a folder, or an installed package of that name."""
    import spacy

    if not path.is_dir() and not spacy.util.is_package(str(path)):
        raise FileNotFoundError(
            errno.ENOENT, "neither a folder nor an installed spaCy pipeline", str(path)
        )
    root = path if path.is_dir() else spacy.util.get_package_path(str(path))
    vocabularies = sorted(root.glob("**/vocab"))
    if not vocabularies:
        raise ValueError(f"{path} is not a spaCy pipeline: it has no folder `vocab`")
    vocabulary = spacy.vocab.Vocab().from_disk(vocabularies[0])
    vectors = vocabulary.vectors
    if vectors.mode != "default":
        raise ValueError(
            f"{path}: {vectors.mode} vectors are not supported, since they belong to parts of words"
        )
    rows = {vocabulary.strings[key]: row for key, row in vectors.key2row.items()}
    places = np.fromiter(rows.values(), np.int64, len(rows))
    kept, shared = np.unique(places, return_inverse=True)
    if len(kept) == len(places):
        return WordVectors(list(rows), vectors.data[places].astype(np.float32))
    return WordVectors(list(rows), vectors.data[kept].astype(np.float32), shared)


def _beside(path: Path, vectors: NDArray[Any]) -> WordVectors:
    """Return vectors with the words from the ``.txt`` file beside them."""
    beside = path.with_suffix(".txt")
    try:
        words = beside.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{beside} is not UTF-8 text ({error})") from None
    except FileNotFoundError:
        message = f"file not found; it must list the words of {path.name}, one per line"
        raise FileNotFoundError(errno.ENOENT, message, str(beside)) from None
    if words and not words[-1]:
        words.pop()
    if vectors.ndim != 2 or len(vectors) != len(words):
        raise ValueError(
            f"{path} has an array of shape {vectors.shape}, but {beside} has {len(words)} words"
        )
    if vectors.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected an array of numbers, got {vectors.dtype}")
    with np.errstate(over="ignore"):
        return WordVectors(words, np.array(vectors, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class FastText:
    """A model of fastText (``.bin``): vectors of words and of their n-grams of characters.

    A word's vector is the mean of its own, where it has one, and of those of its n-grams
    (Bojanowski et al. 2017), so that every word has a vector.

    Attributes:
        words: The words that have a vector of their own, the frequent ones first.
        vectors: Those of the words, then of the buckets of n-grams, ``(rows, width)``, mapped
            from the file.
        buckets: The number of buckets.
        shortest: The fewest characters of an n-gram.
        longest: The most; 0 for words alone.
    """

    words: dict[str, int]
    vectors: Floats
    buckets: int
    shortest: int
    longest: int

    @classmethod
    def load(cls, path: Path) -> FastText:
        """Open a file.

        Raises:
            ValueError: It is not such a file, or a quantised one.
        """
        if path.suffix.lower() in COMPRESSED:
            raise ValueError(f"{path}: decompress it first, since it is mapped into memory")
        with path.open("rb") as file:
            try:
                return cls._read(file, path)
            except struct.error as error:
                raise ValueError(f"{path} is truncated or not a fastText model") from error

    @classmethod
    def _read(cls, file: BinaryIO, path: Path) -> FastText:
        magic, version, width, *others = _unpack(file, "<14i")
        buckets, shortest, longest = others[7:10]
        if magic != _MAGIC or version not in (11, 12) or width < 1:
            raise ValueError(f"{path} is not a fastText model of version 11 or 12")
        _unpack(file, "<d")
        size, count, _, _, pruned = _unpack(file, "<3i2q")
        words: dict[str, int] = {}
        for _ in range(size):
            word = _terminated(file, path)
            _, kind = _unpack(file, "<qb")
            if kind == 0:
                words[word] = len(words)
        (quantised,) = _unpack(file, "<b")
        if quantised or pruned > 0:
            raise ValueError(f"{path}: quantised fastText models are not supported")
        rows, columns = _unpack(file, "<2q")
        if columns != width or count != len(words) or rows < count + (buckets if longest else 0):
            raise ValueError(f"{path}: its sizes do not fit each other")
        if rows * columns * 4 > path.stat().st_size - file.tell():
            raise ValueError(f"{path} is truncated: it announces {rows:,} vectors")
        shape = (rows, columns)
        vectors: Floats = np.memmap(path, "<f4", "r", file.tell(), shape)
        return cls(words, vectors, buckets, shortest, longest)

    def vectors_of(self, words: Sequence[str]) -> Floats:
        """Return the vector of each word, ``(words, width)``; 0 where it has no n-gram."""
        found = np.zeros((len(words), self.vectors.shape[1]), np.float32)
        for vector, word in zip(found, words, strict=True):
            if rows := self.rows_of(word):
                vector[:] = self.vectors[rows].mean(axis=0)
        return found

    def rows_of(self, word: str) -> list[int]:
        """Return the rows whose mean is a word's vector."""
        own = [self.words[word]] if word in self.words else []
        if word == "</s>" or not self.longest:
            return own
        parts = _ngrams(f"<{word}>", self.shortest, self.longest)
        return [*own, *(len(self.words) + hashed(part) % self.buckets for part in parts)]


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


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _terminated(file: BinaryIO, path: Path) -> str:
    """Return the bytes before the next zero, as text."""
    word = bytearray()
    while (byte := file.read(1)) != b"\0":
        word += byte
        if not byte or len(word) > LONGEST_WORD:
            raise ValueError(f"{path}: a word is longer than {LONGEST_WORD} bytes, or truncated")
    return word.decode("utf-8", errors="replace")


def _read_fasttext(path: Path) -> WordVectors:
    """Read the words of a fastText model with their composed vectors."""
    model = FastText.load(path)
    words = list(model.words)
    return WordVectors(words, model.vectors_of(words))


@contextlib.contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of vectors, compressed or not.

    Raises:
        ValueError: Its compression is broken.
    """
    with opened(path) as file:
        try:
            yield file
        except broken() as error:
            if path.suffix.lower() not in COMPRESSED or getattr(error, "errno", None) is not None:
                raise
            raise ValueError(f"{path}: the compressed data is broken: {error}") from error


_MAGIC = 793712314  # with which fastText's models begin
_BY_ENDING: dict[str, VectorFormat] = {
    ".bin": "binary",
    ".npy": "numpy",
    ".safetensors": "safetensors",
}
READERS: dict[str, Callable[[Path], WordVectors]] = {
    "text": _read_text,
    "binary": _read_binary,
    "fasttext": _read_fasttext,
    "numpy": _read_numpy,
    "safetensors": _read_safetensors,
    "spacy": _read_spacy,
}
