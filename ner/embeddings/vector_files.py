"""Files of word vectors: GloVe, word2vec, fastText, numpy, safetensors, spaCy."""

from __future__ import annotations

import contextlib
import errno
import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from ner.errors import ConfigError, DataWarning
from ner.formats import ending_of
from ner.formats.lines import COMPRESSED, broken, opened
from ner.indexers.vectors import FASTTEXT, LONGEST_WORD, FastText

VectorFormat = Literal["text", "binary", "fasttext", "numpy", "safetensors", "spacy"]
# A "word" with spaces that ends in a decimal number: the line has more values than the width.
_TOO_LONG = re.compile(r".* [-+]?\d*\.\d+(e[-+]?\d+)?", re.IGNORECASE | re.DOTALL)


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
            if file.read(4) == struct.pack("<i", FASTTEXT):
                return "fasttext"
    return found


def mapped_format_of(path: Path, given: str | None) -> str:
    """Return the format of a file that is to be mapped into memory.

    Raises:
        ConfigError: It is compressed.
    """
    if path.suffix.lower() in COMPRESSED:
        raise ConfigError(f"{path}: decompress it first, since it is mapped into memory")
    return given or format_of(path)


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


def opened_fasttext(path: Path) -> FastText:
    """Open a model of fastText.

    Raises:
        ValueError: It is compressed, or not such a file.
    """
    mapped_format_of(path, "fasttext")
    return FastText(path)


def _read_fasttext(path: Path) -> WordVectors:
    """Read the words of a fastText model with their composed vectors."""
    model = opened_fasttext(path)
    words = model.words()
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
