"""A graph of ONNX operators, built node by node.

Graphs are built by hand instead of traced: a trace fixes sizes that Python code reads from its
example, and torch's exporters change often.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 17, 8  # from 2022: supported by onnxruntime 1.12 and later
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Shape = Sequence[int | str | None]


class Graph:
    """Nodes, constants, inputs and outputs; values are referred to by name.

    Args:
        int8: Whether to store tables and matrices in 8 bits; see ``table`` and ``product``.
        parent: The graph that has this one as the body of a node; it owns the constants.
    """

    def __init__(self, *, int8: bool = False, parent: Graph | None = None) -> None:
        self.int8: bool = int8 if parent is None else parent.int8
        self._root: Graph = self if parent is None else parent._root
        self._prefix = "" if parent is None else "body_"
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def body(self) -> Graph:
        """Return a graph for the body of a node of this one."""
        return Graph(parent=self)

    def input(self, name: str, shape: Shape, kind: int = INT64) -> str:
        """Add an input; a name in its shape is an axis of any size."""
        self._inputs.append(helper.make_tensor_value_info(self._prefix + name, kind, shape))
        return self._prefix + name

    def output(self, value: str, shape: Shape, *, name: str | None = None) -> None:
        """Make a float value an output, under a new name if given."""
        if name is not None:
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name or value, FLOAT, shape))

    def constant(self, value: Any, kind: type = np.int64) -> str:
        """Add a constant; an integer unless ``kind`` says otherwise."""
        array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        name = f"constant{len(self._root._constants)}"
        self._root._constants.append(numpy_helper.from_array(array.astype(kind), name))
        return name

    def op(self, operator: str, *values: str, **attributes: Any) -> str:
        """Add an operator with one result."""
        return self.ops(operator, *values, count=1, **attributes)[0]

    def ops(self, operator: str, *values: str, count: int, **attributes: Any) -> list[str]:
        """Add an operator and return its first ``count`` results."""
        results = [f"{self._prefix}{operator}{self._count}_{number}" for number in range(count)]
        self._count += 1
        self._nodes.append(helper.make_node(operator, list(values), results, **attributes))
        return results

    def table(self, weights: NDArray[np.float32], indices: str) -> str:
        """Look up rows of a table, ``(*indices, width)``; in 8 bits, each row has its own scale."""
        if not self.int8:
            return self.op("Gather", self.constant(weights, np.float32), indices)
        scales = np.maximum(np.abs(weights).max(1, keepdims=True), 1e-12) / 127.0
        rows = self.op("Gather", self.constant(np.rint(weights / scales), np.int8), indices)
        scale = self.op("Gather", self.constant(scales, np.float32), indices)
        return self.op("Mul", self.op("Cast", rows, to=FLOAT), scale)

    def product(self, vectors: str, weights: NDArray[np.float32]) -> str:
        """Multiply vectors by a matrix, or by several, ``(..., width, columns)``.

        In 8 bits, each column has its own scale, and vectors are rounded to 8 bits by their
        range. Both are unsigned: processors without VNNI would saturate sums of signed ones.
        """
        if not self.int8:
            return self.op("MatMul", vectors, self.constant(weights, np.float32))
        scales = np.maximum(np.abs(weights).max(-2, keepdims=True), 1e-12) / 127.0
        rounded = self.constant(np.rint(weights / scales) + 128.0, np.uint8)
        given, scale, zero = self.ops("DynamicQuantizeLinear", vectors, count=3)
        middle = self.constant(128, np.uint8)
        whole = self.op("MatMulInteger", given, rounded, zero, middle)
        both = self.op("Mul", scale, self.constant(scales, np.float32))
        return self.op("Mul", self.op("Cast", whole, to=FLOAT), both)

    def reshape(self, value: str, *shape: int) -> str:
        """Reshape a value; 0 keeps an axis, -1 infers it."""
        return self.op("Reshape", value, self.constant(shape))

    def part(self, value: str, axis: int, start: int, end: int) -> str:
        """Slice an axis from ``start`` to ``end``."""
        bounds = [self.constant([number]) for number in (start, end, axis)]
        return self.op("Slice", value, *bounds)

    def split(self, value: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Split an axis into parts of these sizes."""
        if len(sizes) == 1:
            return [value]
        return self.ops("Split", value, self.constant(sizes), count=len(sizes), axis=axis)

    def proto(self, name: str) -> onnx.GraphProto:
        """Return the graph as a protocol buffer."""
        return helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)

    def model(self, name: str) -> bytes:
        """Return the graph as a model file, after checking it."""
        made = helper.make_model(
            self.proto(name),
            producer_name="ner",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR,
        )
        onnx.checker.check_model(made, full_check=True)
        content: bytes = made.SerializeToString()
        return content
