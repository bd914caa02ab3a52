"""Removes work that the logits do not depend on: a classifier reads the last layer's first token alone.

The last layer needs keys and values of all tokens, but the query, the attention's output, the feed-forward part
and the norms of the first one alone. Which tensors these are follows from the graph, for every architecture that
pools the first token; a graph that pools otherwise stays as it is. The logits change by the order of FP32 sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import AttributeProto, helper, numpy_helper

ELEMENTWISE = {
    *("Abs", "Add", "And", "Cast", "Cos", "Div", "Equal", "Erf", "Exp", "Gelu", "Greater", "GreaterOrEqual"),
    *("Identity", "Less", "LessOrEqual", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Relu", "Sigmoid"),
    *("Sin", "Sqrt", "Sub", "Tanh", "Where"),
}
"""Operators whose inputs broadcast, and whose output at a position depends on their values at this position."""
SIZES = ((3, 11), (5, 11), (3, 13))
"""Rows and tokens that the graph is run with, to tell which dimensions of its tensors change with either."""
OTHER = -1
"""A dimension that changes, and is neither the number of rows nor of tokens."""

Reads = dict[int, int | None]
"""Inputs that a node reads, by number: the axis that is read at index 0 alone, or None for the whole tensor."""
Dimensions = tuple[tuple[int, ...], ...]
"""Each dimension of a tensor, for each of `SIZES`."""


def read_first_token_alone(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the nodes and the positions that its output does not depend on."""
    needs = _Needs(graph)
    constants = {i.name: i for i in graph.graph.initializer}
    # By their outputs, for two nodes may cut the same tensor.
    nodes: dict[str, onnx.NodeProto] = {}
    for node in needs.nodes:
        rewritten = _Rewritten(node, needs)
        nodes |= {new.output[0]: new for new in rewritten.nodes}
        constants |= {constant.name: constant for constant in rewritten.constants}
    used = {name for node in nodes.values() for name in (*node.input, *_captured(node))}
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
    result.graph.node.extend(nodes.values())
    result.graph.initializer.extend(constant for name, constant in constants.items() if name in used)
    onnx.checker.check_model(result)
    return result


class _Needs:
    """What of each tensor is needed, found from the output upwards."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        self.dimensions = dimensions_of(graph)
        self._constants = _constants(graph.graph)
        self.ids = graph.graph.input[0].name
        """The input whose shape is rows and tokens."""
        self.axes: dict[str, int | None] = dict.fromkeys(output.name for output in graph.graph.output)
        """The needed tensors: the axis that all readers read at index 0 alone, or None."""
        self.nodes: list[onnx.NodeProto] = []
        """The needed nodes, in the graph's order."""
        for node in reversed(graph.graph.node):
            if not any(name in self.axes for name in node.output):
                continue
            self.nodes.insert(0, node)
            if self._reads_for_one(node) is None:
                # It computes everything, and whoever needs one token cuts it.
                self.axes.update((name, None) for name in node.output if name in self.axes)
            for index, axis in self.reads(node).items():
                name = node.input[index]
                self.axes[name] = axis if self.axes.get(name, axis) == axis else None
            self.axes.update(dict.fromkeys(_captured(node)))

    def reads(self, node: onnx.NodeProto) -> Reads:
        """What a needed node reads."""
        reads = self._reads_for_one(node)
        if reads is None:
            reads = dict.fromkeys(i for i, name in enumerate(node.input) if name)
            if self._pools_first_token(node):
                reads[0] = 1
            if self.is_known_shape(node):
                del reads[0]
        return reads

    def is_known_shape(self, node: onnx.NodeProto) -> bool:
        """Whether a node is the `Shape` of a tensor that the inputs' shape tells."""
        return node.op_type == "Shape" and not node.attribute and OTHER not in self.size(node.input[0])

    def size(self, name: str) -> list[int | str]:
        """The dimensions of a tensor: constants, `rows`, `tokens`, or `OTHER`."""
        names: dict[tuple[int, ...], str] = dict(zip(zip(*SIZES, strict=True), ("rows", "tokens"), strict=True))
        return [sizes[0] if len(set(sizes)) == 1 else names.get(sizes, OTHER) for sizes in self.dimensions[name]]

    def _pools_first_token(self, node: onnx.NodeProto) -> bool:
        """Whether it is the `Gather` that takes the first token of `[n, s, hidden]`."""
        if node.op_type != "Gather" or len(self.dimensions[node.input[0]]) != 3:
            return False
        index = self._constants.get(node.input[1])
        return _attribute(node, "axis", 0) == 1 and index is not None and index.size == 1 and not index.any()

    def _reads_for_one(self, node: onnx.NodeProto) -> Reads | None:
        """What a node reads if one token of its output is needed.

        None where the whole output is needed, and where the node cannot be computed for one token.
        """
        axis = self.axes.get(node.output[0])
        if axis is None:
            return None
        rank = len(self.dimensions[node.output[0]])
        first: Reads = dict.fromkeys(i for i, name in enumerate(node.input) if name) | {0: axis}
        if node.op_type in ELEMENTWISE:
            return {i: self._broadcast(name, axis - rank) for i, name in enumerate(node.input)}
        if node.op_type == "Transpose":
            return {0: _attribute(node, "perm", list(range(rank))[::-1])[axis]}
        if node.op_type == "GatherElements":
            return {0: None if axis == _attribute(node, "axis", 0) % rank else axis, 1: axis}
        if node.op_type in ("Squeeze", "Unsqueeze", "Reshape"):
            before = self._axis_before(node, axis)
            if before is None or (node.op_type == "Reshape" and self.size(node.output[0]).count(OTHER) > 1):
                return None
            # A reshape gets another shape.
            return {0: before} if node.op_type == "Reshape" else first | {0: before}
        if not self._is_independent(node, axis, rank):
            return None
        return dict.fromkeys(first, axis) if node.op_type == "Concat" else first

    def _is_independent(self, node: onnx.NodeProto, axis: int, rank: int) -> bool:
        """Whether what is at an index of `axis` follows from what is there in the first input."""
        own_axis = _attribute(node, "axis", -1) % rank
        match node.op_type:
            case "MatMul":
                return axis == rank - 2 and len(self.dimensions[node.input[0]]) == rank
            case "LayerNormalization":
                return bool(axis < own_axis)
            case "Softmax" | "Concat":
                return bool(axis != own_axis)
            case "Slice":
                axes = self._constants.get(node.input[3]) if len(node.input) > 3 else None
                return axes is not None and axis not in np.mod(axes, rank)
        return False

    def _broadcast(self, name: str, axis_from_end: int) -> int | None:
        dimensions = self.dimensions[name]
        axis = len(dimensions) + axis_from_end
        return None if axis < 0 or set(dimensions[axis]) == {1} else axis

    def _axis_before(self, node: onnx.NodeProto, axis: int) -> int | None:
        """Where the axis of the output is in the input of a node that changes the shape."""
        before, after = self.dimensions[node.input[0]], self.dimensions[node.output[0]]
        for candidate, sizes in enumerate(before):
            if sizes == after[axis] and _products(before[:candidate]) == _products(after[:axis]):
                return candidate
        return None


class _Rewritten:
    """The nodes that replace a needed node, and their constants."""

    def __init__(self, node: onnx.NodeProto, needs: _Needs) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        if needs.is_known_shape(node) and needs.axes.get(node.input[0], 0) is not None:
            # Otherwise the whole tensor would be computed for its shape.
            self._shape(node.output[0], needs.size(node.input[0]), needs.ids)
            return
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        for index, axis in needs.reads(node).items():
            if axis is not None and needs.axes[node.input[index]] != axis:
                kept.input[index] = self._cut(node.input[index], axis)
        axis = needs.axes.get(node.output[0])
        if node.op_type == "Reshape" and axis is not None:
            target = needs.size(node.output[0])
            target[axis] = 1
            changing = [i for i, size in enumerate(target) if size in ("rows", "tokens", OTHER)]
            if len(changing) == 1:
                target[changing[0]] = OTHER
            kept.input[1] = f"{node.output[0]}.shape"
            self._shape(kept.input[1], target, needs.ids)
        self.nodes.append(kept)

    def _cut(self, name: str, axis: int) -> str:
        """The tensor `name` at index 0 of an axis, which stays."""
        cut = f"{name}.first.{axis}"
        bounds = [self._constant(f"{cut}.{part}", [at]) for part, at in (("from", 0), ("to", 1), ("axis", axis))]
        self.nodes.append(helper.make_node("Slice", [name, *bounds], [cut]))
        return cut

    def _shape(self, name: str, size: Sequence[int | str], ids: str) -> None:
        """Compute `name`, a shape of constants, rows and tokens; the latter two are the shape of `ids`."""
        places = [{"rows": 0, "tokens": 1}.get(str(dimension)) for dimension in size]
        fixed = [0 if isinstance(dimension, str) else dimension for dimension in size]
        if not any(place is not None for place in places):
            self._constant(name, fixed)
            return
        is_input = self._constant(f"{name}.is_input", [place is not None for place in places])
        indices = self._constant(f"{name}.places", [place or 0 for place in places])
        constants = self._constant(f"{name}.fixed", fixed)
        self.nodes += [
            helper.make_node("Shape", [ids], [f"{name}.ids"]),
            helper.make_node("Gather", [f"{name}.ids", indices], [f"{name}.input"]),
            helper.make_node("Where", [is_input, f"{name}.input", constants], [name]),
        ]

    def _constant(self, name: str, values: Sequence[int]) -> str:
        self.constants.append(numpy_helper.from_array(np.array(values), name))
        return name


def dimensions_of(graph: onnx.ModelProto) -> dict[str, Dimensions]:
    """Of all tensors, each in every run of `SIZES`: the graph is run.

    ONNX's rules of inference know few of DeBERTa's and ModernBERT's.
    """
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(graph)
    names = [name for node in graph.graph.node for name in node.output if name]
    del instrumented.graph.output[:]
    instrumented.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(instrumented.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = [value.name for value in session.get_inputs()]
    runs = []
    for size in SIZES:
        feed = {name: np.full(size, name != "token_type_ids", dtype=np.int64) for name in inputs}
        runs.append([np.shape(value) for value in session.run(names, feed)])
    dimensions = {name: tuple(zip(*shapes, strict=True)) for name, *shapes in zip(names, *runs, strict=True)}
    dimensions |= {name: tuple(zip(*SIZES, strict=True)) for name in inputs}
    return dimensions | {i.name: tuple((size,) * len(SIZES) for size in i.dims) for i in graph.graph.initializer}


def _products(dimensions: Dimensions) -> list[int]:
    return [prod(sizes) for sizes in zip(*dimensions, strict=True)] or [1] * len(SIZES)


def _constants(graph: onnx.GraphProto) -> dict[str, Any]:
    """Values of the constants of one dimension at most, by name."""
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer if len(i.dims) <= 1}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def _captured(node: onnx.NodeProto) -> set[str]:
    """Names that the branches of an `If` read, some of which are tensors of the graph around it."""
    branches = [attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH]
    inner = [n for branch in branches for n in branch.node]
    outputs = {value.name for branch in branches for value in branch.output}
    return {name for n in inner for name in n.input}.union(outputs, *map(_captured, inner))


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
