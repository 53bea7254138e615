"""Export a transformer as a graph: encoders of the BERT family (Devlin et al. 2019).

Each layer is self-attention and a feed-forward network, both followed by a residual connection and
layer normalisation: BERT, RoBERTa, XLM-RoBERTa, CamemBERT, and models of these types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ner.embeddings import TransformerEmbedding
from ner.errors import ConfigError
from ner.export.graph import Graph
from ner.export.parts import numbers

Weights = Mapping[str, NDArray[np.float32]]
FAMILY = ("bert", "roberta", "xlm-roberta", "camembert")
AFTER_PADDING = FAMILY[1:]  # types whose positions start after the index of padding
LOW = -1e9  # attention score of padding


def transformer_graph(part: TransformerEmbedding, *, int8: bool = False) -> bytes:
    """Build the graph from subwords to states.

    Inputs are ``ids`` and ``mask (windows, length)``; the output is ``states (windows, length,
    state_width)``: the mean of the layers that are used, or their concatenation.

    Raises:
        ConfigError: The type of the transformer is not supported.
    """
    config = part.config
    kind = config.get("model_type")
    if kind not in FAMILY or config.get("hidden_act", "gelu") != "gelu":
        raise ConfigError(
            f"export does not support transformers of type {kind}; supported: {', '.join(FAMILY)}"
        )
    network = part.transformer()
    weights = {name: numbers(tensor) for name, tensor in network.state_dict().items()}
    graph = Graph(int8=int8)
    ids = graph.input("ids", ["windows", "length"])
    mask = graph.input("mask", ["windows", "length"])
    first = part.indexer.padding + 1 if kind in AFTER_PADDING else 0
    epsilon = float(config.get("layer_norm_eps", 1e-12))
    value = _embedded(graph, weights, ids, mask, first=first, epsilon=epsilon)
    hidden = [value]
    bias = _attention_bias(graph, mask)
    for layer in range(max(part.layers)):
        own = {
            name.removeprefix(f"encoder.layer.{layer}."): array for name, array in weights.items()
        }
        value = _layer(
            graph, own, value, bias, heads=int(config["num_attention_heads"]), epsilon=epsilon
        )
        hidden.append(value)
    chosen = [hidden[layer] for layer in part.layers]
    shape: list[int | str | None] = ["windows", "length", part.indexer.state_width]
    graph.output(_read(graph, chosen, mix=part.mix), shape, name="states")
    return graph.model("transformer")


def _embedded(
    graph: Graph, weights: Weights, ids: str, mask: str, *, first: int, epsilon: float
) -> str:
    """Return the input embeddings: the sum of subword, position and token-type vectors."""
    words = graph.table(weights["embeddings.word_embeddings.weight"], ids)
    # mask is 1 up to the end of a window, so its cumulative sum is the position, from 1
    counted = graph.op("CumSum", mask, graph.constant(1))
    places = graph.op("Add", counted, graph.constant(first - 1))
    placed = graph.table(weights["embeddings.position_embeddings.weight"], places)
    shared = graph.constant(weights["embeddings.token_type_embeddings.weight"][0], np.float32)
    total = graph.op("Add", graph.op("Add", words, placed), shared)
    return _normalised(graph, weights, "embeddings.LayerNorm", total, epsilon)


def _attention_bias(graph: Graph, mask: str) -> str:
    """Return 0 at subwords and ``LOW`` at padding, ``(windows, 1, 1, length)``."""
    real = graph.op("Cast", mask, to=1)
    low = graph.constant(LOW, np.float32)
    missing = graph.op("Mul", graph.op("Sub", graph.constant(1.0, np.float32), real), low)
    return graph.op("Unsqueeze", missing, graph.constant([1, 2]))


def _layer(
    graph: Graph, weights: Weights, value: str, bias: str, *, heads: int, epsilon: float
) -> str:
    """Return the output of a layer (Vaswani et al. 2017)."""
    query, key, content = (
        _heads_of(graph, _dense(graph, weights, f"attention.self.{name}", value), heads)
        for name in ("query", "key", "value")
    )
    width = len(weights["attention.self.query.bias"])
    scaled = graph.op("Mul", query, graph.constant(1.0 / math.sqrt(width // heads), np.float32))
    # softmax(query key^T / sqrt(width of a head) + bias) content
    scores = graph.op("MatMul", scaled, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    shares = graph.op("Softmax", graph.op("Add", scores, bias), axis=-1)
    mixed = graph.op("Transpose", graph.op("MatMul", shares, content), perm=[0, 2, 1, 3])
    attended = _dense(graph, weights, "attention.output.dense", graph.reshape(mixed, 0, 0, width))
    value = graph.op("Add", attended, value)
    value = _normalised(graph, weights, "attention.output.LayerNorm", value, epsilon)
    inner = _gelu(graph, _dense(graph, weights, "intermediate.dense", value))
    outer = graph.op("Add", _dense(graph, weights, "output.dense", inner), value)
    return _normalised(graph, weights, "output.LayerNorm", outer, epsilon)


def _heads_of(graph: Graph, value: str, heads: int) -> str:
    """Split into heads, ``(windows, heads, length, width of a head)``."""
    return graph.op("Transpose", graph.reshape(value, 0, 0, heads, -1), perm=[0, 2, 1, 3])


def _dense(graph: Graph, weights: Weights, name: str, value: str) -> str:
    product = graph.product(value, np.ascontiguousarray(weights[f"{name}.weight"].T))
    return graph.op("Add", product, graph.constant(weights[f"{name}.bias"], np.float32))


def _normalised(graph: Graph, weights: Weights, name: str, value: str, epsilon: float) -> str:
    scale = graph.constant(weights[f"{name}.weight"], np.float32)
    shift = graph.constant(weights[f"{name}.bias"], np.float32)
    return graph.op("LayerNormalization", value, scale, shift, axis=-1, epsilon=epsilon)


def _gelu(graph: Graph, value: str) -> str:
    """Return x (1 + erf(x / sqrt(2))) / 2 (Hendrycks and Gimpel 2016)."""
    inner = graph.op("Mul", value, graph.constant(1.0 / math.sqrt(2.0), np.float32))
    opened = graph.op("Add", graph.op("Erf", inner), graph.constant(1.0, np.float32))
    return graph.op("Mul", graph.op("Mul", value, opened), graph.constant(0.5, np.float32))


def _read(graph: Graph, layers: list[str], *, mix: bool) -> str:
    if len(layers) == 1:
        return layers[0]
    if mix:
        return graph.op("Concat", *layers, axis=2)
    total = graph.op("Sum", *layers)
    return graph.op("Mul", total, graph.constant(1.0 / len(layers), np.float32))
