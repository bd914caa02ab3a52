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

from engine.graph.rounding import STRENGTHS, Floats, Rounding, best_rounding
from engine.graph.sensitivity import Replacement, Trials
from engine.graph.w8 import quantize_symmetric

CONTRIB_DOMAIN = "com.microsoft"
TOKENS_COMPARED = 512
"""Tokens on which the candidates of a product are compared, about."""
ROWS_PER_RUN = 2
"""A run keeps all activations in memory: 0.25 GB at base size and 512 tokens."""
HALF = ".half"
"""Suffix of an embedding in FP16."""
Inputs = dict[str, NDArray[np.int64]]


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


@dataclass(frozen=True, slots=True)
class _Activation:
    values: Floats
    """`[tokens, k]` of random tokens."""
    low: Floats
    high: Floats
    """`[k]`, of all tokens."""
    positions: int
    """Number of all tokens, of which the last layer computes some for the first one of a row alone."""


def quantize(graph: onnx.ModelProto, texts: Sequence[Inputs], *, seed: int = 0) -> Quantized:
    """Quantize the products of a fused graph (`engine.graph.fusion`), as far as few best labels change.

    `texts`: the rows of one calibration text each, `[labels, s]`. Weights are quantized symmetrically with one
    scale per output channel. Embeddings are stored in FP16, since they cost size and no time. `seed` selects the
    tokens that are compared.
    """
    products = {product.output: product for product in _products(graph)}
    weights = _initializers(graph)
    names = list(dict.fromkeys(product.activation for product in products.values()))
    activations = _activations(graph, names, texts, np.random.default_rng(seed))
    nodes = {node.output[0]: node for node in graph.graph.node if node.output[0] in products}
    best: dict[str, tuple[float, Replacement]] = {}
    trials = Trials(graph, texts)
    for strength in STRENGTHS:
        replacements: dict[str, Replacement] = {}
        for name, product in products.items():
            activation, matrix = activations[product.activation], weights[product.weights]
            rounding = best_rounding(activation.values, matrix, activation.low, activation.high, strength=strength)
            if rounding is not None:
                replacements[name] = _replacement(nodes[name], product, rounding, matrix, activation.positions)
        for name, variance in trials.variances(replacements).items():
            if name not in best or variance < best[name][0]:
                best[name] = variance, replacements[name]
    kept = trials.products_to_keep(best)
    chosen = {name: replacement for name, (_, replacement) in best.items() if name not in kept}
    fp32_products = tuple(name for name in products if name not in chosen)
    return Quantized(_rewritten(graph, chosen), fp32_products)


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
    graph: onnx.ModelProto, names: Sequence[str], texts: Sequence[Inputs], rng: np.random.Generator
) -> dict[str, _Activation]:
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(graph)
    instrumented.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(instrumented.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: dict[str, list[_Activation]] = {name: [] for name in names}
    samples = [
        {name: array[start : start + ROWS_PER_RUN] for name, array in text.items()}
        for text in texts
        for start in range(0, len(text["input_ids"]), ROWS_PER_RUN)
    ]
    tokens_per_sample = TOKENS_COMPARED // max(1, len(samples)) + 1
    for inputs in samples:
        is_token = inputs["attention_mask"].astype(bool)
        for name, computed in zip(names, session.run(list(names), inputs), strict=True):
            # The last layer computes some for the first token of a row alone.
            tokens = computed[is_token] if computed.shape[:2] == is_token.shape else computed[:, 0]
            chosen = rng.choice(len(tokens), size=min(tokens_per_sample, len(tokens)), replace=False)
            found[name].append(_Activation(tokens[chosen], tokens.min(axis=0), tokens.max(axis=0), len(tokens)))
    return {
        name: _Activation(
            np.concatenate([part.values for part in parts]),
            np.min([part.low for part in parts], axis=0),
            np.max([part.high for part in parts], axis=0),
            sum(part.positions for part in parts),
        )
        for name, parts in found.items()
    }


def _rewritten(graph: onnx.ModelProto, replacements: dict[str, Replacement]) -> onnx.ModelProto:
    weights = _initializers(graph)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, onnx.TensorProto] = {}
    embeddings = _embeddings(graph)
    for name in embeddings:
        half = weights[name].astype(np.float16)
        nodes.append(helper.make_node("Cast", [name + HALF], [name], to=TensorProto.FLOAT))
        constants[name + HALF] = numpy_helper.from_array(half, name + HALF)
    for node in graph.graph.node:
        replacement = replacements.get(node.output[0])
        if replacement is None:
            nodes.append(node)
            continue
        constants |= {constant.name: constant for constant in replacement.constants}
        nodes += replacement.nodes
    used = {name for node in nodes for name in node.input} - set(embeddings)
    constants |= {i.name: i for i in graph.graph.initializer if i.name in used}
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(constants.values())
    onnx.checker.check_model(result)
    return result


def _embeddings(graph: onnx.ModelProto) -> list[str]:
    """Names of the embedding matrices."""
    tables = {i.name for i in graph.graph.initializer if len(i.dims) == 2 and i.data_type == TensorProto.FLOAT}
    readers = [n for n in graph.graph.node if n.op_type in ("Gather", "EmbedLayerNormalization")]
    return list(dict.fromkeys(name for node in readers for name in node.input if name in tables))


def _replacement(
    node: onnx.NodeProto, product: Product, rounding: Rounding, weights: Floats, positions: int
) -> Replacement:
    constants = _constants(product, rounding, weights)
    return Replacement(_quantized_nodes(node, product, rounding), constants, float(positions * weights.size))


def _constants(product: Product, rounding: Rounding, weights: Floats) -> list[onnx.TensorProto]:
    integers, scale = quantize_symmetric(rounding.weights(weights), axis=1)
    values = {
        f"{product.output}.scale": np.array(rounding.range.scale),
        f"{product.output}.zero": np.array(rounding.range.zero_point),
        f"{product.output}.weights": integers,
        f"{product.output}.weights_scale": scale.ravel(),
        f"{product.output}.weights_zero": np.zeros((), np.int8),
    }
    if rounding.is_smoothed:
        values[f"{product.output}.factors"] = rounding.factors
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def _quantized_nodes(node: onnx.NodeProto, product: Product, rounding: Rounding) -> list[onnx.NodeProto]:
    """Replacement of a product: the quantization of its input, and the integer operator."""
    scale, zero, integers = (f"{product.output}.{part}" for part in ("scale", "zero", "uint8"))
    weights, weights_scale, weights_zero = (f"{product.output}.weights{part}" for part in ("", "_scale", "_zero"))
    nodes, activation = [], product.activation
    if rounding.is_smoothed:
        activation = f"{product.output}.smooth"
        nodes.append(helper.make_node("Mul", [product.activation, f"{product.output}.factors"], [activation]))
    nodes.append(helper.make_node("QuantizeLinear", [activation, scale, zero], [integers]))
    if node.op_type == "MatMul":
        inputs = [integers, weights, scale, weights_scale, zero, weights_zero]
        return [*nodes, helper.make_node("MatMulIntegerToFloat", inputs, node.output, domain=CONTRIB_DOMAIN)]
    bias, mask = node.input[2], node.input[3]
    inputs = [integers, weights, bias, scale, weights_scale, mask, zero, weights_zero]
    all_attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    attributes = {
        name: all_attributes[name] for name in ("num_heads", "mask_filter_value") if name in all_attributes
    }
    return [*nodes, helper.make_node("QAttention", inputs, node.output, domain=CONTRIB_DOMAIN, **attributes)]
