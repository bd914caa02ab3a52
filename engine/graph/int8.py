"""8-bit matrix products in OpenVINO, by a graph whose weights are in 8 bits.

OpenVINO rounds the activations of such products itself, each token's as they come, with a scale for each group of
them. So there is nothing to calibrate, and a row's logits do not depend on other rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.graph.first_token import SIZES, Dimensions, dimensions_of
from engine.graph.w8 import dequantization_nodes, quantize_symmetric

GROUP = 64
"""Inputs of a product that share a scale, in weights as in `python_backend.openvino_engine`.

With one scale per output, weights that are no 8-bit numbers already changed 24 of 2,106 labels instead of 17.
"""
MIN_SIZE = 16
"""Weights of fewer inputs or outputs, such as those of the logits, stay as they are: they cost no time."""
SCALED, SHAPE, ROWS = ".scaled", ".shape", ".rows"
"""Suffixes of the tensors that stand for weights, beside those of `engine.graph.w8`."""
HALF = ".half"
"""Suffix of an embedding in FP16."""
Floats = NDArray[np.float32]


def quantize(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The FP32 graph with the weights of its products in 8 bits and its embeddings in FP16.

    Products that the last layer computes for the first token alone (`engine.graph.first_token`) stay in FP32: they
    cost little time, and half of the squared error of the logits came from them.
    """
    initializers = {i.name: i for i in graph.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    stored: list[onnx.TensorProto] = []
    for name in _embeddings(graph):
        nodes.append(helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT))
        half = numpy_helper.to_array(initializers.pop(name)).astype(np.float16)
        stored.append(numpy_helper.from_array(half, name + HALF))
    for name in _weights(graph, initializers.values()):
        of_weights, constants = _in_8_bits(name, numpy_helper.to_array(initializers.pop(name)))
        nodes += of_weights
        stored += constants
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend([*nodes, *graph.graph.node])
    result.graph.initializer.extend([*initializers.values(), *stored])
    onnx.checker.check_model(result)
    return result


def _embeddings(graph: onnx.ModelProto) -> list[str]:
    """Names of the embedding matrices."""
    tables = {i.name for i in graph.graph.initializer if len(i.dims) == 2 and i.data_type == TensorProto.FLOAT}
    names = (node.input[0] for node in graph.graph.node if node.op_type == "Gather")
    return [name for name in dict.fromkeys(names) if name in tables]


def _weights(graph: onnx.ModelProto, constants: Iterable[onnx.TensorProto]) -> list[str]:
    """Names of the `constants` `[k, n]` that the activations of every token are multiplied by."""
    dimensions = dimensions_of(graph)
    large = {c.name for c in constants if len(c.dims) == 2 and min(c.dims) >= MIN_SIZE}
    names = (
        node.input[1]
        for node in graph.graph.node
        if node.op_type == "MatMul" and node.input[1] in large and _is_of_every_token(dimensions[node.input[0]])
    )
    return list(dict.fromkeys(names))


def _is_of_every_token(dimensions: Dimensions) -> bool:
    """Whether a tensor of these dimensions holds a vector for each token of each row."""
    vectors = [prod(run) for run in zip(*dimensions[:-1], strict=True)]
    return vectors == [prod(size) for size in SIZES]


def _in_8_bits(name: str, weights: Floats) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that compute `name`, `[k, n]`, from 8-bit constants `[n, groups, k / groups]`, and these constants.

    OpenVINO recognizes 8-bit weights in this form.
    """
    inputs, outputs = weights.shape
    # All inputs share a scale where they are no whole number of groups.
    group = GROUP if inputs % GROUP == 0 else inputs
    integers, scale = quantize_symmetric(weights.T.reshape(-1, group), axis=0)
    groups = (outputs, inputs // group, -1)
    nodes, constants = dequantization_nodes(name, integers.reshape(groups), scale.reshape(groups))
    nodes[-1].output[0] = name + SCALED
    nodes += [
        helper.make_node("Reshape", [name + SCALED, name + SHAPE], [name + ROWS]),
        helper.make_node("Transpose", [name + ROWS], [name], perm=[1, 0]),
    ]
    return nodes, [*constants, numpy_helper.from_array(np.array([outputs, inputs]), name + SHAPE)]
