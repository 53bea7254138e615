"""The directory of an exported model, checked before any of it is used.

It contains ``runtime.json`` (the format version, indexers with their vocabularies, labels, the
scores of the CRF, the decoding, the SHA-256 of every other file), the graphs ``types.onnx`` and
``emissions.onnx``, and ``README.md``. Nothing is unpickled; the graphs contain only operators of
onnxruntime.

No graph may refer to another file. ONNX allows a tensor to be stored in a file of its own, at any
path, and versions of onnxruntime differ in which of these they open, so every tensor of every graph
is checked here. The bytes are parsed once, as messages of Protocol Buffers
(https://protobuf.dev/programming-guides/encoding); field numbers are those of `onnx.proto3`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.errors import ModelError
from ner.indexers import INDEXERS, ContextIndexer, TypeIndexer
from ner.inference.decoding import Decoding
from ner.inference.span_decoder import Moves
from ner.schemes import Scheme, distinct_labels, scheme_named
from ner.storage.manifest import EXPORTED, Manifest, read_consistently
from ner.streaming.tokenizers import BUILTIN, checked_name

# The fields of each message that contain messages, and their kinds: all that may contain a tensor.
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of a tensor
DEEPEST = 200  # messages within messages
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}  # bytes of a value by its wire type
_LARGEST_KEY, _LONGEST = 1 << 32, 10  # of the number and type of a field; bytes of an integer
TYPES, EMISSIONS = "types.onnx", "emissions.onnx"
TRANSFORMERS = tuple(f"transformer{place}.onnx" for place in range(20))  # by their context part
SPLITS = ("development", "test")
SAID = ("scheme", "labels", "types", "contexts", "crf", "decoding")
MANIFEST = Manifest(
    EXPORTED, 1, frozenset(SAID), frozenset({TYPES, EMISSIONS}), frozenset(TRANSFORMERS)
)


def check_graph(graph: bytes) -> None:
    """Check that a graph refers to no other file.

    Raises:
        ValueError: It does, or it is not a graph.
    """
    waiting = [("model", 0, len(graph), 0)]
    while waiting:
        kind, start, end, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"messages are nested more than {DEEPEST} deep")
        inner = MESSAGES[kind]
        for number, wire, value, size in _fields(graph, start, end):
            if wire == _BYTES and number in inner:
                waiting.append((inner[number], value, value + size, depth + 1))
            elif kind == "tensor":
                _check_tensor(number, wire, value)


def _check_tensor(number: int, wire: int, value: int) -> None:
    elsewhere = number == DATA_LOCATION and wire == _VARINT and value & 0xFFFFFFFF
    if elsewhere or number == EXTERNAL_DATA:
        raise ValueError("a tensor refers to another file, which is not allowed")


def _fields(graph: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, and value (or place and size) of each field of a message.

    Raises:
        ValueError: It is not a message.
    """
    at = start
    while at < end:
        key, at = _varint(graph, at, end)
        number, wire = key >> 3, key & 7
        value, size = at, 0
        if wire == _VARINT:
            value, at = _varint(graph, at, end)
        elif wire == _BYTES:
            size, value = _varint(graph, at, end)
            at = value + size
        elif wire in _FIXED:
            at += _FIXED[wire]
        if at > end or not number or key >= _LARGEST_KEY or wire not in (_VARINT, _BYTES, *_FIXED):
            raise ValueError(f"not a graph of ONNX (at byte {at:,})")
        yield number, wire, value, size


def _varint(graph: bytes, at: int, end: int) -> tuple[int, int]:
    """Return an integer (7 bits per byte, lowest first), and the position after it."""
    value = 0
    for shift in range(_LONGEST):
        if at >= end:
            break
        byte = graph[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at
    raise ValueError(f"not a graph of ONNX (at byte {at:,})")


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """The contents of the directory of an exported model.

    Attributes:
        scheme: The tagging scheme.
        labels: The labels, in the order of their tags.
        types: The indexers of tokens, in the order of the graph's inputs.
        contexts: The indexers of contexts.
        moves: The scores of the CRF.
        decoding: The decoding of spans.
        graphs: The graphs by file name.
        tokenizer: The tokenizer of raw texts.
        metrics: The scores on development and test data, if known.
        embeddings: The names of the embeddings, if known.
    """

    scheme: Scheme
    labels: tuple[str, ...]
    types: tuple[TypeIndexer, ...]
    contexts: tuple[ContextIndexer, ...]
    moves: Moves
    decoding: Decoding
    graphs: Mapping[str, bytes]
    tokenizer: str
    metrics: Mapping[str, Any]
    embeddings: tuple[str, ...]


def read(path: Path) -> Exported:
    """Read the directory of an exported model.

    Raises:
        ModelError: It is missing, damaged, hostile, or of a newer version of ner.
    """
    return read_consistently(path, lambda: _read(path))


def _read(path: Path) -> Exported:
    description = MANIFEST.read(path)
    try:
        scheme, labels = scheme_named(description["scheme"]), distinct_labels(description["labels"])
        return Exported(
            scheme,
            labels,
            _indexers(description["types"], TypeIndexer),
            _indexers(description["contexts"], ContextIndexer),
            _moves(description["crf"], len(scheme.tags(labels))),
            Decoding.read(description["decoding"]),
            {
                name: _graph(path / name)
                for name in (TYPES, EMISSIONS, *TRANSFORMERS)
                if name in description["files"]
            },
            checked_name(description.get("tokenizer", BUILTIN)),
            _metrics(description.get("metrics", {})),
            tuple(map(str, description.get("embeddings", ()))),
        )
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a usable model: {reason}") from error


def _metrics(described: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: described[name] for name in SPLITS if isinstance(described.get(name), dict)}


def _graph(file: Path) -> bytes:
    content = file.read_bytes()
    try:
        check_graph(content)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None
    return content


def _indexers(described: Sequence[Mapping[str, Any]], wanted: type[Any]) -> tuple[Any, ...]:
    """Build indexers of one kind from their settings."""
    made = []
    for one in described:
        settings = {name: value for name, value in one.items() if name != "kind"}
        indexer = INDEXERS[one["kind"]](**settings)
        if not isinstance(indexer, wanted):
            raise ValueError(f"{one['kind']} is not a {wanted.__name__}")
        made.append(indexer)
    return tuple(made)


def _moves(scores: Mapping[str, Any], tags: int) -> Moves:
    """Return the scores of the CRF; ``null`` is minus infinity."""
    shapes = {"transitions": (tags, tags), "start": (tags,), "end": (tags,)}
    arrays = {name: _array(scores[name], shape) for name, shape in shapes.items()}
    return Moves(**arrays)


def _array(values: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # values that overflow become infinite and are rejected
        array = np.array(values, dtype=np.float32)  # `null` becomes NaN
    if array.shape != shape or np.isinf(array).any():
        raise ValueError(f"expected finite scores of the shape {shape}, found {array.shape}")
    return np.where(np.isnan(array), np.float32(-np.inf), array)
