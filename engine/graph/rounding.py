"""How an activation is rounded to 8 bits: its range, and factors that make its channels equally large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.graph.w8 import quantize_symmetric

ACTIVATION_LEVELS = 255
"""Activations are unsigned with a zero point, since VNNI multiplies unsigned by signed integers."""
STRENGTHS = (0.0, 0.5)
"""How far channels are made equally large, while the weights get the inverse factors.

With 0 an outlier channel widens the steps of all others. With 0.5, as in SmoothQuant (Xiao et al. 2023,
arXiv:2211.10438), it widens those of the weights instead. Which is better for a product shows in the logits only.
"""
CLIPPED_SHARES = (1e-5, 1e-4, 1e-3)
"""Candidate ranges: share of values to clip on each side, since outliers widen the steps of all other values."""
MAX_RELATIVE_ERROR = 0.05
"""A product is not rounded if its relative error (Frobenius norm) is at least this with every candidate.

The products of the tiny embedded model have 0.003 to 0.012.
"""
SMALLEST = 1e-6
"""Of a channel's largest value, from which its factor is made."""
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
class Rounding:
    """Of an activation `[tokens, k]` in a product with weights `[k, n]`."""

    range: Range
    """After the factors."""
    factors: Floats
    """`[k]`, by which the activation is multiplied and its weights are divided."""

    @property
    def is_smoothed(self) -> bool:
        return bool((self.factors != 1).any())

    def weights(self, weights: Floats) -> Floats:
        """The weights that the rounded activation is multiplied by, before they are rounded themselves."""
        return weights / self.factors[:, np.newaxis]


def best_rounding(
    activation: Floats, weights: Floats, low: Floats, high: Floats, *, strength: float = 0.0
) -> Rounding | None:
    """The range with the smallest error of the product; None if the error of all reaches `MAX_RELATIVE_ERROR`.

    `activation`: `[tokens, k]` of some tokens; `low` and `high`: `[k]`, the range of each channel in all tokens.
    """
    exact = activation @ weights
    factors = _factors(np.maximum(-low, high), weights, strength)
    values = activation * factors
    ranges = [_range((low * factors).min(), (high * factors).max())]
    ranges += [_range(*np.quantile(values, [share, 1 - share])) for share in CLIPPED_SHARES]
    candidates = [Rounding(candidate, factors) for candidate in ranges]
    errors = [_error(candidate, values, weights, exact) for candidate in candidates]
    best = int(np.argmin(errors))
    return candidates[best] if errors[best] < MAX_RELATIVE_ERROR else None


def _factors(largest: Floats, weights: Floats, strength: float) -> Floats:
    if not strength:
        return np.ones_like(largest)
    largest_weights = np.maximum(np.abs(weights).max(axis=1), SMALLEST)
    factors: Floats = largest_weights ** (1 - strength) / np.maximum(largest, SMALLEST) ** strength
    return factors.astype(np.float32)


def _range(low: float, high: float) -> Range:
    return Range(min(float(low), 0.0), max(float(high), 0.0))


def _error(rounding: Rounding, values: Floats, weights: Floats, exact: Floats) -> float:
    """Of the product, relative to its Frobenius norm; `values`: the activation after the factors."""
    integers, scale = quantize_symmetric(rounding.weights(weights), axis=1)
    product = rounding.range.quantize_dequantize(values) @ (integers * scale)
    return float(np.linalg.norm(product - exact)) / (float(np.linalg.norm(exact)) or 1.0)
