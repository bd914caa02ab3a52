"""Tells from the label maps of `config.json` what each row of a classifier stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import SnapshotError
from engine.recipe import LABEL_ORDER

ENTAILMENT, NEUTRAL, CONTRADICTION = LABEL_ORDER
LABEL_PREFIXES = {
    "entail": ENTAILMENT,
    "neutral": NEUTRAL,
    "contradict": CONTRADICTION,
    "not_entail": CONTRADICTION,
    "not entail": CONTRADICTION,
    "non_entail": CONTRADICTION,
    "non-entail": CONTRADICTION,
    "蕴含": ENTAILMENT,
    "蕴涵": ENTAILMENT,
    "中立": NEUTRAL,
    "中性": NEUTRAL,
    "矛盾": CONTRADICTION,
    "不蕴含": CONTRADICTION,
    "非蕴含": CONTRADICTION,
}
"""Beginnings of the names of labels, in lower case, and what they mean."""
PLACEHOLDER = "LABEL_"
"""Beginning of the names that transformers gives labels without one."""
DEFAULT_ROWS = 2
"""Of transformers, where `config.json` does not say."""
EXAMPLES = {2: (ENTAILMENT, CONTRADICTION), 3: LABEL_ORDER}
"""For `--logits`, by the number of rows."""


def label_maps(order: Sequence[str]) -> dict[str, Any]:
    """The entries of `config.json` that name the rows of the classifier."""
    return {
        "num_labels": len(order),
        "id2label": {str(index): name for index, name in enumerate(order)},
        "label2id": {name: index for index, name in enumerate(order)},
    }


def structbert_order(path: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Label names must be in ModelScope's order, unless they are placeholders such as `LABEL_0`."""
    named = {entry: names for entry, names in _label_names(path, config).items() if not _are_placeholders(names)}
    # Where one map says it, what another calls the rows does not matter.
    telling = {entry: names for entry, names in named.items() if _meanings(names) is not None}
    for entry, names in (telling or named).items():
        if [name.lower() for name in names] != list(LABEL_ORDER):
            raise SnapshotError(
                f"{path}: {entry} is {names}, expected {list(LABEL_ORDER)}, which is ModelScope's order"
            )
    return LABEL_ORDER


def logits_order(path: Path, config: dict[str, Any], told: Sequence[str] | None) -> tuple[str, ...]:
    """What each row stands for: as `told`, or as `id2label` and `label2id` say, of which one is enough."""
    names = _label_names(path, config)
    rows = len(next(iter(names.values()))) if names else _default_rows(config)
    order = tuple(told) if told is not None else _named_order(path, names, rows)
    known = set(order) <= set(LABEL_ORDER) and len(set(order)) == len(order)
    if not known or ENTAILMENT not in order or (len(order) > 1 and CONTRADICTION not in order):
        raise SnapshotError(
            f"{path}: logits are {', '.join(order)}; they must be entailment alone, "
            "entailment and contradiction, or these and neutral"
        )
    if len(order) != rows:
        raise SnapshotError(
            f"{path}: the model has {rows} labels, --logits names {len(order)}; "
            "id2label or num_labels says how many it has"
        )
    return order


def _label_names(path: Path, config: dict[str, Any]) -> dict[str, list[str]]:
    """The names of the rows, in their order, by the entry of `config.json` that has them."""
    names = {}
    if by_row := config.get("id2label"):
        rows = [str(row) for row in range(len(by_row))] if isinstance(by_row, dict) else None
        if rows is None or set(by_row) != set(rows):
            raise SnapshotError(
                f'{path}: id2label is {by_row}; it must name each row of the classifier: {{"0": "…"}}'
            )
        names["id2label"] = [str(by_row[row]) for row in rows]
    if by_name := config.get("label2id"):
        numbers = {str(row): name for name, row in by_name.items()} if isinstance(by_name, dict) else {}
        if set(numbers) == {str(row) for row in range(len(by_name))}:
            names["label2id"] = [numbers[str(row)] for row in range(len(by_name))]
        elif not names:
            raise SnapshotError(
                f'{path}: label2id is {by_name}; it must number the rows of the classifier from 0: {{"…": 0}}'
            )
    return names


def _default_rows(config: dict[str, Any]) -> int:
    count = config.get("num_labels")
    return count if isinstance(count, int) else DEFAULT_ROWS


def _named_order(path: Path, names: dict[str, list[str]], rows: int) -> tuple[str, ...]:
    if rows == 1:
        return (ENTAILMENT,)
    if rows not in EXAMPLES:
        raise SnapshotError(
            f"{path}: the model has {rows} labels; it must have one (entailment), two (and contradiction) "
            "or three (and neutral)"
        )
    way_out = f"tell the order with --logits, such as --logits {','.join(EXAMPLES[rows])}"
    named = {entry: labels for entry, labels in names.items() if not _are_placeholders(labels)}
    orders = {entry: order for entry, labels in named.items() if (order := _meanings(labels)) is not None}
    if not orders and named:
        entry, labels = next(iter(named.items()))
        raise SnapshotError(f"{path}: {entry} is {labels}, which does not say which is entailment; {way_out}")
    if not orders:
        raise SnapshotError(f"{path} does not say which of the {rows} labels is entailment; {way_out}")
    if len(set(orders.values())) > 1:
        said = ", but ".join(f"by {entry} the logits are {', '.join(order)}" for entry, order in orders.items())
        raise SnapshotError(f"{path}: {said}; correct one of them, or {way_out}")
    return next(iter(orders.values()))


def _meanings(names: Sequence[str]) -> tuple[str, ...] | None:
    """Which of `LABEL_ORDER` each name means; None unless every name means one."""
    order = []
    for name in names:
        meaning = next((m for prefix, m in LABEL_PREFIXES.items() if name.lower().startswith(prefix)), None)
        if meaning is None:
            return None
        order.append(meaning)
    return tuple(order)


def _are_placeholders(names: Sequence[str]) -> bool:
    return all(name.upper().startswith(PLACEHOLDER) for name in names)
