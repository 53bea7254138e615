"""Export a network as two graphs: the LSTM input gates of tokens, and everything after them.

The gates of a token depend only on the token, so the runtime can cache them. The first graph,
``types``, computes the gates of distinct tokens; the second, ``emissions``, takes these gates, the
indices of contexts, and the row of each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ner.config import ConfigError
from ner.embeddings import ContextEmbedding, Embedding, TypeEmbedding
from ner.export.graph import FLOAT, INT64, Graph
from ner.export.parts import DRAWINGS, Floats, numbers
from ner.indexers import Arrays
from ner.inference.cpu_network import FusedLSTM, layers_of
from ner.inference.fast import lstms_of
from ner.scorer import Scorer, Stack
from ner.sentence import Sentence


def types_graph(network: Scorer, *, int8: bool = False) -> bytes:
    """Build the graph from indexed tokens to the gates of every member's first layer.

    Inputs are ``typeP_A``, array A of the indexer of part P, ``(types, ...)``; the output is
    ``gates (types, width)``, concatenated over members.
    """
    graph = Graph(int8=int8)
    inputs = [
        _inputs(graph, f"type{place}", "types", part.index(("x",)))
        for place, part in enumerate(network.type_embeddings)
    ]
    gates = []
    for member in members(network):
        parts = member.parts(TypeEmbedding)
        vectors = [
            DRAWINGS[type(part)](graph, part, inputs[place])
            for (part, _), place in zip(parts, member.stack.types, strict=True)
        ]
        joined = _joined(graph, vectors, axis=1)
        product = graph.product(joined, np.concatenate([weights for _, weights in parts]))
        bias = graph.constant(member.layers[0].bias, np.float32)
        gates.append(graph.op("Add", product, bias))
    width = sum(member.width for member in members(network))
    graph.output(_joined(graph, gates, axis=1), ["types", width], name="gates")
    return graph.model("types")


def emissions_graph(network: Scorer, *, int8: bool = False) -> bytes:
    """Build the graph from gates to emissions.

    Inputs are ``gates (types, width)`` of distinct tokens; ``rows (batch, length)``, the row of
    each token in them; ``lengths (batch,)``; for each context part P its arrays ``contextP_A
    (contexts, ...)`` of distinct contexts, and ``placesP (batch, length)``, the row of each token
    in them. The output is ``emissions (batch, length, tags)``, undefined at padding.
    """
    graph = Graph(int8=int8)
    every = members(network)
    width = sum(member.width for member in every)
    gates = graph.input("gates", ["types", width], FLOAT)
    rows = _Places(graph, graph.input("rows", ["batch", "length"]))
    rows.lengths = graph.input("lengths", ["batch"])
    contexts = []
    for number, part in enumerate(network.context_embeddings):
        some = Sentence(("x",), vectors=np.zeros((1, part.width), np.float32))
        arrays = _inputs(graph, f"context{number}", f"contexts{number}", part.index(some))
        places = graph.input(f"places{number}", ["batch", "length"])
        contexts.append((arrays, _Places(graph, places, rows.lengths)))
    total: str | None = None
    for member, own in zip(every, graph.split(gates, 1, [m.width for m in every]), strict=True):
        emissions = _member(graph, member, own, rows, contexts)
        total = emissions if total is None else graph.op("Add", total, emissions)
    assert total is not None, "a network has members"
    if len(every) > 1:
        total = graph.op("Div", total, graph.constant(float(len(every)), np.float32))
    batched = graph.op("Transpose", total, perm=[1, 0, 2])
    graph.output(batched, ["batch", "length", len(network.tags)], name="emissions")
    return graph.model("emissions")


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A network of an ensemble, or the only one.

    Attributes:
        stack: The embeddings, encoder and projection.
        layers: The layers of the encoder, as fused LSTMs.
    """

    stack: Stack
    layers: list[FusedLSTM]

    @property
    def width(self) -> int:
        """The width of the gates of the first layer, all directions."""
        return int(self.layers[0].inputs.shape[1])

    def parts(self, kind: Any) -> list[tuple[Embedding, Floats]]:
        """Return the embeddings of a kind, each with the weights from its vectors to the gates."""
        inputs = self.layers[0].inputs
        return [
            (part, inputs[columns])
            for part, columns in self.stack.columns()
            if isinstance(part, kind)
        ]


def members(network: Scorer) -> list[Member]:
    """Return the networks that are averaged, ready to be exported.

    Raises:
        ConfigError: One of them has no BiLSTM.
    """
    if not all(len(stack.encoder.forwards) for stack in network.stacks):
        raise ConfigError("export supports models with a BiLSTM; this one has `encoder: false`")
    return [Member(stack, layers_of(lstms_of(stack.encoder))) for stack in network.stacks]


@dataclass(slots=True, eq=False)
class _Places:
    """The row of each token in a table, for one or two directions.

    Attributes:
        graph: The graph.
        value: The rows, ``(batch, length)``.
        lengths: The lengths of the sentences.
    """

    graph: Graph
    value: str
    lengths: str = ""
    _found: dict[int, str] = field(default_factory=dict)

    def rows(self, directions: int) -> str:
        """Return rows of a table with one row per direction, ``(length, directions, batch)``.

        The second direction reverses each sentence.
        """
        if directions not in self._found:
            self._found[directions] = self._rows(directions)
        return self._found[directions]

    def _rows(self, directions: int) -> str:
        graph = self.graph
        steps = graph.op("Transpose", self.value, perm=[1, 0])
        if directions == 2:
            back = _backwards(graph, steps, self.lengths)
            doubled = [graph.op("Mul", one, graph.constant(2)) for one in (steps, back)]
            doubled[1] = graph.op("Add", doubled[1], graph.constant(1))
            return _stacked(graph, doubled)
        return _stacked(graph, [steps])


def _member(
    graph: Graph,
    member: Member,
    gates: str,
    rows: _Places,
    contexts: Sequence[tuple[list[str], _Places]],
) -> str:
    """Return the emissions of one network, ``(length, batch, tags)``."""
    first, projection = member.layers[0], member.stack.projection
    directions = first.directions
    tables = [(_by_direction(graph, gates, first), rows.rows(directions))]
    own_parts = member.parts(ContextEmbedding)
    for (part, weights), place in zip(own_parts, member.stack.contexts, strict=True):
        arrays, places = contexts[place]
        own = graph.product(DRAWINGS[type(part)](graph, part, arrays), weights)
        tables.append((_by_direction(graph, own, first), places.rows(directions)))
    outputs = _recurrence(graph, first, tables)
    for layer in member.layers[1:]:
        gates = _gates(graph, layer, outputs, rows.lengths)
        outputs = _recurrence(graph, layer, [(None, gates)])
    halved = 2.0 * numbers(projection.weight.T)
    parts = np.split(halved, directions)
    separate = _directions(graph, outputs, directions)
    projected = [graph.product(o, p) for o, p in zip(separate, parts, strict=True)]
    emissions = projected[0]
    if directions == 2:
        back = _backwards(graph, projected[1], rows.lengths)
        emissions = graph.op("Add", emissions, back)
    bias = graph.constant(numbers(projection.bias), np.float32)
    return graph.op("Add", emissions, bias)


def _by_direction(graph: Graph, table: str, layer: FusedLSTM) -> str:
    """Reshape a table ``(rows, directions * gates)`` to one row per direction."""
    return graph.reshape(table, -1, 4 * layer.width)


def _gates(graph: Graph, layer: FusedLSTM, outputs: str, lengths: str) -> str:
    """Return the gate inputs from the layer below, ``(length, directions, batch, gates)``."""
    separate = _directions(graph, outputs, layer.directions)
    if layer.directions == 2:
        separate[1] = _backwards(graph, separate[1], lengths)
    ahead = _joined(graph, separate, axis=2)  # (length, batch, width), in the order of the text
    read = [ahead, _backwards(graph, ahead, lengths)][: layer.directions]
    weights = np.split(layer.inputs, layer.directions, axis=1)
    biases = np.split(layer.bias, layer.directions)
    gates = [
        graph.op("Add", graph.product(one, own), graph.constant(bias, np.float32))
        for one, own, bias in zip(read, weights, biases, strict=True)
    ]
    return _stacked(graph, gates)


def _recurrence(graph: Graph, layer: FusedLSTM, given: Sequence[tuple[str | None, str]]) -> str:
    """Return the halved outputs, h / 2, at each step, ``(length, directions, batch, width)``.

    The arithmetic is that of ``ner.inference.lstm``, as the body of a scan. Gates are looked up
    step by step, so that those of a whole batch are never in memory.

    Args:
        graph: The graph.
        layer: The layer.
        given: The terms of the gates: a table and the rows to look up, ``(length, directions,
            batch)``; or None and the gates themselves, ``(length, directions, batch, gates)``.
    """
    width, directions = layer.width, layer.directions
    state = [directions, None, width]
    body = graph.body()
    before = body.input("before", state, FLOAT)
    cells = body.input("cells", state, FLOAT)
    reached = body.product(before, layer.recurrent)
    for number, (table, _) in enumerate(given):
        if table is None:
            own = body.input(f"given{number}", [directions, None, 4 * width], FLOAT)
        else:
            own = body.op("Gather", table, body.input(f"rows{number}", [directions, None]))
        reached = body.op("Add", reached, own)
    opened = body.op("Sigmoid", reached)
    enter, keep, leave, new = body.split(opened, 2, [width] * 4)
    # 2c(t) = s(f) 2c(t-1) + 4 s(i) (s(2g) - 1/2); h(t) / 2 = s(o) (s(2c(t)) - 1/2)
    half, four = body.constant(0.5, np.float32), body.constant(4.0, np.float32)
    taken = body.op("Mul", body.op("Mul", enter, body.op("Sub", new, half)), four)
    held = body.op("Add", body.op("Mul", keep, cells), taken)
    squashed = body.op("Sub", body.op("Sigmoid", held), half)
    output = body.op("Mul", leave, squashed)
    body.output(output, state)
    body.output(held, state)
    body.output(body.op("Identity", output), state)
    values = [value for _, value in given]
    batch = graph.part(graph.op("Shape", values[0]), 0, 2, 3)
    shape = graph.op("Concat", graph.constant([directions]), batch, graph.constant([width]), axis=0)
    nothing = graph.op("Expand", graph.constant(0.0, np.float32), shape)
    scan = {"body": body.proto("step"), "num_scan_inputs": len(values)}
    return graph.ops("Scan", nothing, nothing, *values, count=3, **scan)[2]


def _backwards(graph: Graph, value: str, lengths: str) -> str:
    """Reverse each sentence of ``(length, batch, ...)`` within its length."""
    return graph.op("ReverseSequence", value, lengths, time_axis=0, batch_axis=1)


def _directions(graph: Graph, outputs: str, directions: int) -> list[str]:
    """Split ``(length, directions, batch, width)`` into directions, ``(length, batch, width)``."""
    axis = graph.constant([1])
    return [graph.op("Squeeze", one, axis) for one in graph.split(outputs, 1, [1] * directions)]


def _stacked(graph: Graph, values: list[str]) -> str:
    """Stack values on a new second axis."""
    axis = graph.constant([1])
    return _joined(graph, [graph.op("Unsqueeze", value, axis) for value in values], axis=1)


def _joined(graph: Graph, values: list[str], *, axis: int) -> str:
    return values[0] if len(values) == 1 else graph.op("Concat", *values, axis=axis)


def _inputs(graph: Graph, name: str, count: str, arrays: Arrays) -> list[str]:
    """Add inputs for the arrays of an indexer, shaped like these."""
    kinds = [INT64 if np.issubdtype(array.dtype, np.integer) else FLOAT for array in arrays]
    return [
        graph.input(f"{name}_{number}", [count, *array.shape[1:]], kind)
        for number, (array, kind) in enumerate(zip(arrays, kinds, strict=True))
    ]
