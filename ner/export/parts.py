"""The graph of each embedding, from the arrays of its indexer to vectors.

Each function takes the names of arrays whose first axis is tokens, and returns the name of their
vectors, ``(tokens, width)``: the result of the embedding's ``forward`` in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ner.embeddings import (
    AffixEmbedding,
    CharacterCNN,
    CharacterLSTM,
    ColumnEmbedding,
    DocumentEmbedding,
    Embedding,
    GazetteerEmbedding,
    GivenEmbedding,
    PairEmbedding,
    PretrainedEmbedding,
    ReferencedEmbedding,
    TopicEmbedding,
    TransformerEmbedding,
    VectorEmbedding,
    WordEmbedding,
)
from ner.embeddings.characters import CharacterEmbedding
from ner.export.graph import FLOAT, INT64, Graph
from ner.indexers.base import PADDING
from ner.indexers.document import HEADLINE, TOPIC

Floats = NDArray[np.float32]
INT32 = 6  # TensorProto.INT32


def numbers(tensor: Any) -> Floats:
    """Return a weight as an array."""
    array: Floats = tensor.detach().cpu().float().numpy()
    return array


def _as_they_are(graph: Graph, part: GivenEmbedding, indices: Sequence[str]) -> str:
    """Return the given vectors."""
    return indices[0]


def _rows(graph: Graph, part: Any, indices: Sequence[str]) -> str:
    """Look up one row per token."""
    return graph.table(numbers(part.vectors.weight), indices[0])


def _pretrained(graph: Graph, part: PretrainedEmbedding, indices: Sequence[str]) -> str:
    return _projected(graph, part, _rows(graph, part, indices))


def _referenced(graph: Graph, part: ReferencedEmbedding, indices: Sequence[str]) -> str:
    return _projected(graph, part, indices[0])


def _projected(graph: Graph, part: PretrainedEmbedding | ReferencedEmbedding, vectors: str) -> str:
    if part.projection is None:
        return vectors
    return graph.product(vectors, numbers(part.projection.weight).T)


def _pairs(graph: Graph, part: PairEmbedding, indices: Sequence[str]) -> str:
    return graph.reshape(_rows(graph, part, indices), 0, part.width)


def _affixes(graph: Graph, part: AffixEmbedding, indices: Sequence[str]) -> str:
    return _side_by_side(graph, list(part.vectors.values()), indices[0])


def _tables(graph: Graph, part: Any, indices: Sequence[str]) -> str:
    return _side_by_side(graph, list(part.tables), indices[0])


def _side_by_side(graph: Graph, tables: Sequence[Any], indices: str) -> str:
    """Look up tables of the same width, one column of indices each, ``(tokens, width)``."""
    weights = [numbers(table.weight) for table in tables]
    sizes = [len(table) for table in weights]
    begins = graph.constant(np.cumsum([0, *sizes[:-1]]))
    rows = graph.table(np.concatenate(weights), graph.op("Add", indices, begins))
    return graph.reshape(rows, 0, sum(table.shape[1] for table in weights))


def _document(graph: Graph, part: DocumentEmbedding, indices: Sequence[str]) -> str:
    flags, before, after = indices
    vectors = [
        _side_by_side(graph, list(part.flags), flags),
        _bag(graph, part.before, before),
        _bag(graph, part.after, after),
    ]
    return graph.op("Concat", *vectors, axis=1)


def _topic(graph: Graph, part: TopicEmbedding, indices: Sequence[str]) -> str:
    position, headline, topic = graph.split(indices[0], 1, [1, HEADLINE, TOPIC])
    vectors = [
        graph.table(numbers(part.position.weight), graph.reshape(position, -1)),
        _bag(graph, part.headline, headline),
        _bag(graph, part.topic, topic),
    ]
    return graph.op("Concat", *vectors, axis=1)


def _bag(graph: Graph, table: nn.EmbeddingBag, words: str) -> str:
    """Return the mean vector of each token's words, ignoring padding; 0 if none."""
    vectors = graph.table(numbers(table.weight), words)  # (tokens, words, width)
    real = graph.op("Cast", _is_real(graph, words), to=FLOAT)
    one = graph.constant(1.0, np.float32)
    axis = graph.constant([1])
    count = graph.op("Max", graph.op("ReduceSum", real, axis, keepdims=1), one)
    shares = graph.op("Div", real, count)  # (tokens, words)
    weighted = graph.op("Mul", vectors, graph.op("Unsqueeze", shares, graph.constant([2])))
    return graph.op("ReduceSum", weighted, axis, keepdims=0)


def _transformer(graph: Graph, part: TransformerEmbedding, indices: Sequence[str]) -> str:
    """Return standardised states; with a mixture, the weighted sum over layers."""
    rows = len(part.mean)
    scale = numbers(part.scale)
    if part.mixture is not None:
        scale = scale * numbers(part.mixture.softmax(0))[:, None]
    centred = graph.op("Sub", indices[0], graph.constant(numbers(part.mean).ravel(), np.float32))
    scaled = graph.op("Mul", centred, graph.constant(scale.ravel(), np.float32))
    if rows == 1:
        return scaled
    layers = graph.split(scaled, 1, [part.width] * rows)
    total = layers[0]
    for layer in layers[1:]:
        total = graph.op("Add", total, layer)
    return total


def _is_real(graph: Graph, indices: str) -> str:
    return graph.op("Not", graph.op("Equal", indices, graph.constant(PADDING)))


def _characters(graph: Graph, part: CharacterEmbedding, indices: str) -> tuple[str, str, str]:
    """Return the characters of tokens, cut to the longest token.

    Returns:
        Their vectors ``(tokens, longest, width)``, their mask ``(tokens, longest)``, and the
        number of characters of each token ``(tokens,)``.
    """
    there = graph.op("Cast", _is_real(graph, indices), to=INT64)
    lengths = graph.op("ReduceSum", there, graph.constant([1]), keepdims=0)
    longest = graph.op("ReduceMax", lengths, axes=[0], keepdims=1)
    axis = graph.constant([1])
    cut = graph.op("Slice", indices, graph.constant([0]), longest, axis)
    return graph.table(numbers(part.vectors.weight), cut), _is_real(graph, cut), lengths


def _character_cnn(graph: Graph, part: CharacterCNN, indices: Sequence[str]) -> str:
    characters, real, _ = _characters(graph, part, indices[0])
    side, width = part.window // 2, part.vectors.embedding_dim
    padded = graph.op("Pad", characters, graph.constant([0, side, 0, 0, side, 0]))
    far = np.iinfo(np.int64).max
    shifted = [
        graph.part(padded, 1, shift, shift - 2 * side if shift < 2 * side else far)
        for shift in range(part.window)
    ]
    windows = graph.op("Concat", *shifted, axis=2)  # (tokens, longest, window * width)
    weights = numbers(part.filters.weight).reshape(-1, width, part.window)
    kernel = weights.transpose(2, 1, 0).reshape(part.window * width, -1)
    filtered = graph.product(windows, kernel)
    lowest = graph.constant(-1e4, np.float32)
    kept = graph.op("Where", graph.op("Unsqueeze", real, graph.constant([2])), filtered, lowest)
    # max(x + b) = max(x) + b, and every token has a character: add the bias after pooling
    maxima = graph.op("ReduceMax", kept, axes=[1], keepdims=0)
    return graph.op("Add", maxima, graph.constant(numbers(part.filters.bias), np.float32))


def _character_lstm(graph: Graph, part: CharacterLSTM, indices: Sequence[str]) -> str:
    characters, _, lengths = _characters(graph, part, indices[0])
    weights = [_lstm_weights(lstm) for lstm in (part.ahead, part.back)]
    inputs, recurrent, bias = (
        graph.constant(np.stack(both), np.float32) for both in zip(*weights, strict=True)
    )
    steps = graph.op("Transpose", characters, perm=[1, 0, 2])
    _, last = graph.ops(
        "LSTM", steps, inputs, recurrent, bias, graph.op("Cast", lengths, to=INT32),
        count=2, hidden_size=part.width // 2, direction="bidirectional",
    )  # fmt: skip
    return graph.reshape(graph.op("Transpose", last, perm=[1, 0, 2]), 0, part.width)


def _lstm_weights(lstm: nn.LSTM) -> tuple[Floats, Floats, Floats]:
    """Return the weights of an LSTM, its gates in ONNX's order: input, output, forget, cell."""
    inputs, recurrent, bias, second_bias = (numbers(weight) for weight in lstm.parameters())
    width = lstm.hidden_size
    order = np.arange(4 * width).reshape(4, width)[[0, 3, 1, 2]].reshape(-1)
    return inputs[order], recurrent[order], np.concatenate([bias[order], second_bias[order]])


Drawing = Callable[[Graph, Any, Sequence[str]], str]
DRAWINGS: Mapping[type[Embedding], Drawing] = {
    WordEmbedding: _rows,
    CharacterCNN: _character_cnn,
    CharacterLSTM: _character_lstm,
    AffixEmbedding: _affixes,
    DocumentEmbedding: _document,
    TopicEmbedding: _topic,
    PairEmbedding: _pairs,
    VectorEmbedding: _rows,
    PretrainedEmbedding: _pretrained,
    ReferencedEmbedding: _referenced,
    ColumnEmbedding: _tables,
    GazetteerEmbedding: _tables,
    GivenEmbedding: _as_they_are,
    TransformerEmbedding: _transformer,
}
