"""Pretrained vectors from a file: GloVe, word2vec, fastText, numpy, safetensors, spaCy."""

from __future__ import annotations

import errno
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ner.embeddings.base import TypeEmbedding, check_widths, vectors_of
from ner.formats import DataWarning
from ner.formats.lines import COMPRESSED
from ner.indexers.base import UNKNOWN
from ner.indexers.words import PretrainedIndexer, forms
from ner.sentence import Sentence

VectorFormat = Literal["text", "binary", "numpy", "safetensors", "spacy"]
Table = tuple[list[str], NDArray[np.float32]]
# A "word" with spaces that ends in a decimal number: the line has more values than the width.
_TOO_LONG = re.compile(r".* [-+]?\d*\.\d+(e[-+]?\d+)?", re.IGNORECASE | re.DOTALL)
LONGEST_WORD = 1000  # bytes of a word in word2vec's binary format; more means another format


class PretrainedEmbedding(TypeEmbedding):
    """Pretrained vectors; words without one share a vector that is initialised with zeros.

    A token is looked up as written, then in lower case, then with each digit replaced by 0. The
    vectors are stored with the model; the file is not needed again.

    Args:
        words: The words that have a vector.
        vector_width: The width of the file's vectors.
        tuned: Whether training changes them.
        projection: The width to project the vectors to by a learned matrix; ``None`` to keep them.

    Raises:
        ValueError: A width is below 1.
    """

    indexer: PretrainedIndexer
    remarks: tuple[str, ...] = ()

    def __init__(
        self,
        words: Sequence[str],
        *,
        vector_width: int = 1,
        tuned: bool = False,
        projection: int | None = None,
    ) -> None:
        super().__init__()
        check_widths(vector_width=vector_width, projection=projection)
        self.indexer = PretrainedIndexer(words)
        self.tuned = tuned
        self.width = vector_width if projection is None else projection
        self.vectors = nn.Embedding(len(self.indexer.vocabulary), vector_width)
        self.vectors.weight.requires_grad_(False).zero_()
        self.vectors.weight.requires_grad_(tuned)
        self.projection = (
            None if projection is None else nn.Linear(vector_width, projection, bias=False)
        )

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sentence],
        *,
        file: str | None = None,
        format: VectorFormat | None = None,  # noqa: A002 - the word users know
        only_training_words: bool = False,
        tuned: bool = False,
        projection: int | None = None,
    ) -> Self:
        """Read the vectors of a file.

        Args:
            sentences: The training sentences, for the coverage and for ``only_training_words``.
            file: The file with the vectors.
            format: ``text`` (GloVe, word2vec, fastText), ``binary`` (word2vec, ``.bin``), ``numpy``
                or ``safetensors`` (with a ``.txt`` file beside it, one word per line), or
                ``spacy`` (the folder of a pipeline, or the name of an installed one). By default
                inferred from the extension.
            only_training_words: Keep only the vectors of training words, for a small model that
                will see no other words.
            tuned: Whether training changes the vectors.
            projection: The width to project the vectors to by a learned matrix; by default they
                are not projected.

        Raises:
            ValueError: The file contains no vectors.
            OSError: The file cannot be read.
        """
        tokens = Counter(token for sentence in sentences for token in sentence.tokens)
        words, vectors = ([], np.zeros((0, 1), np.float32)) if file is None else read(file, format)
        if only_training_words:
            wanted = {form for token in tokens for form in forms(token)}
            places = [place for place, word in enumerate(words) if word in wanted]
            words, vectors = [words[place] for place in places], vectors[places]
        part = cls(words, vector_width=vectors.shape[1], tuned=tuned, projection=projection)
        with torch.no_grad():
            part.vectors.weight[2:] = torch.from_numpy(vectors)
        if file is not None:
            part.remarks = (_coverage(file, part, tokens),)
        return part

    def settings(self) -> dict[str, Any]:
        return {
            **self.indexer.settings(),
            "vector_width": self.vectors.embedding_dim,
            "tuned": self.tuned,
            "projection": None if self.projection is None else self.projection.out_features,
        }

    def forward(self, indices: Tensor) -> Tensor:
        """Return the vectors of the tokens, ``(tokens, width)``."""
        vectors = vectors_of(self.vectors, indices)
        return vectors if self.projection is None else vectors_of(self.projection, vectors)


def read(file: str | Path, format: str | None = None) -> Table:  # noqa: A002 - the word users know
    """Read the words and vectors of a file; of a repeated word, the first vector counts.

    Args:
        file: The file, or the folder or name of a spaCy pipeline.
        format: A key of ``READERS``; by default inferred from the extension.

    Raises:
        ValueError: The file contains no vectors.
        OSError: The file cannot be read.
    """
    path = Path(file)
    if path.suffix.lower() in COMPRESSED:
        raise ValueError(f"{path} is compressed; decompress it first, e.g. with gunzip")
    if format is None:
        format = "spacy" if path.is_dir() else _BY_ENDING.get(path.suffix, "text")  # noqa: A001
    words, vectors = READERS[format](path)
    if not words:
        raise ValueError(f"{path} contains no vectors in the format {format!r}")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        word = words[int(finite.argmin())]
        raise ValueError(f"{path}: the vector of {word!r} contains NaN or infinity")
    first: dict[str, int] = {}
    for place, word in enumerate(words):
        first.setdefault(word, place)
    if len(first) < len(words):
        return list(first), vectors[list(first.values())]
    return words, vectors


def _read_text(path: Path) -> Table:
    """Read one word and its values per line, separated by spaces or tabs.

    Words may contain spaces. The first line may be the header ``COUNT WIDTH`` of word2vec. Without
    a header, the width is the number of values at the end of the first line; lines of another width
    are skipped with a single warning.
    """
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    promised, odd, width = None, 0, 0
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as lines:
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
    return words, np.stack(rows) if rows else np.zeros((0, 1), np.float32)


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


def _read_binary(path: Path) -> Table:
    """Read word2vec's binary format: ``COUNT WIDTH``, then words with little-endian floats."""
    with path.open("rb") as file:
        header = file.readline(100).split()
        if len(header) != 2 or not all(field.isdigit() for field in header):
            raise ValueError(f"{path} is not in word2vec's binary format (no header `COUNT WIDTH`)")
        count, width = map(int, header)
        if width < 1:
            raise ValueError(f"{path}: the header announces vectors of width 0")
        if count * width * 4 > path.stat().st_size:
            raise ValueError(f"{path} is truncated: the header announces {count:,} vectors")
        vectors = np.empty((count, width), np.float32)
        words = []
        for row in vectors:
            words.append(_word(file, path))
            content = file.read(4 * width)
            if len(content) < 4 * width:
                raise ValueError(f"{path} is truncated: the header announces {count:,} vectors")
            row[:] = np.frombuffer(content, "<f4")
    return words, vectors


def _word(file: BinaryIO, path: Path) -> str:
    """Return the bytes before the next space, as text."""
    word = bytearray()
    while (byte := file.read(1)) not in (b" ", b""):
        word += byte
        if len(word) > LONGEST_WORD:
            raise ValueError(f"{path}: a word is longer than {LONGEST_WORD} bytes")
    return word.decode("utf-8", errors="replace").lstrip("\n")


def _read_numpy(path: Path) -> Table:
    """Read an array ``(count, width)`` and its words from the ``.txt`` file beside it."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)  # maps no more than there is
    except (ValueError, EOFError, SyntaxError, TokenError, OverflowError) as error:
        raise ValueError(f"{path} is not a numpy array file ({error})") from None
    if not isinstance(vectors, np.ndarray):  # .npz
        raise ValueError(f"{path} contains several arrays; save one with `numpy.save`")
    return _beside(path, vectors)


def _read_safetensors(path: Path) -> Table:
    """Read a tensor ``(count, width)`` and its words from the ``.txt`` file beside it."""
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from error
    if len(tensors) != 1:
        names = ", ".join(sorted(tensors))
        raise ValueError(f"{path}: expected one tensor, got {len(tensors)} ({names})")
    return _beside(path, next(iter(tensors.values())).float().numpy())


def _read_spacy(path: Path) -> Table:
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
    return list(rows), vectors.data[list(rows.values())].astype(np.float32)


def _beside(path: Path, vectors: NDArray[Any]) -> Table:
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
        return words, np.array(vectors, dtype=np.float32)


_BY_ENDING = {".bin": "binary", ".npy": "numpy", ".safetensors": "safetensors"}
READERS = {
    "text": _read_text,
    "binary": _read_binary,
    "numpy": _read_numpy,
    "safetensors": _read_safetensors,
    "spacy": _read_spacy,
}


def _coverage(file: str, part: PretrainedEmbedding, tokens: Counter[str]) -> str:
    found = [token for token in tokens if part.indexer.place(token) != UNKNOWN]
    types, occurrences = max(len(tokens), 1), max(tokens.total(), 1)
    return (
        f"{file}: {len(part.indexer.vocabulary.items):,} vectors; "
        f"they cover {100 * len(found) / types:.1f} % of the distinct training words and "
        f"{100 * sum(tokens[token] for token in found) / occurrences:.1f} % of the tokens"
    )
