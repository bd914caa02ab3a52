"""Scores of predictions against labels: accuracy, F1, confusion, calibration error, accuracy by coverage.

Where a formula has several conventions, this is scikit-learn's: precision without a prediction, recall without a
text and F1 without either are 0, and macro F1 is the mean over the labels that occur in the texts or predictions.
A refused text counts as a wrong answer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wanneng.evaluation.intervals import Interval, bootstrap, wilson

BINS = 15
"""Of the calibration error, as in Guo et al. 2017."""
MAX_POINTS = 50
"""Of a coverage curve."""
SCORE_DIGITS = 5
"""As many as the gateway answers with, so that an engine's folder gives what serving it gives."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The best label of a text, and its score."""

    label: str | None
    """None: the text was refused."""
    score: float = 0.0
    error: str | None = None
    """Why the text was refused."""


@dataclass(frozen=True, slots=True)
class LabelScores:
    """How well one label is recognised."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """Texts with the label."""
    predicted: int
    """Texts that were given the label."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose score lies in one fifteenth of the range."""

    texts: int
    confidence: float
    """Mean score."""
    accuracy: float


@dataclass(frozen=True, slots=True)
class Point:
    """What is left if answers below a threshold are rejected (selective classification)."""

    threshold: float
    coverage: float
    """Share of all texts, those of no label included, whose answer is accepted."""
    accuracy: float | None
    """Of the accepted answers; one for a text of no label is wrong. None where none is accepted."""


@dataclass(frozen=True, slots=True)
class Scores:
    texts: int
    """With a label."""
    refused: int
    """Of all texts."""
    accuracy: Interval
    macro_f1: Interval
    labels: Sequence[LabelScores]
    confusion: Mapping[tuple[str, str | None], int]
    """Texts by their label and the predicted one; None: refused."""
    calibration_error: float
    """Expected calibration error, 15 bins (Guo et al. 2017, On Calibration of Modern Neural Networks, eq. 3)."""
    reliability: Sequence[Bin]
    coverage: Sequence[Point]
    """By rising coverage."""
    thresholds: Sequence[Point]
    """At the thresholds that were asked for."""


def score(
    gold: Sequence[str | None],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    thresholds: Sequence[float] = (),
) -> Scores:
    """`gold`: each text's label, None for none of `labels`; at least one is given."""
    labelled = [
        (label, prediction) for label, prediction in zip(gold, predictions, strict=True) if label is not None
    ]
    cells = Counter((label, prediction.label) for label, prediction in labelled)
    correct = sum(count for (label, predicted), count in cells.items() if label == predicted)
    bins = _bins([(p.score, p.label == label) for label, p in labelled if p.label is not None])
    answers = sorted(
        (
            (p.score, label is not None and p.label == label)
            for label, p in zip(gold, predictions, strict=True)
            if p.label
        ),
        key=lambda answer: -answer[0],
    )
    return Scores(
        texts=len(labelled),
        refused=sum(prediction.label is None for prediction in predictions),
        accuracy=wilson(correct, len(labelled)),
        macro_f1=bootstrap(macro_f1, cells),
        labels=label_scores(cells, labels),
        confusion=cells,
        calibration_error=_calibration_error(bins),
        reliability=bins,
        coverage=_curve(answers, len(predictions)),
        thresholds=[_at(threshold, answers, len(predictions)) for threshold in thresholds],
    )


def label_scores(cells: Mapping[tuple[str, str | None], int], labels: Sequence[str]) -> list[LabelScores]:
    """Of `labels`, in their order."""
    support, predicted = Counter[str](), Counter[str | None]()
    for (label, answer), count in cells.items():
        support[label] += count
        predicted[answer] += count
    scores = []
    for label in labels:
        hits = cells.get((label, label), 0)
        precision = hits / predicted[label] if predicted[label] else 0.0
        recall = hits / support[label] if support[label] else 0.0
        both = support[label] + predicted[label]
        f1 = 2 * hits / both if both else 0.0
        scores.append(LabelScores(label, precision, recall, f1, support[label], predicted[label]))
    return scores


def macro_f1(cells: Mapping[tuple[str, str | None], int]) -> float:
    occurring = dict.fromkeys(name for cell in cells for name in cell if name is not None)
    scores = label_scores(cells, list(occurring))
    return sum(label.f1 for label in scores) / len(scores)


def _bins(answers: Sequence[tuple[float, bool]]) -> list[Bin]:
    """The bin m of M has the scores in ((m - 1) / M, m / M], as in Guo et al."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for confidence, correct in answers:
        number = math.ceil(round(confidence * BINS, SCORE_DIGITS)) - 1
        members[min(max(number, 0), BINS - 1)].append((confidence, correct))
    return [
        Bin(
            len(found),
            math.fsum(confidence for confidence, _ in found) / len(found) if found else 0.0,
            sum(correct for _, correct in found) / len(found) if found else 0.0,
        )
        for found in members
    ]


def _calibration_error(bins: Sequence[Bin]) -> float:
    texts = sum(found.texts for found in bins)
    return math.fsum(found.texts * abs(found.accuracy - found.confidence) for found in bins) / max(texts, 1)


def _at(threshold: float, answers: Sequence[tuple[float, bool]], texts: int) -> Point:
    accepted = [correct for confidence, correct in answers if confidence >= threshold]
    return Point(threshold, len(accepted) / texts, sum(accepted) / len(accepted) if accepted else None)


def _curve(answers: Sequence[tuple[float, bool]], texts: int) -> list[Point]:
    """At most `MAX_POINTS`, evenly spaced by coverage; each at a score that occurs. `answers`: best first."""
    points, correct = [], 0
    for accepted, (confidence, is_correct) in enumerate(answers, 1):
        correct += is_correct
        if accepted == len(answers) or answers[accepted][0] < confidence:
            points.append(Point(confidence, accepted / texts, correct / accepted))
    if len(points) <= MAX_POINTS:
        return points
    step = points[-1].coverage / MAX_POINTS
    kept, following = [], step
    for point in points:
        if point.coverage >= following - 1e-9:
            kept.append(point)
            following = (math.floor(point.coverage / step + 1e-9) + 1) * step
    return kept
