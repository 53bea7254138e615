"""The directory of an exported model: what is in it, checked before any of it is used.

It holds ``runtime.json`` (the format's version, indexers with their vocabularies, labels, the
scores of the CRF, how spans are chosen, the SHA-256 of every other file), the graphs
``types.onnx`` and ``emissions.onnx``, and ``README.md``. Nothing in it is unpickled; what is in
the graphs are operators of onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ner.errors import ModelError
from ner.indexers import INDEXERS, ContextIndexer, TypeIndexer
from ner.inference.decoding import Decoding
from ner.inference.span_decoder import Moves
from ner.runtime.graph_check import check_graph
from ner.schemes import Scheme, distinct_labels, scheme_named
from ner.storage.manifest import EXPORTED, Manifest, read_consistently
from ner.streaming.tokenizers import BUILTIN, checked_name

TYPES, EMISSIONS = "types.onnx", "emissions.onnx"
TRANSFORMERS = tuple(f"transformer{place}.onnx" for place in range(20))  # by their context part
SPLITS = ("development", "test")
SAID = ("scheme", "labels", "types", "contexts", "crf", "decoding")
MANIFEST = Manifest(
    EXPORTED, 1, frozenset(SAID), frozenset({TYPES, EMISSIONS}), frozenset(TRANSFORMERS)
)


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """What a directory says.

    Attributes:
        scheme: How spans are written as tags.
        labels: The labels, in the order of their tags.
        types: The indexers of what is seen of tokens alone, in the order of the graph's inputs.
        contexts: Those of what is seen of their surroundings.
        moves: The scores of the CRF.
        decoding: How spans are chosen.
        graphs: The graphs by their file's name.
        tokenizer: The tokenizer of raw texts.
        metrics: The scores of development and test, where they are known.
        embeddings: The names of its embeddings, where they are known.
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
    """What is in the directory of an exported model.

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
    """Indexers of one kind from their settings."""
    made = []
    for one in described:
        settings = {name: value for name, value in one.items() if name != "kind"}
        indexer = INDEXERS[one["kind"]](**settings)
        if not isinstance(indexer, wanted):
            raise ValueError(f"{one['kind']} is no {wanted.__name__}")
        made.append(indexer)
    return tuple(made)


def _moves(scores: Mapping[str, Any], tags: int) -> Moves:
    """The scores of the CRF; ``null`` is minus infinity."""
    shapes = {"transitions": (tags, tags), "start": (tags,), "end": (tags,)}
    arrays = {name: _array(scores[name], shape) for name, shape in shapes.items()}
    return Moves(**arrays)


def _array(values: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        array = np.array(values, dtype=np.float32)  # `null` becomes NaN
    if array.shape != shape or np.isinf(array).any():
        raise ValueError(f"expected finite scores of the shape {shape}, found {array.shape}")
    return np.where(np.isnan(array), np.float32(-np.inf), array)
