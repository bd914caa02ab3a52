"""Which of several variants is better on the same texts, and whether the difference may be chance.

Each pair has McNemar's exact test (McNemar 1947; the binomial distribution of the texts that only one of the two
gets right), and Holm's correction for the number of pairs (Holm 1979, A Simple Sequentially Rejective Multiple
Test Procedure).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from wanneng.evaluation.intervals import Interval, paired_difference

SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two variants, by their positions."""

    first: int
    second: int
    only_first: int
    """Texts that only the first answers correctly."""
    only_second: int
    difference: Interval
    """The first's accuracy less the second's."""
    p_value: float
    adjusted_p_value: float
    """With Holm's correction."""

    @property
    def is_significant(self) -> bool:
        return self.adjusted_p_value < SIGNIFICANCE


def compare(correct: Sequence[Sequence[bool]]) -> list[Comparison]:
    """Every pair of variants; `correct`: for each variant, whether it answers each text correctly.

    The one with the higher accuracy comes first in a pair.
    """
    counted = []
    for pair in itertools.combinations(range(len(correct)), 2):
        first, second = sorted(pair, key=lambda position: (-sum(correct[position]), position))
        outcomes = list(zip(correct[first], correct[second], strict=True))
        counted.append((first, second, [outcomes.count(kind) for kind in _KINDS]))
    p_values = [mcnemar(only_first, only_second) for _, _, (_, only_first, only_second, _) in counted]
    return [
        Comparison(first, second, counts[1], counts[2], paired_difference(*counts), p_value, adjusted)
        for (first, second, counts), p_value, adjusted in zip(counted, p_values, holm(p_values), strict=True)
    ]


_KINDS = ((True, True), (True, False), (False, True), (False, False))


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value, that the two are equally accurate."""
    total, fewer = only_first + only_second, min(only_first, only_second)
    logarithms = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) - total * math.log(2)
        for k in range(fewer + 1)
    ]
    return min(2 * math.fsum(map(math.exp, logarithms)), 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order of `p_values`."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min((len(p_values) - rank) * p_values[position], 1.0))
        adjusted[position] = highest
    return adjusted
