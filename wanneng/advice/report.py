"""A check as tables for a terminal, as JSON, and as sentences that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from wanneng.advice.check import MIN_GAIN, MIN_TEXTS, Advice, TemplateFigures, WordingFigures
from wanneng.advice.figures import Gain, LabelFigures, PairFigures
from wanneng.advice.wordings import is_catch_all
from wanneng.evaluation.grid import grid
from wanneng.evaluation.intervals import Interval
from wanneng.evaluation.names import printable

DIGITS = 4
MAX_ROWS = 10
"""Of pairs and wordings in a table, beside those that the advice is about."""
MAX_JSON_PAIRS = 500
DEFAULT_TEMPLATE = "(default)"


def as_table(advice: Advice) -> str:
    """Ends in a line feed."""
    lines = [*_labels(advice.labels)]
    pairs = _shown(advice.pairs, advice.confusable)
    lines += ["", *_pairs(pairs)] if pairs else []
    lines += ["", *_templates(advice.templates)]
    wordings = _shown(advice.wordings, advice.proposed_wordings)
    lines += ["", *_wordings(wordings)] if wordings else []
    return "\n".join(printable(line).rstrip() for line in [*lines, "", *sentences(advice)]) + "\n"


def as_json(advice: Advice, source: str, target: Mapping[str, Any]) -> str:
    """Sorted keys and rounded figures, so that the same input gives the same bytes; ends in a line feed."""
    content = {
        "source": source,
        "texts": advice.texts,
        "refused": len(advice.refusals),
        "target": dict(target) | ({"model": advice.model} if advice.model else {}),
        "labels": [asdict(label) | {"dominant": label.is_dominant} for label in advice.labels],
        "pairs": [asdict(pair) | {"confusable": pair.is_confusable} for pair in advice.pairs[:MAX_JSON_PAIRS]],
        "templates": [asdict(found) | {"better": found.is_better} for found in advice.templates],
        "wordings": [asdict(found) | {"better": found.is_better} for found in advice.wordings],
        "proposed_template": advice.proposed_template and advice.proposed_template.template,
        "proposed_wordings": {found.label: found.wording for found in advice.proposed_wordings},
        "advice": [*sentences(advice)],
    }
    return json.dumps(_rounded(content), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"


def sentences(advice: Advice) -> Iterator[str]:
    """What the figures say, and what to do about it; at least one."""
    for label in advice.dominant:
        yield _dominant(label)
    for pair in advice.confusable:
        yield _confusable(pair)
    if not advice.dominant and not advice.confusable:
        yield f"No label is confusable or dominant beyond chance in these {advice.texts} texts."
    if advice.texts < MIN_TEXTS:
        yield f"Templates and wordings are compared from {MIN_TEXTS} texts; these are {advice.texts}."
        return
    if len(advice.templates) > 1:
        yield _template(advice)
    for wording in advice.proposed_wordings:
        yield (
            f"{wording.label} as {wording.wording} is easier to tell from the others: {_gain(wording.gain)} "
            f"({_p(wording.adjusted_p_value)})."
        )
    if advice.wordings and not advice.proposed_wordings:
        yield f"None of the {len(advice.wordings)} wordings gains {MIN_GAIN} bits or more."


def _dominant(label: LabelFigures) -> str:
    low = f"{100 * label.share.low:.0f}%"
    told = (
        f"{label.label} is dominant: it is first for {_percent(label.share)} of the texts. If it applies to fewer "
        f"than {low}, it takes those of other labels"
    )
    if is_catch_all(label.label):
        return f"{told}. Leave it out, and find the texts of no label with a threshold (none_of_these)."
    return f"{told}. Make it narrower, or learn a correction from a few labelled texts (wanneng calibrate)."


def _confusable(pair: PairFigures) -> str:
    first, second = pair.labels
    return (
        f"{first} and {second} are confusable: where one of them is first, the other is close in "
        f"{_percent(pair.share)} of {pair.texts} texts. Merge them, or say in the labels what the difference is."
    )


def _template(advice: Advice) -> str:
    present, proposed = advice.templates[0], advice.proposed_template
    if proposed is None or proposed.gain is None:
        return f"No template gains {MIN_GAIN} bits or more over {_name(present)}."
    return (
        f"The template {_name(proposed)} separates the labels better than {_name(present)}: "
        f"{_gain(proposed.gain)} ({_p(proposed.adjusted_p_value)})."
    )


def _labels(labels: Sequence[LabelFigures]) -> list[str]:
    rows = [
        [
            label.label,
            str(label.first),
            *_share(label.share),
            f"{label.mean_score:.3f}",
            "dominant" * label.is_dominant,
        ]
        for label in labels
    ]
    return grid(["label", "first", "share", "(95% CI)", "mean score", ""], rows)


def _pairs(pairs: Sequence[PairFigures]) -> list[str]:
    rows = [
        [*pair.labels, str(pair.texts), str(pair.close), *_share(pair.share), "confusable" * pair.is_confusable]
        for pair in pairs
    ]
    return grid(["label", "label", "texts", "close", "share", "(95% CI)", ""], rows, texts=2)


def _templates(templates: Sequence[TemplateFigures]) -> list[str]:
    rows = [
        [_name(found), f"{found.information.value:.3f}", _bounds(found.information), *_gain_cells(found.gain)]
        for found in templates
    ]
    return grid(["template", "bits", "(95% CI)", "gain", "(95% CI)"], rows)


def _wordings(wordings: Sequence[WordingFigures]) -> list[str]:
    rows = [[found.label, found.wording, *_gain_cells(found.gain)] for found in wordings]
    return grid(["label", "wording", "gain", "(95% CI)"], rows, texts=2)


def _shown(figures: Sequence[Any], wanted: Sequence[Any]) -> list[Any]:
    """The first ones, and all that are wanted."""
    return [found for number, found in enumerate(figures) if number < MAX_ROWS or found in wanted]


def _gain_cells(gain: Gain | None) -> tuple[str, str]:
    return ("", "") if gain is None else (f"{gain.bits.value:+.3f}", _bounds(gain.bits, "+"))


def _gain(gain: Gain) -> str:
    return f"{gain.bits.value:+.2f} bits, 95% CI {gain.bits.low:.2f} to {gain.bits.high:.2f}"


def _share(share: Interval) -> tuple[str, str]:
    return f"{share.value:.3f}", _bounds(share)


def _bounds(interval: Interval, sign: str = "") -> str:
    return f"({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


def _percent(share: Interval) -> str:
    value, low, high = (f"{100 * part:.0f}" for part in (share.value, share.low, share.high))
    return f"{value}% (95% CI {low} to {high}%)"


def _p(p_value: float) -> str:
    return f"p = {p_value:.2g}" if p_value >= 1e-4 else "p < 0.0001"


def _name(template: TemplateFigures) -> str:
    return DEFAULT_TEMPLATE if template.template is None else template.template


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value
