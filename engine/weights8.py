"""Stores an ONNX graph's weights in 8 bits, and reads them back. Knows nothing about activations.

Arithmetic stays FP32: the engine widens the weights once, while loading. So an answer depends on its own row
alone, and the PyTorch snapshot made from the same 8 bits gives the same logits.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LEVELS = 127
"""Symmetric: -127 to 127, one scale per output channel (matrix) or token (embedding)."""
INT8, WIDE, SCALE = ".int8", ".wide", ".scale"
EQUALS = "equal_weights"
"""Metadata of the graph: weights that are not stored, and the equal one that is."""
TRANSPOSED = ".transposed"

Weights = dict[str, NDArray[np.float32]]
_Key = tuple[tuple[int, ...], bytes]


def round_to_8_bits(weights: Weights) -> Weights:
    """Matrices after 8 bits and back, one scale per row (`[out, in]`: an output channel); others as is."""
    return {
        name: _widen(*narrow(value, axis=0)) if _is_matrix(value) else value for name, value in weights.items()
    }


def store_weights_in_8_bits(source: Path, weights: Weights, target: Path) -> None:
    """Write `source` (FP32 ONNX) with each matrix of `weights` as INT8 with scales.

    Initializers get the names of `weights` (matrices of a `MatMul` are transposed there), so that
    `read_weights` finds them.
    """
    graph = onnx.load(source)
    names = {_key(value): name for name, value in weights.items()}
    names |= {
        _key(np.ascontiguousarray(value.T)): name + TRANSPOSED
        for name, value in weights.items()
        if _is_matrix(value)
    }
    kept, renamed, nodes = [], {}, []
    for initializer in graph.graph.initializer:
        value = numpy_helper.to_array(initializer)
        name = names.get(_key(value)) if value.dtype == np.float32 else None
        if name is None:
            kept.append(initializer)
            continue
        renamed[initializer.name] = name
        if not _is_matrix(value):
            kept.append(numpy_helper.from_array(value, name))
            continue
        axis = 1 if name.endswith(TRANSPOSED) else 0
        added, stored = widening_nodes(name, *narrow(value, axis=axis))
        nodes += added
        kept += stored
    for node in graph.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
    body = list(graph.graph.node)
    del graph.graph.node[:], graph.graph.initializer[:]
    graph.graph.node.extend(nodes + body)
    graph.graph.initializer.extend(kept)
    _remember_equals(graph, weights, {name.removesuffix(TRANSPOSED) for name in renamed.values()})
    onnx.checker.check_model(graph)
    onnx.save(graph, target)


def read_weights(path: Path) -> Weights:
    """The named weights of a graph that `store_weights_in_8_bits` wrote, widened to FP32."""
    graph = onnx.load(path)
    stored = {i.name: numpy_helper.to_array(i) for i in graph.graph.initializer}
    weights: Weights = {}
    for name, value in stored.items():
        if name.endswith(SCALE) or value.dtype not in (np.float32, np.int8):
            continue
        if not name.endswith(INT8):
            weights[name] = value
            continue
        plain = name.removesuffix(INT8)
        transposed = plain.endswith(TRANSPOSED)
        wide = _widen(value, stored[plain + SCALE])
        weights[plain.removesuffix(TRANSPOSED)] = wide.T if transposed else wide
    for entry in graph.metadata_props:
        if entry.key == EQUALS:
            equals = json.loads(entry.value)
            weights |= {name: weights[other] for name, other in equals.items()}
    return weights


def narrow(value: NDArray[np.float32], *, axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Steps of -127 to 127, and their size for each place along `axis` (shape `[n, 1]` or `[1, n]`)."""
    scale = np.abs(value).max(axis=1 - axis, keepdims=True) / LEVELS
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.clip(np.rint(value / scale), -LEVELS, LEVELS).astype(np.int8), scale


def widening_nodes(
    name: str, integers: NDArray[np.int8], scale: NDArray[np.float32]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes that give `name` from constants in 8 bits; ONNX Runtime runs them once, while loading."""
    # Not DequantizeLinear: ONNX Runtime would fuse it into an 8-bit product with other logits.
    nodes = [
        helper.make_node("Cast", [name + INT8], [name + WIDE], to=TensorProto.FLOAT),
        helper.make_node("Mul", [name + WIDE, name + SCALE], [name]),
    ]
    constants = {name + INT8: integers, name + SCALE: scale}
    return nodes, [numpy_helper.from_array(value, key) for key, value in constants.items()]


def _remember_equals(graph: onnx.ModelProto, weights: Weights, stored: set[str]) -> None:
    """The exporter keeps equal weights once (biases that are all zero); say who they also are."""
    keeper = {_key(weights[name]): name for name in stored}
    equals = {name: keeper[_key(value)] for name, value in weights.items() if name not in stored}
    helper.set_model_props(graph, {EQUALS: json.dumps(equals)})


def _is_matrix(value: NDArray[np.float32]) -> bool:
    return value.ndim == 2


def _key(value: NDArray[np.float32]) -> _Key:
    return value.shape, value.tobytes()


def _widen(integers: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return integers.astype(np.float32) * scale
