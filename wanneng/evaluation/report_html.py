"""An evaluation as one HTML page in English and Chinese, with plots; it has no script and loads nothing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from wanneng.evaluation.charts import coverage, heat_map, interval_bar, reliability
from wanneng.evaluation.intervals import Interval
from wanneng.evaluation.metrics import Point
from wanneng.evaluation.names import printable
from wanneng.evaluation.run import Evaluation, Result
from wanneng.evaluation.sentences import in_chinese, in_english
from wanneng.text_io import shown_name

LANGUAGES = {"en": "English", "zh": "中文"}
STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MAX_MATRIX_LABELS = 60
MAX_MISTAKES = 20
NOTES = (
    ("A refused text counts as a wrong answer.", "被拒绝的文本按答错计算。"),
    (
        "Texts of no label count for coverage alone, where an accepted answer to one of them is wrong.",
        "不属于任何标签的文本只计入覆盖率，对它们给出且被接受的答案按答错计算。",
    ),
    (
        "Macro F1 is the mean over the labels that occur.",
        "宏平均 F1 是出现过的各标签 F1 的平均值。",
    ),
    (
        "The 95% interval of accuracy is Wilson's (1927), that of macro F1 a percentile bootstrap.",
        "准确率的 95% 区间采用 Wilson 方法（1927），宏平均 F1 采用百分位自助法。",
    ),
    (
        "Calibration error is the expected calibration error with 15 bins (Guo et al. 2017, equation 3).",
        "校准误差指 15 个区间的期望校准误差 ECE（Guo 等 2017，式 3）。",
    ),
    (
        "A difference is real at 5% by McNemar's exact test, with Holm's correction (1979) for all pairs.",
        "差异是否真实由 McNemar 精确检验判断，显著性水平 5%，按 Holm 方法（1979）对所有配对校正。",
    ),
    (
        "The interval of a difference is Newcombe's (1998, method 10), without that correction.",
        "差值的区间采用 Newcombe 方法 10（1998），未作上述校正。",
    ),
)


def as_html(evaluation: Evaluation, language: str) -> str:
    """`language`: the one that is shown first, of `LANGUAGES`."""
    examples = evaluation.examples
    texts, labels = len(examples.items), len(evaluation.labels)
    title = f"{shown_name(examples.source)} · wanneng evaluate"
    choices = "".join(
        f'<input type="radio" name="language" id="{code}"{" checked" if code == language else ""}>'
        f'<label for="{code}" lang="{code}">{name}</label>'
        for code, name in LANGUAGES.items()
    )
    parts = [
        f"<h1>{_both('Evaluation', '评测报告')}</h1>",
        f"<p>{_name(shown_name(examples.source))} · "
        + _both(
            f"texts: {texts}, labels: {labels}, texts of no label: {examples.unlabelled}",
            f"{texts} 条文本，{labels} 个标签，{examples.unlabelled} 条不属于任何标签",
        )
        + "</p>",
        _summary(evaluation),
        _comparisons(evaluation),
        *(_variant(evaluation, result) for result in evaluation.results),
        f"<h2>{_both('How to read this', '说明')}</h2><ul>",
        *(f"<li>{_both(*note)}</li>" for note in NOTES),
        "</ul>",
    ]
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(printable(title))}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n"
        f"</head>\n<body>\n{choices}\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _summary(evaluation: Evaluation) -> str:
    head = [
        _both("Variant", "方案"),
        _both("Accuracy (95% CI)", "准确率（95% 置信区间）"),
        "",
        _both("Macro F1 (95% CI)", "宏平均 F1（95% 置信区间）"),
        _both("Calibration error", "校准误差"),
        _both("Refused", "被拒绝"),
    ]
    rows = [
        [
            _name(result.variant.name),
            _interval(result.scores.accuracy),
            interval_bar(result.scores.accuracy),
            _interval(result.scores.macro_f1),
            f"{result.scores.calibration_error:.3f}",
            str(result.scores.refused),
        ]
        for result in evaluation.results
    ]
    return _table(head, rows)


def _comparisons(evaluation: Evaluation) -> str:
    sentences = [
        f"<li>{_both(in_english(evaluation, comparison), in_chinese(evaluation, comparison))}</li>"
        for comparison in evaluation.comparisons
    ]
    title = _both("Which difference is real?", "哪些差异是真实的？")
    return f"<h2>{title}</h2><ul>{''.join(sentences)}</ul>" if sentences else ""


def _variant(evaluation: Evaluation, result: Result) -> str:
    scores = result.scores
    plots = [
        (("Calibration", "校准"), reliability(scores.reliability)),
        (("Accuracy by coverage", "准确率与覆盖率"), coverage(scores.coverage)),
    ]
    figures = "".join(f"<figure><figcaption>{_both(*name)}</figcaption>{plot}</figure>" for name, plot in plots)
    model = f'<p class="muted">{_both("Model", "模型")}: {_name(result.model)}</p>' if result.model else ""
    return (
        f"<h2>{_name(result.variant.name)}</h2>{model}<div class='plots'>{figures}</div>"
        f"{_thresholds(scores.thresholds)}{_confusion(evaluation.labels, result)}{_labels(result)}"
    )


def _thresholds(points: Sequence[Point]) -> str:
    head = [_both("Threshold", "阈值"), _both("Coverage", "覆盖率"), _both("Accuracy", "准确率")]
    rows = [
        [f"{p.threshold:g}", f"{p.coverage:.3f}", "–" if p.accuracy is None else f"{p.accuracy:.3f}"]
        for p in points
    ]
    return _table(head, rows) if rows else ""


def _confusion(labels: Sequence[str], result: Result) -> str:
    confusion = result.scores.confusion
    if len(labels) <= MAX_MATRIX_LABELS:
        caption = _both("Confusion: labels by predicted labels", "混淆矩阵：行为标签，列为预测")
        matrix = heat_map(labels, confusion)
        return f"<figure><figcaption>{caption}</figcaption><div class='wide'>{matrix}</div></figure>"
    mistakes = [(count, *cell) for cell, count in confusion.items() if cell[0] != cell[1]]
    mistakes.sort(key=lambda mistake: (-mistake[0], mistake[1], mistake[2] or ""))
    head = [_both("Label", "标签"), _both("Predicted", "预测"), _both("Texts", "文本数")]
    refused = _both("(refused)", "（被拒绝）")
    rows = [
        [_name(label), refused if predicted is None else _name(predicted), str(count)]
        for count, label, predicted in mistakes[:MAX_MISTAKES]
    ]
    return f"<p>{_both('Most frequent mistakes', '最常见的错误')}</p>{_table(head, rows)}"


def _labels(result: Result) -> str:
    head = [
        _both("Label", "标签"),
        _both("Precision", "精确率"),
        _both("Recall", "召回率"),
        "F1",
        _both("Texts", "文本数"),
    ]
    rows = [
        [_name(s.label), f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", str(s.support)]
        for s in result.scores.labels
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML."""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f"<th scope='col'>{name}</th>" for name in head)
    return f"<div class='wide'><table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table></div>"


def _interval(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def _name(text: str) -> str:
    """A name from outside: without markup or direction of its own."""
    return f"<bdi>{html.escape(printable(text))}</bdi>"


def _both(english: str, chinese: str) -> str:
    """Plain text in both languages, of which the style shows one."""
    return "".join(
        f'<span class="{code}" lang="{code}">{html.escape(printable(text))}</span>'
        for code, text in (("en", english), ("zh", chinese))
    )
