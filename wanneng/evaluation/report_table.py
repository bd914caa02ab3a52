"""An evaluation as tables for a terminal, aligned where labels have wide characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wanneng.evaluation.grid import grid
from wanneng.evaluation.intervals import Interval
from wanneng.evaluation.metrics import Scores
from wanneng.evaluation.names import cut as shortened
from wanneng.evaluation.names import printable
from wanneng.evaluation.run import Evaluation, Result
from wanneng.evaluation.sentences import in_english

MAX_COLUMN_CELLS = 14
"""Width of the head of a column of the confusion matrix."""
MAX_CONFUSION_LABELS = 12
"""A larger matrix fits on no terminal: the most frequent mistakes are listed in its place."""
MAX_MISTAKES = 10


def as_table(evaluation: Evaluation) -> str:
    """Ends in a line feed."""
    lines = [*_summary(evaluation)]
    lines += [in_english(evaluation, comparison) for comparison in evaluation.comparisons]
    for result in evaluation.results:
        if len(evaluation.results) > 1:
            lines += ["", result.variant.name]
        lines += ["", *_labels(result), "", *_confusion(evaluation.labels, result.scores)]
        lines += ["", *_thresholds(result.scores)] if result.scores.thresholds else []
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"


def _summary(evaluation: Evaluation) -> Iterator[str]:
    head = ["", "texts", "accuracy", "(95% CI)", "macro F1", "(95% CI)", "calibration error", "refused"]
    rows = [
        [
            result.variant.name,
            str(result.scores.texts),
            *_interval(result.scores.accuracy),
            *_interval(result.scores.macro_f1),
            f"{result.scores.calibration_error:.3f}",
            str(result.scores.refused),
        ]
        for result in evaluation.results
    ]
    yield from grid(head, rows)
    if evaluation.comparisons:
        yield ""


def _labels(result: Result) -> list[str]:
    rows = [
        [label.label, f"{label.precision:.3f}", f"{label.recall:.3f}", f"{label.f1:.3f}", str(label.support)]
        for label in result.scores.labels
    ]
    return grid(["label", "precision", "recall", "F1", "texts"], rows)


def _confusion(labels: Sequence[str], scores: Scores) -> list[str]:
    if len(labels) > MAX_CONFUSION_LABELS:
        mistakes = [(count, *cell) for cell, count in scores.confusion.items() if cell[0] != cell[1]]
        mistakes.sort(key=lambda mistake: (-mistake[0], mistake[1], mistake[2] or ""))
        rows = [
            [label, predicted or "(refused)", str(count)] for count, label, predicted in mistakes[:MAX_MISTAKES]
        ]
        return grid(["label", "predicted", "texts"], rows, texts=2)
    columns: list[str | None] = [*labels]
    if any(predicted is None for _, predicted in scores.confusion):
        columns.append(None)
    rows = [
        [label, *(str(scores.confusion.get((label, predicted), 0)) for predicted in columns)] for label in labels
    ]
    head = [shortened(column, MAX_COLUMN_CELLS) if column else "(refused)" for column in columns]
    return grid(["label \\ predicted", *head], rows)


def _thresholds(scores: Scores) -> list[str]:
    rows = [
        [f"{p.threshold:g}", f"{p.coverage:.3f}", "-" if p.accuracy is None else f"{p.accuracy:.3f}"]
        for p in scores.thresholds
    ]
    return grid(["threshold", "coverage", "accuracy"], rows, texts=0)


def _interval(interval: Interval) -> tuple[str, str]:
    return f"{interval.value:.3f}", f"({interval.low:.3f}-{interval.high:.3f})"
