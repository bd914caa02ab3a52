"""Gives a graph ragged inputs, as Triton's onnxruntime backend passes them.

That backend concatenates the rows of all requests of a batch into one flat tensor per input, and passes the length
of each row as the batch input `BATCH_ITEM_SHAPE`.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from engine.recipe import INPUTS

ITEM_SHAPE = "item_shape"
PADDED = "padded_"
"""Prefix of the padded tensors that the graph computes from its ragged inputs."""


def add_ragged_inputs(
    graph: onnx.ModelProto, *, vocabulary: int, token_types: int, max_tokens: int
) -> onnx.ModelProto:
    """Replace the inputs `[n, s]` by flat ones, `[sum of lengths]` int64, and `item_shape`, `[n, 1]` int32.

    Ids are clipped to the vocabulary, masks to 0 and 1, token types to the `token_types` that the model has, and
    rows are truncated to `max_tokens`, so that an invalid request cannot fail the others of its batch. (A request
    whose inputs differ in shape still shifts the rows after it: only `expand` may feed the engine.)
    """
    body = graph.graph
    for node in body.node:
        for index, name in enumerate(node.input):
            if name in INPUTS:
                node.input[index] = PADDED + name
    nodes = list(body.node)
    max_values = {"input_ids": vocabulary - 1, "attention_mask": 1, "token_type_ids": token_types - 1}
    del body.node[:], body.input[:]
    body.input.extend(helper.make_tensor_value_info(name, TensorProto.INT64, ["cells"]) for name in INPUTS)
    body.input.append(helper.make_tensor_value_info(ITEM_SHAPE, TensorProto.INT32, ["pairs", 1]))
    body.node.extend(
        [*_token_positions(max_tokens), *(n for name in INPUTS for n in _padded(name, max_values[name])), *nodes]
    )
    onnx.checker.check_model(graph)
    return graph


def _token_positions(max_tokens: int) -> list[onnx.NodeProto]:
    """`ragged_inside`, `[n, s]`: is there a token? `ragged_index`, `[n, s]`: its index in the flat inputs."""
    return [
        _constant("ragged_zero", 0),
        _constant("ragged_one", 1),
        _constant("ragged_limit", max_tokens),
        _constant("ragged_axis_0", [0]),
        _constant("ragged_axis_1", [1]),
        helper.make_node("Cast", [ITEM_SHAPE], ["ragged_lengths"], to=TensorProto.INT64),  # [n, 1]
        helper.make_node("CumSum", ["ragged_lengths", "ragged_zero"], ["ragged_starts"], exclusive=1),  # [n, 1]
        helper.make_node("ReduceMax", ["ragged_lengths"], ["ragged_longest_row"], keepdims=0),
        helper.make_node("Min", ["ragged_longest_row", "ragged_limit"], ["ragged_longest"]),
        helper.make_node("Range", ["ragged_zero", "ragged_longest", "ragged_one"], ["ragged_range"]),
        helper.make_node("Unsqueeze", ["ragged_range", "ragged_axis_0"], ["ragged_columns"]),  # [1, s]
        helper.make_node("Less", ["ragged_columns", "ragged_lengths"], ["ragged_inside"]),
        helper.make_node("Add", ["ragged_starts", "ragged_columns"], ["ragged_everywhere"]),
        helper.make_node("Where", ["ragged_inside", "ragged_everywhere", "ragged_zero"], ["ragged_index"]),
    ]


def _padded(name: str, max_value: int) -> list[onnx.NodeProto]:
    """`PADDED + name`, `[n, s]`: the values of a flat input, clipped to 0 … `max_value`, and 0 for padding."""
    return [
        _constant(f"ragged_highest_{name}", max_value),
        helper.make_node("Clip", [name, "ragged_zero", f"ragged_highest_{name}"], [f"ragged_clipped_{name}"]),
        helper.make_node("Gather", [f"ragged_clipped_{name}", "ragged_index"], [f"ragged_rows_{name}"]),
        helper.make_node("Where", ["ragged_inside", f"ragged_rows_{name}", "ragged_zero"], [PADDED + name]),
    ]


def _constant(name: str, value: int | list[int]) -> onnx.NodeProto:
    shape = [len(value)] if isinstance(value, list) else []
    values = value if isinstance(value, list) else [value]
    return helper.make_node(
        "Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, shape, values)
    )
