"""What the scores of texts without labels tell: confusable labels, dominant labels, and how far labels are apart.

A finding is a test at 0.05 with Holm's correction for all labels, pairs or wordings that are tested. The scores of
a text are a distribution over the labels; the texts are taken for a sample. control_plane/page/advice.js has the
tests of labels and pairs once more; tests/e2e/test_page.py compares the two.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from wanneng.evaluation.compare import SIGNIFICANCE, holm
from wanneng.evaluation.intervals import Interval, Z, wilson

CLOSE = 0.5
"""A label is close to the first one if it has at least this share of its score."""
CONFUSABLE_SHARE = 0.25
"""Two labels are confusable if they are close in more of the texts of which one of them is first."""
FAIR_SHARES = 2
"""A label is dominant if it is first for more than so many times its equal share of the texts."""
MAX_SHARE = 0.9
"""Where the labels are so few that no label could be first more often than that."""
Scores = Sequence[Sequence[float]]
"""`[texts, labels]`: each text's probabilities."""


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How one label does, whatever the texts' true labels are."""

    label: str
    first: int
    """Texts with the label as the best one."""
    share: Interval
    """Of all texts; Wilson's interval."""
    mean_score: float
    adjusted_p_value: float
    """That it is first for no more than `dominant_share` of such texts."""

    @property
    def is_dominant(self) -> bool:
        return self.adjusted_p_value < SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class PairFigures:
    """How hard two labels are to tell apart."""

    labels: tuple[str, str]
    close: int
    """Texts with one of the two first and the other close to it."""
    texts: int
    """Texts with one of the two first."""
    share: Interval
    """`close` of `texts`; Wilson's interval."""
    adjusted_p_value: float
    """That no more than `CONFUSABLE_SHARE` of such texts are close."""

    @property
    def is_confusable(self) -> bool:
        return self.adjusted_p_value < SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much one way to ask separates the labels better than another, on the same texts."""

    bits: Interval
    p_value: float
    """That there is no difference."""


def dominant_share(labels: int) -> float:
    """The share of first places beyond which a label of so many is dominant."""
    return min(FAIR_SHARES / labels, MAX_SHARE)


def label_figures(labels: Sequence[str], scores: Scores) -> list[LabelFigures]:
    """In the order of `labels`. The p-values are those of the exact binomial test."""
    firsts = Counter(map(_best, scores))
    limit, total = dominant_share(len(labels)), len(scores)
    p_values = holm([binomial_tail(firsts[column], total, limit) for column in range(len(labels))])
    return [
        LabelFigures(
            label,
            firsts[column],
            wilson(firsts[column], total),
            math.fsum(row[column] for row in scores) / total,
            p_values[column],
        )
        for column, label in enumerate(labels)
    ]


def pair_figures(labels: Sequence[str], scores: Scores) -> list[PairFigures]:
    """The pairs that are close in some text, the closest first. The p-values are the exact binomial test's."""
    firsts, close = Counter[int](), Counter[tuple[int, int]]()
    for row in scores:
        best = _best(row)
        firsts[best] += 1
        for column, score in enumerate(row):
            if column != best and score >= CLOSE * row[best]:
                close[min(best, column), max(best, column)] += 1
    pairs = [pair for pair in itertools.combinations(range(len(labels)), 2) if firsts[pair[0]] or firsts[pair[1]]]
    totals = [firsts[first] + firsts[second] for first, second in pairs]
    p_values = holm(
        [binomial_tail(close[pair], total, CONFUSABLE_SHARE) for pair, total in zip(pairs, totals, strict=True)]
    )
    figures = [
        PairFigures((labels[pair[0]], labels[pair[1]]), close[pair], total, wilson(close[pair], total), p_value)
        for pair, total, p_value in zip(pairs, totals, p_values, strict=True)
        if close[pair]
    ]
    return sorted(figures, key=lambda pair: (pair.adjusted_p_value, -pair.share.low))


def binomial_tail(successes: int, total: int, share: float) -> float:
    """The exact probability of at least so many successes; 1 where there are no more than expected."""
    if successes <= share * total:
        return 1.0
    logarithms = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        + k * math.log(share) + (total - k) * math.log1p(-share)
        for k in range(successes, total + 1)
    ]  # fmt: skip
    return min(math.fsum(map(math.exp, logarithms)), 1.0)


def information(scores: Scores) -> list[float]:
    """Of each text, in bits; the mean is the mutual information of texts and labels under the model.

    It is 0 where every text has the same scores, and the logarithm of the number of labels where each is certain
    for as many texts. The template with the most of it tends to be the most accurate (Sorensen et al. 2022, An
    Information-theoretic Approach to Prompt Engineering Without Ground Truth Labels). A text's part is the
    Kullback-Leibler divergence of its scores from the mean scores.
    """
    means = [math.fsum(column) / len(scores) for column in zip(*scores, strict=True)]
    return [
        math.fsum(score * math.log2(score / mean) for score, mean in zip(row, means, strict=True) if score > 0)
        for row in scores
    ]


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean, and its interval from the standard error."""
    mean, error = _mean_and_error(values)
    return Interval(mean, mean - Z * error, mean + Z * error)


def gain(new: Scores, present: Scores) -> Gain:
    """Of the mutual information; each row is the same text's.

    The divergence of a text, less the mutual information, is the influence function of the latter. So the
    difference has the standard error of the mean of the texts' differences (the delta method; van der Vaart 1998,
    Asymptotic Statistics, chapter 20).
    """
    differences = [after - before for after, before in zip(information(new), information(present), strict=True)]
    mean, error = _mean_and_error(differences)
    p_value = math.erfc(abs(mean) / error / math.sqrt(2)) if error else float(mean == 0)
    return Gain(Interval(mean, mean - Z * error, mean + Z * error), p_value)


def _best(row: Sequence[float]) -> int:
    return max(range(len(row)), key=row.__getitem__)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, which is 0 for a single value."""
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(spread / max(len(values) - 1, 1) / len(values))
