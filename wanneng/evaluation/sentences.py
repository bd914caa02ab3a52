"""Says in a sentence which of two variants is better, in English and in Chinese."""

from __future__ import annotations

from wanneng.evaluation.compare import Comparison
from wanneng.evaluation.run import Evaluation


def in_english(evaluation: Evaluation, comparison: Comparison) -> str:
    first, second = (evaluation.results[n].variant.name for n in (comparison.first, comparison.second))
    points, low, high = _points(comparison)
    interval = f"{points} points, 95% CI {low} to {high}"
    if comparison.is_significant:
        return f"{first} is better than {second}: {interval} ({_p(comparison)})."
    return f"The difference between {first} and {second} may be chance: {interval} ({_p(comparison)})."


def in_chinese(evaluation: Evaluation, comparison: Comparison) -> str:
    first, second = (evaluation.results[n].variant.name for n in (comparison.first, comparison.second))
    points, low, high = _points(comparison)
    interval = f"{points} 个百分点，95% 置信区间 {low} 至 {high}，{_p(comparison)}"
    if comparison.is_significant:
        return f"“{first}”优于“{second}”：{interval}。"
    return f"“{first}”与“{second}”的差异可能出于偶然：{interval}。"


def _points(comparison: Comparison) -> tuple[str, str, str]:
    difference = comparison.difference
    return f"{100 * difference.value:+.1f}", f"{100 * difference.low:.1f}", f"{100 * difference.high:.1f}"


def _p(comparison: Comparison) -> str:
    """The p-value with the correction for all comparisons."""
    return f"p = {comparison.adjusted_p_value:.2g}" if comparison.adjusted_p_value >= 1e-4 else "p < 0.0001"
