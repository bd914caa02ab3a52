"""Products in 8-bit integers with activation scales fixed beforehand. Knows nothing about text.

A row's logits depend on that row alone: the integers of a product are exact, and its scales come from calibration,
not from the batch. `quantize_dynamic` takes one scale over the batch, so a neighbour changes an answer by 0.2
(base size, random weights). Nodes are written out (`MatMulIntegerToFloat`, `QAttention`) and not as pairs of
QuantizeLinear and DequantizeLinear: ONNX Runtime 1.31 turns those into `MatMulNBits`, slower than FP32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.weights8 import narrow, widening_nodes

CONTRIB = "com.microsoft"
LEVELS = 255
"""Activations are unsigned with a zero point, as VNNI multiplies them with signed weights."""
CLIPPED_SHARES = (0.0, 1e-5, 1e-4, 1e-3)
"""Share of values beyond the range on each side, tried in turn: an outlier can cost all others their precision."""
TOKENS_COMPARED = 512
TOLERATED_ERROR = 0.05
"""A product whose result, relative to its size, is farther off than this on every range stays in FP32.

The products of the embedded model are off by 0.003 to 0.02; three channels at 30 times the others' size make 0.1.
"""
Rows = dict[str, NDArray[np.int64]]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Range:
    """What an activation's 256 steps span; always holds 0, which padding and masks need to be exact."""

    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        return np.float32(max(self.high - self.low, 1e-12) / LEVELS)

    @property
    def zero_point(self) -> np.uint8:
        return np.uint8(np.clip(np.rint(-self.low / self.scale), 0, LEVELS))

    def rounded(self, values: Floats) -> Floats:
        """`values` after 8 bits and back."""
        zero = np.float32(self.zero_point)
        return ((np.clip(np.rint(values / self.scale) + zero, 0, LEVELS) - zero) * self.scale).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix product with constant weights `[k, n]`: its node's output, its input, its weights' name."""

    output: str
    activation: str
    weights: str


@dataclass(frozen=True, slots=True)
class Quantized:
    """The graph, and the products that stayed in FP32 because no range kept their results."""

    graph: onnx.ModelProto
    kept: tuple[str, ...]


def quantize(graph: onnx.ModelProto, samples: Sequence[Rows], *, seed: int = 0) -> Quantized:
    """Quantize the products of a fused graph (`engine.fuse`) with ranges found on `samples`.

    Weights: symmetric, one scale for each output channel; embeddings: one for each token, widened while loading.
    """
    products = _products(graph)
    ranges: dict[str, Range] = {}
    weights = _initializers(graph)
    seen = _activations(graph, [p.activation for p in products], samples, np.random.default_rng(seed))
    for product in products:
        chosen = _best_range(seen[product.activation], weights[product.weights])
        if chosen is not None:
            ranges[product.output] = chosen
    kept = tuple(p.output for p in products if p.output not in ranges)
    return Quantized(_rewritten(graph, {p.output: p for p in products}, ranges), kept)


def _products(graph: onnx.ModelProto) -> list[Product]:
    constants = {i.name for i in graph.graph.initializer}
    return [
        Product(node.output[0], node.input[0], node.input[1])
        for node in graph.graph.node
        if node.op_type in ("Attention", "MatMul") and node.input[1] in constants
    ]


def _initializers(graph: onnx.ModelProto) -> dict[str, Floats]:
    return {i.name: numpy_helper.to_array(i) for i in graph.graph.initializer}


def _activations(
    graph: onnx.ModelProto, names: Sequence[str], samples: Sequence[Rows], rng: np.random.Generator
) -> dict[str, Floats]:
    """For each name `[tokens, k]`: the tokens with the extreme values of each sample, and some at random."""
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    watched.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    seen: dict[str, list[Floats]] = {name: [] for name in names}
    share = TOKENS_COMPARED // max(1, len(samples)) + 1
    for rows in samples:
        real = rows["attention_mask"].astype(bool)
        for name, values in zip(names, session.run(list(names), rows), strict=True):
            tokens = values[real]
            extremes = [int(np.argmin(tokens.min(axis=1))), int(np.argmax(tokens.max(axis=1)))]
            chosen = rng.choice(len(tokens), size=min(share, len(tokens)), replace=False)
            seen[name].append(tokens[np.union1d(extremes, chosen)])
    return {name: np.concatenate(parts) for name, parts in seen.items()}


def _best_range(activation: Floats, weights: Floats) -> Range | None:
    """The range whose product is nearest to FP32's; None where even that one is too far off."""
    exact = activation @ weights
    size = float(np.linalg.norm(exact)) or 1.0
    best, least = None, TOLERATED_ERROR
    for share in CLIPPED_SHARES:
        low, high = np.quantile(activation, [share, 1 - share])
        candidate = Range(min(float(low), 0.0), max(float(high), 0.0))
        error = float(np.linalg.norm(candidate.rounded(activation) @ weights - exact)) / size
        if error < least:
            best, least = candidate, error
    return best


def _rewritten(graph: onnx.ModelProto, products: dict[str, Product], ranges: dict[str, Range]) -> onnx.ModelProto:
    weights = _initializers(graph)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, onnx.TensorProto] = {}
    widened = _embeddings(graph) | {p.weights: 1 for p in products.values() if p.output not in ranges}
    for name, axis in widened.items():
        added, stored = widening_nodes(name, *narrow(weights[name], axis=axis))
        nodes += added
        constants |= {constant.name: constant for constant in stored}
    for node in graph.graph.node:
        chosen = ranges.get(node.output[0])
        if chosen is None:
            nodes.append(node)
            continue
        product = products[node.output[0]]
        constants |= _constants(product, chosen, weights[product.weights])
        nodes += _quantized(node, product)
    used = {name for node in nodes for name in node.input} - widened.keys()
    constants |= {i.name: i for i in graph.graph.initializer if i.name in used}
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(constants.values())
    onnx.checker.check_model(result)
    return result


def _embeddings(graph: onnx.ModelProto) -> dict[str, int]:
    """Tables of vectors, and the axis along which each has a scale of its own: 0, a token."""
    tables = {i.name for i in graph.graph.initializer if len(i.dims) == 2 and i.data_type == TensorProto.FLOAT}
    readers = [n for n in graph.graph.node if n.op_type in ("Gather", "EmbedLayerNormalization")]
    return {name: 0 for node in readers for name in node.input if name in tables}


def _constants(product: Product, chosen: Range, weights: Floats) -> dict[str, onnx.TensorProto]:
    integers, scale = narrow(weights, axis=1)
    values = {
        f"{product.output}.scale": np.array(chosen.scale),
        f"{product.output}.zero": np.array(chosen.zero_point),
        f"{product.weights}.int8": integers,
        f"{product.weights}.scale": scale.ravel(),
        f"{product.weights}.zero": np.zeros((), np.int8),
    }
    return {name: numpy_helper.from_array(value, name) for name, value in values.items()}


def _quantized(node: onnx.NodeProto, product: Product) -> list[onnx.NodeProto]:
    """The node's twin in integers, after the rounding of its input."""
    scale, zero, integers = (f"{product.output}.{part}" for part in ("scale", "zero", "uint8"))
    weights, weights_scale, weights_zero = (f"{product.weights}.{part}" for part in ("int8", "scale", "zero"))
    rounding = helper.make_node("QuantizeLinear", [product.activation, scale, zero], [integers])
    if node.op_type == "MatMul":
        inputs = [integers, weights, scale, weights_scale, zero, weights_zero]
        return [rounding, helper.make_node("MatMulIntegerToFloat", inputs, node.output, domain=CONTRIB)]
    bias, mask = node.input[2], node.input[3]
    inputs = [integers, weights, bias, scale, weights_scale, mask, zero, weights_zero]
    known = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    attributes = {name: known[name] for name in ("num_heads", "mask_filter_value") if name in known}
    return [rounding, helper.make_node("QAttention", inputs, node.output, domain=CONTRIB, **attributes)]
