"""Reads Label Studio's JSON export: each task's data, and what its annotators chose in a `Choices` control.

The format is that of https://labelstud.io/guide/task_format. Predictions and drafts are not read, and neither are
annotations that were skipped (`was_cancelled`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanneng.errors import CommandError
from wanneng.tables.lists import listed
from wanneng.tables.readers import Record, fields_of

_KEYS = frozenset({"annotations", "completions", "predictions"})
SKIPPED, UNLABELLED = "skipped by the annotators", "without an annotation"
UNCHOSEN, TIED = "without a choice", "on which the annotators disagree"


@dataclass(frozen=True, slots=True)
class Export:
    """The tasks with a choice."""

    records: Sequence[Record]
    """Their data, numbered by the tasks' ids."""
    choices: Sequence[str | None]
    """In the order of the records; None for a record with an error."""
    control: str
    left_out: Mapping[str, int]
    """How many tasks were left out, by reason."""


def is_export(records: Sequence[Any]) -> bool:
    """Whether these are tasks: objects with `data` and annotations or predictions."""
    first = records[0] if records else None
    return isinstance(first, dict) and isinstance(first.get("data"), dict) and bool(_KEYS & first.keys())


def read_export(source: Path, tasks: Sequence[Any], control: str | None) -> Export:
    """`control`: the name of the `Choices` control; None: the only one. `CommandError` names it or the task."""
    chosen = _only_control(source, tasks, control)
    records, choices, left_out = [], [], Counter[str]()
    for position, task in enumerate(tasks, 1):
        number = task["id"] if isinstance(task, dict) and isinstance(task.get("id"), int) else position
        cells, error = fields_of(task.get("data") if isinstance(task, dict) else None, "task's data")
        try:
            choice, reason = _choice(task, chosen) if error is None else (None, None)
        except ValueError as problem:
            choice, reason, error = None, None, str(problem)
        if reason is None:
            records.append(Record(number, cells, error))
            choices.append(choice)
        else:
            left_out[reason] += 1
    return Export(records, choices, chosen, left_out)


def _choice(task: Mapping[str, Any], control: str) -> tuple[str | None, str | None]:
    """The choice of the ground truth, or else of most annotators; or why there is none.

    `ValueError` for a choice of several.
    """
    annotations = _annotations(task)
    kept = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    if not kept:
        return None, SKIPPED if annotations else UNLABELLED
    truths = [annotation for annotation in kept if annotation.get("ground_truth")]
    votes = Counter[str]()
    for annotation in truths or kept:
        choices = [choice for name, choice in _choices(annotation) if name == control]
        if len(choices) > 1:
            raise ValueError(f"it has {len(choices)} choices ({listed(choices)}), but a text has one label")
        votes.update(choices)
    if not votes:
        return None, UNCHOSEN
    (best, count), *others = votes.most_common(2)
    return (None, TIED) if others and others[0][1] == count else (best, None)


def _only_control(source: Path, tasks: Iterable[Any], wanted: str | None) -> str:
    names = Counter(
        name
        for task in tasks
        if isinstance(task, dict)
        for annotation in _annotations(task)
        for name in {name for name, _ in _choices(annotation)}
    )
    if wanted is not None and wanted in names:
        return wanted
    if not names:
        raise CommandError(f"{source}: no task of this Label Studio export has an annotation with a choice")
    named = listed(sorted(names))
    if wanted is not None:
        raise CommandError(f"{source}: there is no Choices control {wanted!r}; there are {named}")
    if len(names) > 1:
        raise CommandError(f"{source} has several Choices controls; name one with --label-column: {named}")
    return next(iter(names))


def _annotations(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """`completions` is the name of versions before 1.0."""
    found = task.get("annotations") or task.get("completions")
    return [annotation for annotation in found if isinstance(annotation, dict)] if isinstance(found, list) else []


def _choices(annotation: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Each choice for the whole text, after the name of its control; those for a part of it have a `start`."""
    results = annotation.get("result")
    for result in results if isinstance(results, list) else ():
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict) or result.get("type") != "choices" or "start" in value:
            continue
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, str):
                yield str(result.get("from_name", "")), choice
