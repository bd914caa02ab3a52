"""Compares what a gateway answers now with what it answered when a reference was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanneng.client import Client
from wanneng.errors import CommandError
from wanneng.tables.files import read_lines

OPTIONS = ("label_set", "hypothesis_template", "multi_label", "max_tokens", "special_tokens")
FIELDS = ("text", "labels", *OPTIONS)
"""Of a line, what is sent; its `scores`, by label, are what is compared."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the reference, classified again."""

    text: str
    best: str
    expected_best: str
    difference: float
    """Of the score that differs most."""


def read_reference(path: Path) -> list[dict[str, Any]]:
    """JSON lines; a `CommandError` names the first that cannot be used."""
    lines = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError:
            raise CommandError(f"{path}, line {number} is not JSON") from None
        if not isinstance(fields, dict) or "text" not in fields or not ({"labels", "label_set"} & fields.keys()):
            raise CommandError(f"{path}, line {number}: an object with text, and labels or label_set, is needed")
        lines.append(fields)
    if not lines:
        raise CommandError(f"{path} is empty")
    return lines


def record(client: Client, reference: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines with the scores that the gateway gives now."""
    for line in reference:
        yield {name: line[name] for name in FIELDS if name in line} | {"scores": _scores(client, line)}


def compare(client: Client, reference: Sequence[dict[str, Any]]) -> Iterator[Comparison]:
    """Each line is computed anew, never taken from a cache."""
    for number, line in enumerate(reference, start=1):
        expected = line.get("scores")
        if not isinstance(expected, dict) or not expected:
            raise CommandError(f"line {number} of the reference has no scores; --record writes them")
        scores = _scores(client, line)
        differences = [
            abs(expected.get(label, 0.0) - scores.get(label, 0.0)) for label in expected.keys() | scores.keys()
        ]
        yield Comparison(line["text"], _best(scores), _best(expected), max(differences))


def _scores(client: Client, line: dict[str, Any]) -> dict[str, float]:
    options = {name: line[name] for name in OPTIONS if name in line}
    answer = client.classify(line["text"], line.get("labels"), fresh=True, **options)
    return dict(zip(answer.labels, answer.scores, strict=True))


def _best(scores: dict[str, float]) -> str:
    return max(scores, key=lambda label: scores[label])
