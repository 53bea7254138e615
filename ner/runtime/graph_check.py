"""Graphs of ONNX, checked before onnxruntime sees them: none may name another file.

A tensor of a graph may lie in a file of its own, at any path. Versions of onnxruntime differ in
which of these they open, so every tensor of every graph is looked at here, wherever it stands. The
bytes are walked once, as messages of Protocol Buffers (https://protobuf.dev/programming-guides/encoding);
the numbers of fields are those of `onnx.proto3`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# Which fields of a message hold messages, and of which kind: all in which a tensor may stand.
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


def check_graph(graph: bytes) -> None:
    """Refuse a graph that names another file.

    Raises:
        ValueError: It does, or is not a graph.
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
        raise ValueError("a tensor lies in another file, which is never opened")


def _fields(graph: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Give number, wire type, and value or place and size of each field of a message.

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
    """Return an integer, of 7 bits a byte and the lowest first, and where it ends."""
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
