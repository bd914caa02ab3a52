"""Plots of an evaluation as inline SVG, in both languages; colours are those of the page's style."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from wanneng.evaluation.intervals import Interval
from wanneng.evaluation.metrics import BINS, Bin, Point
from wanneng.evaluation.names import cut, printable

SIDE, MARGIN = 240, 46
"""Of a square plot, in pixels: the area of the data, and what axes and their names take."""
BAR_WIDTH, BAR_HEIGHT = 240, 20
MAX_CELL, MIN_CELL, MATRIX_WIDTH = 44, 16, 640
MAX_CELL_TEXT_LABELS = 25
"""In larger matrices, counts do not fit into their cells."""
LABEL_CELLS = 16
CONTRAST_SHARE = 0.55
"""Of a row; the text on a darker cell is bright."""


def interval_bar(interval: Interval) -> str:
    """A bar from 0 to 1 with its confidence interval."""
    middle = BAR_HEIGHT / 2
    low, value, high = (f"{BAR_WIDTH * share:.1f}" for share in (interval.low, interval.value, interval.high))
    marks = "".join(
        f'<line class="mark" x1="{end}" x2="{end}" y1="{middle - 4:g}" y2="{middle + 4:g}"/>'
        for end in (low, high)
    )
    return (
        f'<svg class="bar" viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" '
        f'aria-hidden="true"><rect class="rail" width="{BAR_WIDTH}" height="{BAR_HEIGHT}"/>'
        f'<rect class="data" width="{value}" height="{BAR_HEIGHT}"/>'
        f'<line class="mark" x1="{low}" x2="{high}" y1="{middle:g}" y2="{middle:g}"/>{marks}</svg>'
    )


def reliability(bins: Sequence[Bin]) -> str:
    """The accuracy of each bin, the wider the more texts it has, and the diagonal of a calibrated model."""
    most = max((found.texts for found in bins), default=0) or 1
    width = SIDE / BINS
    parts = ['<line class="ideal" x1="0" y1="240" x2="240" y2="0"/>']
    for number, found in enumerate(bins):
        if not found.texts:
            continue
        bar = width * (0.25 + 0.65 * found.texts / most)
        left, height = width * number + (width - bar) / 2, SIDE * found.accuracy
        told = f"{found.texts}: {found.confidence:.3f} → {found.accuracy:.3f}"
        parts.append(
            f'<rect class="data" x="{left:.1f}" y="{SIDE - height:.1f}" width="{bar:.1f}" height="{height:.1f}">'
            f"<title>{told}</title></rect>"
            f'<circle class="mark" cx="{SIDE * found.confidence:.1f}" cy="{SIDE - height:.1f}" r="2.5"/>'
        )
    return _square(parts, ("Score", "得分"), ("Accuracy", "准确率"), ("Reliability diagram", "可靠性图"))


def coverage(points: Sequence[Point]) -> str:
    """Accuracy by coverage, from the highest scores to all texts."""
    at = [(SIDE * p.coverage, SIDE * (1 - (p.accuracy or 0.0))) for p in points]
    parts = [f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in at)}"/>']
    parts += [
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>≥ {p.threshold:.3f}: {p.coverage:.3f}, '
        f"{p.accuracy or 0.0:.3f}</title></circle>"
        for (x, y), p in zip(at, points, strict=True)
    ]
    return _square(
        parts, ("Coverage", "覆盖率"), ("Accuracy", "准确率"), ("Accuracy by coverage", "准确率—覆盖率曲线")
    )


def heat_map(labels: Sequence[str], confusion: Mapping[tuple[str, str | None], int]) -> str:
    """Labels by predicted labels; a cell is as dark as its share of the row. Refused texts are in no cell."""
    cell = max(min(MATRIX_WIDTH // len(labels), MAX_CELL), MIN_CELL)
    left = 8 * LABEL_CELLS
    side = cell * len(labels)
    parts = []
    for row, label in enumerate(labels):
        middle = left + cell * (row + 0.5)
        name = html.escape(cut(label, LABEL_CELLS))
        full = f"<title>{html.escape(printable(label))}</title>"
        parts.append(f'<text class="name" x="{left - 6}" y="{middle + 4:g}" text-anchor="end">{name}{full}</text>')
        parts.append(
            f'<text class="name" transform="translate({middle + 4:g} {left - 6}) rotate(-60)">{name}{full}</text>'
        )
        total = sum(count for (gold, _), count in confusion.items() if gold == label)
        for column, predicted in enumerate(labels):
            count = confusion.get((label, predicted), 0)
            if count:
                parts.append(
                    _cell(left + cell * column, left + cell * row, cell, count, count / total, len(labels))
                )
    title = _title(("Confusion matrix", "混淆矩阵"))
    return (
        f'<svg role="img" aria-label="{title}" viewBox="0 0 {left + side + 60} {left + side + 4}" '
        f'width="{left + side + 60}"><rect class="area" x="{left}" y="{left}" width="{side}" height="{side}"/>'
        f"{''.join(parts)}</svg>"
    )


def _cell(x: int, y: int, size: int, count: int, share: float, labels: int) -> str:
    square = f'<rect class="data" x="{x}" y="{y}" width="{size}" height="{size}" fill-opacity="{share:.3f}"/>'
    if labels > MAX_CELL_TEXT_LABELS:
        return square
    kind = "bright" if share > CONTRAST_SHARE else "count"
    return f'{square}<text class="{kind}" x="{x + size / 2:g}" y="{y + size / 2 + 4:g}">{count}</text>'


def _square(parts: Sequence[str], x: tuple[str, str], y: tuple[str, str], title: tuple[str, str]) -> str:
    """A plot with both axes from 0 to 1."""
    ticks = []
    for share in (0, 0.5, 1):
        ticks.append(
            f'<text class="tick" x="{SIDE * share:g}" y="{SIDE + 16}" text-anchor="middle">{share:g}</text>'
        )
        ticks.append(
            f'<text class="tick" x="-6" y="{SIDE * (1 - share) + 4:g}" text-anchor="end">{share:g}</text>'
        )
    axes = _both(x, f'x="{SIDE / 2:g}" y="{SIDE + 34}"') + _both(
        y, f'transform="translate(-32 {SIDE / 2:g}) rotate(-90)"'
    )
    size = SIDE + 2 * MARGIN
    return (
        f'<svg role="img" aria-label="{_title(title)}" viewBox="{-MARGIN} {-MARGIN / 2:g} {size} {size}" '
        f'width="{size}" height="{size}"><rect class="area" width="{SIDE}" height="{SIDE}"/>'
        f"{''.join(parts)}{''.join(ticks)}{axes}</svg>"
    )


def _both(texts: tuple[str, str], place: str) -> str:
    return "".join(
        f'<text class="axis {language}" text-anchor="middle" {place}>{text}</text>'
        for language, text in zip(("en", "zh"), texts, strict=True)
    )


def _title(texts: tuple[str, str]) -> str:
    return " / ".join(texts)
