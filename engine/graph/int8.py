"""Static INT8 quantization: 8-bit matrix products with activation ranges chosen on calibration samples.

The logits of a row do not depend on the rest of its batch: integer products are exact and scales are constants.
With dynamic quantization (`quantize_dynamic`), which derives one scale from the whole batch, other rows changed a
logit by 0.2 (base size, random weights). The graph has quantized operators (`MatMulIntegerToFloat`, `QAttention`)
instead of QuantizeLinear and DequantizeLinear pairs, which ONNX Runtime 1.31 turns into `MatMulNBits`, slower than
FP32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.graph.w8 import dequantization_nodes, quantize_symmetric

CONTRIB_DOMAIN = "com.microsoft"
ACTIVATION_LEVELS = 255
"""Activations are unsigned with a zero point, since VNNI multiplies unsigned by signed integers."""
CLIPPED_SHARES = (0.0, 1e-5, 1e-4, 1e-3)
"""Candidate ranges: share of values to clip on each side, since outliers widen the steps of all other values."""
TOKENS_COMPARED = 512
"""Tokens on which the candidates of a product are compared, about."""
MAX_RELATIVE_ERROR = 0.05
"""A product stays in FP32 if its relative error (Frobenius norm) is at least this with every candidate range.

The products of the embedded model have 0.003 to 0.02; three channels 30 times as large as the others cause 0.1.
"""
Inputs = dict[str, NDArray[np.int64]]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Range:
    """The range of an activation that its 256 levels cover; it includes 0, which must be exact for padding."""

    low: float
    high: float

    @property
    def scale(self) -> np.float32:
        return np.float32(max(self.high - self.low, 1e-12) / ACTIVATION_LEVELS)

    @property
    def zero_point(self) -> np.uint8:
        return np.uint8(np.clip(np.rint(-self.low / self.scale), 0, ACTIVATION_LEVELS))

    def quantize_dequantize(self, values: Floats) -> Floats:
        """`values` rounded to the levels of this range."""
        zero = np.float32(self.zero_point)
        levels = np.clip(np.rint(values / self.scale) + zero, 0, ACTIVATION_LEVELS)
        rounded: Floats = ((levels - zero) * self.scale).astype(np.float32)
        return rounded


@dataclass(frozen=True, slots=True)
class Product:
    """Names of the tensors of a matrix product: an activation `[tokens, k]` by constant weights `[k, n]`."""

    output: str
    activation: str
    weights: str


@dataclass(frozen=True, slots=True)
class Quantized:
    """The quantized graph, and the products (names of their outputs) that stayed in FP32."""

    graph: onnx.ModelProto
    fp32_products: tuple[str, ...]


def quantize(graph: onnx.ModelProto, samples: Sequence[Inputs], *, seed: int = 0) -> Quantized:
    """Quantize the products of a fused graph (`engine.graph.fusion`) with activation ranges chosen on `samples`.

    Weights are quantized symmetrically with one scale per output channel. Embeddings have one scale per token and
    are dequantized while the graph is loaded. `seed` selects the tokens that are compared.
    """
    products = _products(graph)
    ranges: dict[str, Range] = {}
    weights = _initializers(graph)
    activations = _activations(graph, [p.activation for p in products], samples, np.random.default_rng(seed))
    for product in products:
        best_range = _best_range(activations[product.activation], weights[product.weights])
        if best_range is not None:
            ranges[product.output] = best_range
    fp32_products = tuple(p.output for p in products if p.output not in ranges)
    return Quantized(_rewritten(graph, {p.output: p for p in products}, ranges), fp32_products)


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
    graph: onnx.ModelProto, names: Sequence[str], samples: Sequence[Inputs], rng: np.random.Generator
) -> dict[str, Floats]:
    """Values `[tokens, k]` of the named activations: the tokens with extreme values, and random ones."""
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(graph)
    instrumented.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(instrumented.SerializeToString(), options, providers=["CPUExecutionProvider"])
    activations: dict[str, list[Floats]] = {name: [] for name in names}
    tokens_per_sample = TOKENS_COMPARED // max(1, len(samples)) + 1
    for inputs in samples:
        is_token = inputs["attention_mask"].astype(bool)
        for name, values in zip(names, session.run(list(names), inputs), strict=True):
            # The last layer computes some for the first token of a row alone.
            tokens = values[is_token] if values.shape[:2] == is_token.shape else values[:, 0]
            extremes = [int(np.argmin(tokens.min(axis=1))), int(np.argmax(tokens.max(axis=1)))]
            random_tokens = rng.choice(len(tokens), size=min(tokens_per_sample, len(tokens)), replace=False)
            activations[name].append(tokens[np.union1d(extremes, random_tokens)])
    return {name: np.concatenate(parts) for name, parts in activations.items()}


def _best_range(activation: Floats, weights: Floats) -> Range | None:
    """The candidate range with the smallest error of the product; None if all reach `MAX_RELATIVE_ERROR`."""
    exact = activation @ weights
    norm = float(np.linalg.norm(exact)) or 1.0
    best, best_error = None, MAX_RELATIVE_ERROR
    for share in CLIPPED_SHARES:
        low, high = np.quantile(activation, [share, 1 - share])
        candidate = Range(min(float(low), 0.0), max(float(high), 0.0))
        product = candidate.quantize_dequantize(activation) @ weights
        error = float(np.linalg.norm(product - exact)) / norm
        if error < best_error:
            best, best_error = candidate, error
    return best


def _rewritten(graph: onnx.ModelProto, products: dict[str, Product], ranges: dict[str, Range]) -> onnx.ModelProto:
    weights = _initializers(graph)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, onnx.TensorProto] = {}
    dequantized = _embeddings(graph) | {p.weights: 1 for p in products.values() if p.output not in ranges}
    for name, axis in dequantized.items():
        dequantization, stored = dequantization_nodes(name, *quantize_symmetric(weights[name], axis=axis))
        nodes += dequantization
        constants |= {constant.name: constant for constant in stored}
    for node in graph.graph.node:
        activation_range = ranges.get(node.output[0])
        if activation_range is None:
            nodes.append(node)
            continue
        product = products[node.output[0]]
        constants |= _constants(product, activation_range, weights[product.weights])
        nodes += _quantized_nodes(node, product)
    used = {name for node in nodes for name in node.input} - dequantized.keys()
    constants |= {i.name: i for i in graph.graph.initializer if i.name in used}
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(constants.values())
    onnx.checker.check_model(result)
    return result


def _embeddings(graph: onnx.ModelProto) -> dict[str, int]:
    """Names of the embedding matrices, and the axis of their scales: 0, one per token."""
    tables = {i.name for i in graph.graph.initializer if len(i.dims) == 2 and i.data_type == TensorProto.FLOAT}
    readers = [n for n in graph.graph.node if n.op_type in ("Gather", "EmbedLayerNormalization")]
    return {name: 0 for node in readers for name in node.input if name in tables}


def _constants(product: Product, activation_range: Range, weights: Floats) -> dict[str, onnx.TensorProto]:
    integers, scale = quantize_symmetric(weights, axis=1)
    values = {
        f"{product.output}.scale": np.array(activation_range.scale),
        f"{product.output}.zero": np.array(activation_range.zero_point),
        f"{product.weights}.int8": integers,
        f"{product.weights}.scale": scale.ravel(),
        f"{product.weights}.zero": np.zeros((), np.int8),
    }
    return {name: numpy_helper.from_array(value, name) for name, value in values.items()}


def _quantized_nodes(node: onnx.NodeProto, product: Product) -> list[onnx.NodeProto]:
    """Replacement of a product: the quantization of its input, and the integer operator."""
    scale, zero, integers = (f"{product.output}.{part}" for part in ("scale", "zero", "uint8"))
    weights, weights_scale, weights_zero = (f"{product.weights}.{part}" for part in ("int8", "scale", "zero"))
    quantization = helper.make_node("QuantizeLinear", [product.activation, scale, zero], [integers])
    if node.op_type == "MatMul":
        inputs = [integers, weights, scale, weights_scale, zero, weights_zero]
        return [quantization, helper.make_node("MatMulIntegerToFloat", inputs, node.output, domain=CONTRIB_DOMAIN)]
    bias, mask = node.input[2], node.input[3]
    inputs = [integers, weights, bias, scale, weights_scale, mask, zero, weights_zero]
    all_attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    attributes = {
        name: all_attributes[name] for name in ("num_heads", "mask_filter_value") if name in all_attributes
    }
    return [quantization, helper.make_node("QAttention", inputs, node.output, domain=CONTRIB_DOMAIN, **attributes)]
