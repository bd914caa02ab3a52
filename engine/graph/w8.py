"""8-bit weights in an ONNX graph, the precision `w8`: weights are stored as INT8, arithmetic stays FP32.

The graph dequantizes its weights once, while it is loaded. So the logits of a row do not depend on the rest of
its batch, and a PyTorch snapshot with the same 8-bit weights gives the same logits.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WEIGHT_LEVELS = 127
"""Symmetric quantization to -127 … 127, with one scale per output channel (matrices) or token (embeddings)."""
INT8, DEQUANTIZED, SCALE = ".int8", ".wide", ".scale"
"""Suffixes of the tensors that stand for a weight: its integers, their FP32 values, its scales."""
TRANSPOSED = ".transposed"
"""Suffix of a matrix that the graph holds transposed."""
ALIASES = "equal_weights"
"""Key of the graph's metadata: weights that are not stored, by the name of the equal weight that is."""

Weights = dict[str, NDArray[np.float32]]
_ValueKey = tuple[tuple[int, ...], bytes]


def quantize_dequantize(weights: Weights) -> Weights:
    """The weights with each matrix (`[out, in]`) quantized per row and dequantized; vectors are unchanged."""
    return {
        name: _dequantize(*quantize_symmetric(value, axis=0)) if _is_matrix(value) else value
        for name, value in weights.items()
    }


def store_weights_in_8_bits(source: Path, weights: Weights, target: Path) -> None:
    """Write the FP32 graph `source` to `target` with each matrix of `weights` stored as INT8 and scales.

    Initializers are renamed after the keys of `weights`, by which `read_weights` finds them; matrices that a
    `MatMul` reads are transposed and get the suffix `TRANSPOSED`.
    """
    graph = onnx.load(source)
    names = {_value_key(value): name for name, value in weights.items()}
    names |= {
        _value_key(np.ascontiguousarray(value.T)): name + TRANSPOSED
        for name, value in weights.items()
        if _is_matrix(value)
    }
    initializers, renamed, nodes = [], {}, []
    for initializer in graph.graph.initializer:
        value = numpy_helper.to_array(initializer)
        name = names.get(_value_key(value)) if value.dtype == np.float32 else None
        if name is None:
            initializers.append(initializer)
            continue
        renamed[initializer.name] = name
        if not _is_matrix(value):
            initializers.append(numpy_helper.from_array(value, name))
            continue
        axis = 1 if name.endswith(TRANSPOSED) else 0
        dequantization, stored = dequantization_nodes(name, *quantize_symmetric(value, axis=axis))
        nodes += dequantization
        initializers += stored
    for node in graph.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    body = list(graph.graph.node)
    del graph.graph.node[:], graph.graph.initializer[:]
    graph.graph.node.extend(nodes + body)
    graph.graph.initializer.extend(initializers)
    _record_aliases(graph, weights, {name.removesuffix(TRANSPOSED) for name in renamed.values()})
    onnx.checker.check_model(graph)
    onnx.save(graph, target)


def read_weights(path: Path) -> Weights:
    """The weights of a graph that `store_weights_in_8_bits` wrote, by name, dequantized to float32."""
    graph = onnx.load(path)
    initializers = {i.name: numpy_helper.to_array(i) for i in graph.graph.initializer}
    weights: Weights = {}
    for name, value in initializers.items():
        if name.endswith(SCALE) or value.dtype not in (np.float32, np.int8):
            continue
        if not name.endswith(INT8):
            weights[name] = value
            continue
        stored_name = name.removesuffix(INT8)
        matrix = _dequantize(value, initializers[stored_name + SCALE])
        weights[stored_name.removesuffix(TRANSPOSED)] = matrix.T if stored_name.endswith(TRANSPOSED) else matrix
    for entry in graph.metadata_props:
        if entry.key == ALIASES:
            aliases = json.loads(entry.value)
            weights |= {name: weights[stored_name] for name, stored_name in aliases.items()}
    return weights


def quantize_symmetric(value: NDArray[np.float32], *, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize a matrix with one scale per index of `axis`.

    Returns the integers (int8, -127 to 127) and the scales (float32, `[n, 1]` for axis 0, `[1, n]` for axis 1).
    """
    scale = np.abs(value).max(axis=1 - axis, keepdims=True) / WEIGHT_LEVELS
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.clip(np.rint(value / scale), -WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8), scale


def dequantization_nodes(
    name: str, integers: NDArray[np.int8], scale: NDArray[np.float32]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that compute the weight `name` from 8-bit constants, and these constants.

    ONNX Runtime folds them while it loads the graph.
    """
    # Not DequantizeLinear: ONNX Runtime would fuse it into an 8-bit product with other logits.
    nodes = [
        helper.make_node("Cast", [name + INT8], [name + DEQUANTIZED], to=TensorProto.FLOAT),
        helper.make_node("Mul", [name + DEQUANTIZED, name + SCALE], [name]),
    ]
    constants = {name + INT8: integers, name + SCALE: scale}
    return nodes, [numpy_helper.from_array(value, key) for key, value in constants.items()]


def _record_aliases(graph: onnx.ModelProto, weights: Weights, stored: set[str]) -> None:
    """The exporter stores equal weights, such as all-zero biases, once: record the names of the others."""
    stored_names = {_value_key(weights[name]): name for name in stored}
    aliases = {name: stored_names[_value_key(value)] for name, value in weights.items() if name not in stored}
    helper.set_model_props(graph, {ALIASES: json.dumps(aliases)})


def _is_matrix(value: NDArray[np.float32]) -> bool:
    return value.ndim == 2


def _value_key(value: NDArray[np.float32]) -> _ValueKey:
    return value.shape, value.tobytes()


def _dequantize(integers: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return integers.astype(np.float32) * scale
