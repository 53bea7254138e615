"""Split words into subwords and documents into windows, for transformer embeddings.

The windows of a document depend only on its text, so a token has the same context no matter which
sentences are processed together. States of a frozen transformer are cached on disk, others in
memory up to a limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ner.errors import ConfigError
from ner.storage.atomic import atomic_write, write_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = NDArray[np.float32]
DIGEST = 32  # bytes of a key
REMEMBERED = 64 << 20  # bytes of states cached in memory
MISSING = (
    "transformer embeddings need the packages transformers and tokenizers; install them with "
    "pip install 'ner-crf[transformers]'"
)
WORDS = 1 << 16  # maximum number of words whose subwords are cached
MOST = 64  # maximum subwords of a word; names are shorter, and base64 says little
LONGEST = 2000  # maximum characters of a word
OVERLAP = 32  # subwords that windows share if a sentence is split
Integers = NDArray[np.int32]


class Features:
    """A cache of float32 arrays on disk, by the hash of their key.

    Each ``add`` writes two files: the rows (``HASH.npy``), then their keys and counts
    (``HASH.keys``). Both are written atomically, so processes may share a folder, and a killed one
    does no harm.

    Args:
        folder: The folder; created if it is missing.

    Raises:
        OSError: The folder cannot be created or read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[bytes, tuple[str, int, int]] = {}  # file, start and end
        self._files: dict[str, Floats] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(folder.glob("*.keys")):
            self._learn(file.stem, file.read_bytes())

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: bytes) -> Floats | None:
        """Return the rows of a key, ``(rows, width)``, or ``None``."""
        place = self._known.get(_hashed(key))
        if place is None:
            return None
        name, start, end = place
        if name not in self._files:
            self._files[name] = np.load(self._folder / f"{name}.npy", mmap_mode="c")
        return self._files[name][start:end]

    def add(self, found: Mapping[bytes, Floats]) -> None:
        """Store the rows of some keys.

        Raises:
            OSError: They cannot be written; existing rows are unchanged.
        """
        keys = np.frombuffer(b"".join(map(_hashed, found)), np.uint8).reshape(-1, DIGEST)
        counts = np.array([len(rows) for rows in found.values()], "<i8").view(np.uint8)
        records = np.concatenate((keys, counts.reshape(-1, 8)), axis=1).tobytes()
        name = hashlib.sha256(records).hexdigest()
        with atomic_write(self._folder / f"{name}.npy", "wb") as file:
            np.save(file, np.concatenate(list(found.values())), allow_pickle=False)
        write_bytes(self._folder / f"{name}.keys", records)
        self._learn(name, records)

    def _learn(self, name: str, records: bytes) -> None:
        table = np.frombuffer(records, np.uint8).reshape(-1, DIGEST + 8)
        counts = table[:, DIGEST:].copy().view("<i8").ravel().tolist()
        end = 0
        for key, count in zip(table[:, :DIGEST], counts, strict=True):
            self._known[key.tobytes()] = (name, end, end + count)
            end += count


class Memory:
    """A bounded cache of the states of recent windows. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._version: tuple[int, ...] | None = None
        self._known: dict[bytes, Floats] = {}
        self._bytes = 0

    def at(self, version: tuple[int, ...]) -> Self:
        """Return this cache, cleared if the weights have changed."""
        with self._lock:
            if version != self._version:
                self._version, self._known, self._bytes = version, {}, 0
        return self

    def find(self, key: bytes) -> Floats | None:
        return self._known.get(key)

    def add(self, fresh: Mapping[bytes, Floats]) -> None:
        with self._lock:
            self._known.update(fresh)
            self._bytes += sum(states.nbytes for states in fresh.values())
            while self._bytes > REMEMBERED and self._known:
                self._bytes -= self._known.pop(next(iter(self._known))).nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, ()


def _hashed(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def default_folder() -> Path:
    """Return the default folder of the features."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "ner" / "features"
    with contextlib.suppress(RuntimeError):  # no home
        return Path.home() / ".cache" / "ner" / "features"
    from tempfile import gettempdir

    return Path(gettempdir()) / "ner-features"


@dataclass(frozen=True, slots=True, eq=False)
class SubwordWindow:
    """A window of subwords, the input of a transformer.

    Attributes:
        ids: All subwords, including special tokens and context, ``(subwords,)``.
        start: The index in ``ids`` of the first subword of the first word.
        counts: The number of subwords of each word, ``(words,)``.
    """

    ids: Integers
    start: int
    counts: Integers

    @property
    def key(self) -> bytes:
        """A key of everything that the states of its words depend on."""
        return b"".join(
            (self.start.to_bytes(4, "little"), self.counts.tobytes(), self.ids.tobytes())
        )

    def __len__(self) -> int:
        return len(self.counts)


class Subwords:
    """Splits words into subwords, each distinct word once.

    Args:
        tokenizer: The text of a ``tokenizer.json``.

    Attributes:
        prefix: The special tokens before a text.
        suffix: The special tokens after it.

    Raises:
        ConfigError: The package ``tokenizers`` is missing, or the text is not valid.
    """

    def __init__(self, tokenizer: str) -> None:
        self.text = tokenizer
        self._tokenizer = _read(tokenizer)
        self._known: dict[str, tuple[int, ...]] = {}
        example = self._tokenizer.encode("a")
        own = [place for place, special in enumerate(example.special_tokens_mask) if not special]
        first, last = (own[0], own[-1] + 1) if own else (len(example.ids), len(example.ids))
        self.prefix = tuple(example.ids[:first])
        self.suffix = tuple(example.ids[last:])

    def __call__(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the subwords of each word, at least one and at most ``MOST``."""
        known = self._known
        new = sorted({word for word in words if word not in known})
        if new:
            if len(known) + len(new) > WORDS:  # not cleared in place: other threads may read it
                known = self._known = {}
                new = sorted(set(words))
            texts = [self._lead + _encodable(word[:LONGEST]) for word in new]
            encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            for word, found in zip(new, encoded, strict=True):
                known[word] = tuple(found.ids[:MOST]) or (self._unknown,)
        return [known[word] for word in words]

    @cached_property
    def _lead(self) -> str:
        """The prefix of each word: byte-level vocabularies mark words by a leading space."""
        parts = list(_parts(json.loads(self.text).get("pre_tokenizer")))
        kinds = {part.get("type") for part in parts}
        prefixed = any(part.get("add_prefix_space") for part in parts)
        return " " if "ByteLevel" in kinds and not prefixed else ""

    @cached_property
    def _unknown(self) -> int:
        """The subword for words that have none, such as a zero-width character."""
        model = json.loads(self.text).get("model") or {}
        number = model.get("unk_id")
        if number is None and isinstance(model.get("unk_token"), str):
            number = self._tokenizer.token_to_id(model["unk_token"])
        return next(n for n in (number, *self.suffix, *self.prefix, 0) if n is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        return Subwords, (self.text,)

    def __deepcopy__(self, memo: object) -> Subwords:
        return Subwords(self.text)


def _encodable(word: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by question marks."""
    return word.encode("utf-8", "replace").decode("utf-8")


def _read(text: str) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ConfigError(MISSING) from None
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:
        raise ConfigError(f"tokenizer.json is not valid: {str(error)[:200]}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _parts(pre_tokenizer: Any) -> Iterator[dict[str, Any]]:
    """Yield a pre-tokenizer and its components."""
    if isinstance(pre_tokenizer, dict):
        yield pre_tokenizer
        for inner in pre_tokenizer.get("pretokenizers") or ():
            yield from _parts(inner)


class Windows:
    """The windows of a document.

    A window has as many consecutive sentences as fit. A longer sentence is split between words, and
    the context of its parts overlaps.

    Args:
        sentences: The tokens of each sentence of the document.
        subwords: Splits words into subwords.
        size: The maximum number of subwords of a window, without its context.
        context: The number of subwords of context on either side of a window.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[str]],
        subwords: Subwords,
        *,
        size: int,
        context: int,
    ) -> None:
        cut = subwords([word for words in sentences for word in words])
        self._specials = subwords.prefix, subwords.suffix
        self._ids = np.fromiter((n for ids in cut for n in ids), np.int32)
        self._counts = np.fromiter(map(len, cut), np.int32, len(cut))
        self._places = np.concatenate(([0], np.cumsum(self._counts, dtype=np.int64)))
        self._context = context
        self.starts = list(accumulate(map(len, sentences), initial=0))
        self._borders = set(self.starts)
        self.bounds = self._cut(size)

    def _cut(self, size: int) -> NDArray[np.int64]:
        """Return the first word of each window, and the number of words."""
        bounds, places = [0], self._places
        for first, last in zip(self.starts, self.starts[1:], strict=False):
            if first > bounds[-1] and places[last] - places[bounds[-1]] > size:
                bounds.append(first)
            while places[last] - places[bounds[-1]] > size:  # the sentence alone is too long
                end = int(np.searchsorted(places, places[bounds[-1]] + size, side="right")) - 1
                bounds.append(max(end, bounds[-1] + 1))
        if bounds[-1] < len(self._counts) or len(bounds) == 1:
            bounds.append(len(self._counts))
        return np.array(bounds, dtype=np.int64)

    def of(self, start: int, end: int) -> range:
        """Return the indices of the windows with the words ``[start, end)`` of the document."""
        first = int(np.searchsorted(self.bounds, start, side="right")) - 1
        last = int(np.searchsorted(self.bounds, end, side="left"))
        return range(first, max(last, first)) if end > start else range(0)

    def __getitem__(self, number: int) -> SubwordWindow:
        """Return a window with its context."""
        first, last = (int(n) for n in self.bounds[number : number + 2])
        start, end = int(self._places[first]), int(self._places[last])
        before, after = max(start - self._margin(first), 0), end + self._margin(last)
        prefix, suffix = self._specials
        ids = np.concatenate((prefix, self._ids[before:after], suffix)).astype(np.int32)
        return SubwordWindow(ids, len(prefix) + start - before, self._counts[first:last])

    def _margin(self, word: int) -> int:
        """Return the number of subwords of context at a border of a window."""
        return self._context if word in self._borders else max(self._context, OVERLAP)
