"""Finds a label set's threshold from labelled texts, and says what precision and recall it gives. Prints nothing.

A text is accepted when its best label's own probability of entailment reaches the threshold. Precision is the
share of accepted texts whose best label is theirs; recall the share of labelled texts that are accepted with
their label; F1 their harmonic mean (van Rijsbergen, Information Retrieval, 1979, chapter 7).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanneng.calls import Calls
from wanneng.errors import CommandError

TEXTS_PER_CALL = 16


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    label: str | None
    """None: none of the set's."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The best label's own probability, and whether it was the right one."""

    probability: float
    right: bool
    labelled: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold and what it gives."""

    threshold: float
    precision: float
    recall: float
    accepted: int

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def read_examples(path: Path) -> list[Example]:
    """JSON lines of `text` and `label`; a `label` of null, or none: it belongs to no label of the set."""
    examples = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip():
                examples.append(_example(json.loads(line), f"{path}:{number}"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None
    if not any(example.label for example in examples):
        raise CommandError(f"{path} has no labelled text")
    return examples


def judge(calls: Calls, label_set: str, examples: Sequence[Example]) -> Iterator[Judged]:
    """Ask the gateway about every text, some at a time."""
    for start in range(0, len(examples), TEXTS_PER_CALL):
        group = examples[start : start + TEXTS_PER_CALL]
        body = {"texts": [example.text for example in group], "label_set": label_set, "entailment": True}
        for example, result in zip(group, calls.call("POST", "/v1/classify", body)["results"], strict=True):
            best = result["labels"][0]
            labelled = example.label is not None
            yield Judged(max(result["entailment"]), labelled and best == example.label, labelled)


def choices(judged: Sequence[Judged]) -> list[Choice]:
    """Every threshold that makes a difference, the lowest first; each lies between two probabilities."""
    falling = sorted(judged, key=lambda one: -one.probability)
    labelled = sum(one.labelled for one in judged)
    found, right = [], 0
    for place, one in enumerate(falling):
        right += one.right
        below = falling[place + 1].probability if place + 1 < len(falling) else 0.0
        if below == one.probability:
            continue
        middle = (one.probability + below) / 2
        found.append(Choice(middle, right / (place + 1), right / labelled if labelled else 0.0, place + 1))
    return found[::-1]


def choose(found: Sequence[Choice], precision: float | None = None) -> Choice:
    """The best F1; or, of those with at least `precision`, the one with the best recall."""
    if precision is None:
        return max(found, key=lambda choice: choice.f1)
    good = [choice for choice in found if choice.precision >= precision]
    if not good:
        best = max(choice.precision for choice in found)
        raise CommandError(f"no threshold has a precision of {precision:g} here; the best has {best:.3f}")
    return max(good, key=lambda choice: (choice.recall, choice.precision))


def keep_threshold(calls: Calls, name: str, threshold: float) -> str:
    """A new version of the set with the threshold; its reference."""
    path = f"/v1/label-sets/{name}"
    old = calls.call("GET", path)
    body = {key: old[key] for key in ("labels", "hypothesis_template", "multi_label", "max_tokens")}
    etag = {"If-Match": f'"{old["version"]}"'}
    made = calls.call("PUT", path, body | {"threshold": threshold}, etag)
    return f"{made['name']}@{made['version']}"


def _example(line: Any, place: str) -> Example:
    if not isinstance(line, dict) or not isinstance(line.get("text"), str):
        raise CommandError(f"{place}: an object with a text and a label is needed")
    label = line.get("label")
    if label is not None and not isinstance(label, str):
        raise CommandError(f"{place}: the label is a string, or null for none of these")
    return Example(line["text"], label)
