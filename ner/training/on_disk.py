"""Training sentences on disk, for corpora that are larger than memory.

Sentences and their indices are written once, in chunks, to temporary files that have no name: the
system removes them with the process, however it ends, so that there is nothing to clean up and
nothing old that could be taken for the corpus. What grows in memory is a few bytes for each
sentence, and the distinct tokens.
"""

from __future__ import annotations

import json
import tempfile
import weakref
from abc import abstractmethod
from bisect import bisect_right
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain, count, repeat
from pathlib import Path
from typing import Any, TypeVar, overload
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from ner.batch import batched
from ner.scorer import Indexed
from ner.sentence import Document, Sentence, Span

CHUNK = 1 << 12  # sentences that are written and read together
DOCUMENTS = 1 << 16  # tokens of the documents that are written together
MADE = 10_000  # the number of cached spans

Array = NDArray[Any]
Item = TypeVar("Item")
Form = tuple[str, tuple[int, ...]]  # the type and the shape of an array


class ChunkFile:
    """Lists of arrays in a temporary file.

    Args:
        folder: The folder of the file.
        loaded: The number of lists that are kept in memory.

    Raises:
        OSError: The file cannot be written; the error names the folder.
    """

    def __init__(self, folder: Path, loaded: int = 2) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed in the next line
        weakref.finalize(self, self._file.close)
        self._places: list[tuple[int, list[Form]]] = []
        self._end = 0
        self._most = loaded
        self._loaded: OrderedDict[int, list[Array]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def append(self, arrays: Iterable[Array]) -> None:
        """Write a list of arrays, integers in the smallest type that holds them."""
        small = list(map(_small, arrays))
        self._places.append((self._end, [(one.dtype.str, one.shape) for one in small]))
        try:
            self._file.seek(self._end)
            for one in small:
                self._end += self._file.write(one.tobytes())
        except OSError as error:
            why = f"cannot be written: {error.strerror}"
            raise OSError(error.errno, why, str(self._folder)) from error

    def __getitem__(self, number: int) -> list[Array]:
        """Return a list; its integers may be of smaller types than they were."""
        found = self._loaded.pop(number, None)
        self._loaded[number] = found = self._read(number) if found is None else found
        if len(self._loaded) > self._most:
            self._loaded.popitem(last=False)
        return found

    def _read(self, number: int) -> list[Array]:
        start, forms = self._places[number]
        self._file.seek(start)
        found = []
        for kind, shape in forms:
            size = np.dtype(kind).itemsize * int(np.prod(shape))
            found.append(np.frombuffer(self._file.read(size), kind).reshape(shape))
        return found


def _small(array: Array) -> Array:
    """Return an array with integers of the smallest type that holds them."""
    if array.dtype.kind != "i" or not array.size or array.min() < 0:
        return array
    return array.astype(np.min_scalar_type(array.max()))


def _wide(array: Array) -> Array:
    """Return an array with integers of the type that networks read."""
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


class OnDemand(Sequence[Item]):
    """Items that are made when they are asked for."""

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, place: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._item(int(place) % len(self))

    @abstractmethod
    def _item(self, place: int) -> Item:
        """Return an item by its number."""


class Lazy(OnDemand[Sentence]):
    """Sentences that are not in memory; those that follow each other are made fast.

    Attributes:
        folder: The folder of temporary files.
    """

    folder: Path

    @abstractmethod
    def documents(self) -> NDArray[np.int64]:
        """Return the number of each sentence's document, -1 without one."""

    @cached_property
    def token_counts(self) -> Counter[str]:
        """The number of times each token occurs, in the order of its first occurrence."""
        return Counter(chain.from_iterable(sentence.tokens for sentence in self))


class View(Lazy):
    """Some of the sentences of others, which may be changed on the way.

    Args:
        parts: Sentences, the numbers of those to take in ascending order, and what makes each of
            them that of the view.
    """

    Part = tuple[Sequence[Sentence], Sequence[int] | NDArray[np.int64], Callable[..., Sentence]]

    def __init__(self, *parts: Part) -> None:
        self._parts = [(base, at, how) for base, at, how in parts if isinstance(base, Lazy)]
        self.folder = self._parts[0][0].folder
        self._ends = list(accumulate(len(places) for _, places, _ in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[Sentence]:
        for base, places, change in self._parts:
            whole = len(places) == len(base)
            yield from map(change, base if whole else map(base.__getitem__, places))

    def _item(self, place: int) -> Sentence:
        part = bisect_right(self._ends, place)
        base, places, change = self._parts[part]
        return change(base[int(places[place - self._ends[part] + len(places)])])

    def documents(self) -> NDArray[np.int64]:
        own = [base.documents()[np.asarray(places)] for base, places, _ in self._parts]
        return np.concatenate(own)


def same(sentence: Sentence) -> Sentence:
    """Return a sentence unchanged."""
    return sentence


class StoredSentences(Lazy):
    """Sentences in a temporary file, without texts, tags and vectors, which training does not use.

    Args:
        sentences: The sentences, which are read once.
        folder: The folder of the file.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, sentences: Iterable[Sentence], folder: Path) -> None:
        self.folder = folder
        self._chunks, self._texts = ChunkFile(folder), ChunkFile(folder, 8)
        self._length = 0
        self._spans: dict[tuple[int, ...], Span] = {}
        self._documents: WeakValueDictionary[int, Document] = WeakValueDictionary()
        self._held: tuple[int, list[Sentence]] = (-1, [])
        write = _Writer(self._chunks, self._texts)
        for some in batched(sentences, CHUNK):
            write.sentences(some)
            self._length += len(some)
        self._firsts = write.finish()  # the number of the first document of each list of texts
        self._forms, self._labels = list(write.forms), list(write.labels)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Sentence]:
        for number in range(len(self._chunks)):
            yield from self._made(number)

    def documents(self) -> NDArray[np.int64]:
        chunks = range(len(self._chunks))
        return np.concatenate([self._chunks[number][4].astype(np.int64) - 1 for number in chunks])

    @cached_property
    def token_counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for number in range(len(self._chunks)):
            counts.update(map(self._forms.__getitem__, self._chunks[number][1].tolist()))
        return counts

    def _item(self, place: int) -> Sentence:
        number, place = divmod(place, CHUNK)
        if self._held[0] != number:
            self._held = (number, self._made(number))
        return self._held[1][place]

    def _made(self, number: int) -> list[Sentence]:
        """Return the sentences of a chunk."""
        lengths, tokens, counts, spans, documents, positions, lines, *texts = self._chunks[number]
        words = tuple(map(self._forms.__getitem__, tokens.tolist()))
        found = [self._span(start, end, label) for start, end, label in spans.tolist()]
        marks, columns = (_parted(*texts[place : place + 2]) for place in (0, 2))
        sentences, end, last = [], 0, 0
        held: dict[int, Document] = {}  # keeps the documents of this chunk
        figures = (array.tolist() for array in (lengths, counts, documents, positions, lines))
        rows = zip(*figures, marks, columns, strict=True)
        for length, several, document, position, line, mark, column in rows:
            start, end = end, end + length
            first, last = last, last + max(several - 1, 0)
            if document and document not in held:
                held[document] = self._document(document - 1)
            sentences.append(
                Sentence(
                    words[start:end],
                    tuple(found[first:last]) if several else None,
                    StoredColumns(column) if column else {},
                    document=held.get(document),
                    position=position,
                    line=line,
                    **(_marks(mark) if mark else {}),
                )
            )
        return sentences

    def _span(self, *span: int) -> Span:
        """Return a span by its start, its end and the number of its label."""
        made = self._spans.get(span)
        if made is None:
            if len(self._spans) >= MADE:
                self._spans.clear()
            start, end, label = span
            self._spans[span] = made = Span(start, end, self._labels[label])
        return made

    def _document(self, number: int) -> Document:
        """Return a document by its number; as long as one is in use, it is the same object."""
        found = self._documents.get(number)
        if found is None:
            place = bisect_right(self._firsts, number) - 1
            sizes, lengths, tokens, *names = self._texts[place]
            own = number - self._firsts[place]
            first, last = int(sizes[:own].sum()), int(sizes[: own + 1].sum())
            start = int(lengths[:first].sum())
            rows = []
            for length in lengths[first:last].tolist():
                row = tokens[start : start + length].tolist()
                rows.append(tuple(map(self._forms.__getitem__, row)))
                start += length
            name = json.loads(_parted(*names)[own])
            self._documents[number] = found = Document(tuple(rows), name)
        return found


class StoredColumns(Mapping[str, tuple[str, ...]]):
    """The other columns of a sentence, read when they are asked for.

    Args:
        raw: The columns as JSON.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> tuple[str, ...]:
        return tuple(json.loads(self._raw)[name])

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._raw))

    def __len__(self) -> int:
        return len(json.loads(self._raw))


def _marks(raw: bytes) -> dict[str, Any]:
    """Return the arguments of a sentence whose annotation is partial."""
    return {name: frozenset(values) for name, values in json.loads(raw).items()}


class _Writer:
    """Writes sentences and their documents as lists of arrays.

    Attributes:
        forms: The number of each distinct token.
        labels: The number of each label.
    """

    def __init__(self, chunks: ChunkFile, texts: ChunkFile) -> None:
        self.forms: defaultdict[str, int] = defaultdict(count().__next__)
        self.labels: defaultdict[str, int] = defaultdict(count().__next__)
        self._chunks, self._texts = chunks, texts
        self._numbers: WeakKeyDictionary[Document, int] = WeakKeyDictionary()
        self._next = count(1)
        self._waiting: list[Document] = []  # documents still to be written
        self._tokens = 0  # of these
        self._firsts = [0]

    def sentences(self, some: Sequence[Sentence]) -> None:
        """Write a chunk."""
        spans = [
            (span.start, span.end, self.labels[span.label]) for s in some for span in s.spans or ()
        ]
        figures = [
            (
                0 if s.spans is None else len(s.spans) + 1,
                self._number(s.document),
                s.position,
                s.line,
            )
            for s in some
        ]
        counts, documents, positions, lines = np.array(figures, np.int64).T
        lengths, tokens = self._numbered([sentence.tokens for sentence in some])
        marks, columns = map(_mark, some), (s.columns and dict(s.columns) for s in some)
        self._chunks.append(
            [
                *(lengths, tokens, counts, np.array(spans, np.int64).reshape(-1, 3)),
                *(documents, positions, lines, *_joined(marks), *_joined(columns)),
            ]
        )

    def finish(self) -> list[int]:
        """Write the rest, and return the number of the first document of each list."""
        self._write()
        return self._firsts

    def _number(self, document: Document | None) -> int:
        """Return the number of a document, from 1; 0 for none."""
        if document is None:
            return 0
        found = self._numbers.get(document)
        if found is None:
            self._numbers[document] = found = next(self._next)
            self._waiting.append(document)
            self._tokens += sum(map(len, document.tokens))
            if self._tokens >= DOCUMENTS:
                self._write()
        return found

    def _write(self) -> None:
        sizes = np.array([len(document.tokens) for document in self._waiting], np.int64)
        rows = list(chain.from_iterable(document.tokens for document in self._waiting))
        names = _joined(document.id for document in self._waiting)
        self._texts.append([sizes, *self._numbered(rows), *names])
        self._firsts.append(self._firsts[-1] + len(self._waiting))
        self._waiting, self._tokens = [], 0

    def _numbered(self, rows: Sequence[Sequence[str]]) -> tuple[Array, Array]:
        """Return the lengths of rows of tokens, and the numbers of the tokens."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        numbers = map(self.forms.__getitem__, chain.from_iterable(rows))
        return lengths, np.fromiter(numbers, np.int64, int(lengths.sum()))


def _mark(sentence: Sentence) -> dict[str, list[Any]]:
    """Return what an annotation leaves open."""
    marks: dict[str, list[Any]] = {}
    if sentence.unknown:
        marks["unknown"] = sorted(sentence.unknown)
    if sentence.labels is not None:
        marks["labels"] = sorted(sentence.labels)
    return marks


def _joined(values: Iterable[Any]) -> tuple[Array, Array]:
    """Return values as JSON, the empty ones as nothing: the length of each, and all bytes."""
    raw = [json.dumps(value).encode() if value or value == "" else b"" for value in values]
    return np.array(list(map(len, raw)), np.int64), np.frombuffer(b"".join(raw), np.uint8)


def _parted(lengths: Array, raw: Array) -> list[bytes]:
    """Return the values of `_joined`, each as bytes."""
    whole, ends = raw.tobytes(), np.cumsum(lengths, dtype=np.int64).tolist()
    return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _stacked(pieces: Sequence[Indexed]) -> Iterator[Array]:
    """Yield the arrays of a chunk of indexed sentences."""
    yield np.cumsum([0, *map(len, pieces)])
    yield np.concatenate([piece.types for piece in pieces])
    yield np.concatenate([piece.tags for piece in pieces if piece.tags is not None])
    opens = [piece.candidates for piece in pieces]
    yield np.cumsum([0, *(0 if one is None else len(one) for one in opens)])
    open_ = [one for one in opens if one is not None]
    yield np.concatenate(open_) if open_ else np.zeros((0, 1), bool)
    for parts in zip(*(piece.contexts for piece in pieces), strict=True):
        for arrays in zip(*parts, strict=True):
            if all(array.strides[0] == 0 for array in arrays):
                yield np.stack([array[0] for array in arrays])  # one row for all tokens
            else:
                yield np.concatenate(arrays)


def _rows(array: Array, place: tuple[int, int, int, int]) -> Array:
    """Return the rows of a sentence in an array of a chunk.

    Args:
        array: A row for each token of the chunk, or one for each sentence.
        place: The number of the sentence in the chunk, its first token and the one after its last,
            and the number of tokens of the chunk.
    """
    number, start, end, tokens = place
    if len(array) == tokens:
        return _wide(array[start:end])
    return np.broadcast_to(_wide(array[number]), (end - start, *array.shape[1:]))


class PackedPieces(OnDemand[Indexed]):
    """Indexed sentences as a few large arrays of small integers, in memory or in a file.

    Args:
        pieces: The sentences, which are read once; all have tags.
        chunks: Where the arrays are kept.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, pieces: Iterable[Indexed], chunks: ChunkFile | list[list[Array]]) -> None:
        self._chunks = chunks
        self._widths: list[int] = []  # the number of arrays of each context embedding
        lengths = []
        for some in batched(pieces, CHUNK):
            self._widths = list(map(len, some[0].contexts))
            lengths.append(np.fromiter(map(len, some), np.int32, len(some)))
            self._chunks.append(list(map(_small, _stacked(some))))
        self.lengths = np.concatenate(lengths) if lengths else np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def _item(self, place: int) -> Indexed:
        number, own = divmod(place, CHUNK)
        ends, types, tags, opens, allowed, *arrays = self._chunks[number]
        start, end = int(ends[own]), int(ends[own + 1])
        rest = map(_rows, arrays, repeat((own, start, end, len(types))))
        candidates = allowed[int(opens[own]) : int(opens[own + 1])]
        return Indexed(
            _wide(types[start:end]),
            tuple(tuple(next(rest) for _ in range(width)) for width in self._widths),
            _wide(tags[start:end]),
            candidates if len(candidates) else None,
        )
