"""95% confidence intervals: Wilson's of a share, Newcombe's of a paired difference, and the bootstrap's."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
SEED = 0
"""The same texts and answers give the same interval."""
MIN_RESAMPLES, MAX_RESAMPLES = 200, 1_000
MAX_DRAWS = 5_000_000
"""Of all resamples together, beyond `MIN_RESAMPLES`: a few seconds."""
Cell = TypeVar("Cell")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95% confidence interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, total: int) -> Interval:
    """Of a share (Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference)."""
    share = successes / total
    centre = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    # Exact at the ends, where rounding leaves a trace.
    low = (centre - half) / scale if successes else 0.0
    high = (centre + half) / scale if successes < total else 1.0
    return Interval(share, low, high)


def paired_difference(both: int, only_first: int, only_second: int, neither: int) -> Interval:
    """Of two shares of the same texts: the first less the second.

    The square-and-add interval from Wilson's (Newcombe 1998, Improved confidence intervals for the difference
    between binomial proportions based on paired data, method 10).
    """
    total = both + only_first + only_second + neither
    first, second = wilson(both + only_first, total), wilson(both + only_second, total)
    product = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    covariance = float(both * neither - only_first * only_second)
    if covariance > 0:
        covariance = max(covariance - total / 2, 0.0)
    correlation = covariance / math.sqrt(product) if product else 0.0
    below = _added(first.value - first.low, second.high - second.value, correlation)
    above = _added(first.high - first.value, second.value - second.low, correlation)
    difference = first.value - second.value
    return Interval(difference, max(difference - below, -1.0), min(difference + above, 1.0))


def bootstrap(statistic: Callable[[Mapping[Cell, int]], float], cells: Mapping[Cell, int]) -> Interval:
    """The percentile interval of a statistic of counted texts (Efron and Tibshirani 1993, chapter 13)."""
    kinds, weights, total = list(cells), list(cells.values()), sum(cells.values())
    resamples = max(min(MAX_DRAWS // total, MAX_RESAMPLES), MIN_RESAMPLES)
    drawn = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    values = sorted(statistic(Counter(drawn.choices(kinds, weights, k=total))) for _ in range(resamples))
    tail = (1 - CONFIDENCE) / 2
    low, high = values[math.floor(tail * (resamples - 1))], values[math.ceil((1 - tail) * (resamples - 1))]
    return Interval(statistic(cells), low, high)


def _added(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(first**2 - 2 * correlation * first * second + second**2, 0.0))
