"""8-bit matrix products in OpenVINO, by a graph whose weights are in 8 bits.

OpenVINO rounds the activations of such products itself, each token's as they come, with a scale for each group of
them. So there is nothing to calibrate, and a row's logits do not depend on other rows.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.graph.w8 import quantize_symmetric
from engine.recipe import INPUTS

GROUP = 64
"""Inputs of a product that share a scale, in weights as in `python_backend.openvino_engine`.

With one scale per output, weights that are no 8-bit numbers already changed 24 of 2,106 labels instead of 17.
"""
ROWS_TRIED, TOKENS_TRIED = 3, 11
"""Of the inputs that the graph is run with, to tell which products are computed for every token."""
MIN_SIZE = 16
"""Weights of fewer inputs or outputs, such as those of the logits, stay as they are: they cost no time."""
INT8, SCALE, SHAPE, WIDE, SCALED, ROWS, HALF = ".int8", ".scale", ".shape", ".wide", ".scaled", ".rows", ".half"
"""Suffixes of the tensors that stand for a constant."""


def quantize(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The FP32 graph with the weights of its products in 8 bits and its embeddings in FP16.

    Products that the last layer computes for the first token alone (`engine.graph.first_token`) stay in FP32: they
    cost little time, and half of the squared error of the logits came from them.
    """
    constants = {i.name: numpy_helper.to_array(i) for i in graph.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    stored: dict[str, NDArray[Any]] = {}
    for name in _embeddings(graph):
        nodes.append(helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT))
        stored[name + HALF] = constants.pop(name).astype(np.float16)
    for name in _weights(graph, constants):
        nodes += _dequantization(name)
        stored |= _quantized(name, constants.pop(name))
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend([*nodes, *graph.graph.node])
    result.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in (constants | stored).items()
    )
    onnx.checker.check_model(result)
    return result


def _embeddings(graph: onnx.ModelProto) -> list[str]:
    """Names of the embedding matrices."""
    tables = {i.name for i in graph.graph.initializer if len(i.dims) == 2 and i.data_type == TensorProto.FLOAT}
    names = (node.input[0] for node in graph.graph.node if node.op_type == "Gather")
    return [name for name in dict.fromkeys(names) if name in tables]


def _weights(graph: onnx.ModelProto, constants: dict[str, NDArray[Any]]) -> list[str]:
    """Names of the constants `[k, n]` that the activations of every token are multiplied by."""
    products = [
        node
        for node in graph.graph.node
        if node.op_type == "MatMul"
        and node.input[1] in constants
        and constants[node.input[1]].ndim == 2
        and min(constants[node.input[1]].shape) >= MIN_SIZE
    ]
    of_every_token = _activations_of_every_token(graph, list(dict.fromkeys(node.input[0] for node in products)))
    return list(dict.fromkeys(node.input[1] for node in products if node.input[0] in of_every_token))


def _activations_of_every_token(graph: onnx.ModelProto, names: list[str]) -> set[str]:
    """Those of the tensors `names` that hold a vector for each token of each row."""
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(graph)
    del instrumented.graph.output[:]
    instrumented.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(instrumented.SerializeToString(), options, providers=["CPUExecutionProvider"])
    tokens = np.ones((ROWS_TRIED, TOKENS_TRIED), dtype=np.int64)
    inputs = {name: np.zeros_like(tokens) for name in INPUTS} | {"attention_mask": tokens}
    shapes = [value.shape for value in session.run(names, inputs)]
    return {name for name, shape in zip(names, shapes, strict=True) if prod(shape[:-1]) == tokens.size}


def _quantized(name: str, weights: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Integers `[n, groups, k / groups]` from -127 to 127, scales `[n, groups, 1]`, and the shape `[n, k]`."""
    inputs, outputs = weights.shape
    # All inputs share a scale where they are no whole number of groups.
    group = GROUP if inputs % GROUP == 0 else inputs
    integers, scale = quantize_symmetric(weights.T.reshape(-1, group), axis=0)
    shape = (outputs, inputs // group, -1)
    return {
        name + INT8: integers.reshape(shape),
        name + SCALE: scale.reshape(shape),
        name + SHAPE: np.array([outputs, inputs], dtype=np.int64),
    }


def _dequantization(name: str) -> list[onnx.NodeProto]:
    """What computes `name` from its integers, in the form by which OpenVINO recognizes 8-bit weights."""
    return [
        helper.make_node("Cast", [name + INT8], [name + WIDE], to=TensorProto.FLOAT),
        helper.make_node("Mul", [name + WIDE, name + SCALE], [name + SCALED]),
        helper.make_node("Reshape", [name + SCALED, name + SHAPE], [name + ROWS]),
        helper.make_node("Transpose", [name + ROWS], [name], perm=[1, 0]),
    ]
