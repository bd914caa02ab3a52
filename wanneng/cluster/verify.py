"""Compares what a gateway answers now with what it answered when a reference was recorded. Prints nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanneng.calls import Calls
from wanneng.errors import CommandError

ASKED = ("text", "labels", "label_set", "hypothesis_template", "multi_label", "max_tokens")
"""Fields of a line that are asked; `scores`, by label, is what is compared."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the reference, asked again."""

    text: str
    best: str
    expected_best: str
    difference: float
    """Of the score that differs most."""


def read_reference(path: Path) -> list[dict[str, Any]]:
    """JSON lines; a `CommandError` names the first that cannot be used."""
    lines = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError:
                raise CommandError(f"{path}, line {number} is not JSON") from None
            if not isinstance(found, dict) or "text" not in found or not ({"labels", "label_set"} & found.keys()):
                raise CommandError(
                    f"{path}, line {number}: an object with text, and labels or label_set, is needed"
                )
            lines.append(found)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None
    if not lines:
        raise CommandError(f"{path} is empty")
    return lines


def record(calls: Calls, reference: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines with the scores that the gateway gives now."""
    for line in reference:
        yield {name: line[name] for name in ASKED if name in line} | {"scores": _scores(calls, line)}


def compare(calls: Calls, reference: Sequence[dict[str, Any]]) -> Iterator[Verdict]:
    """Each line computed anew, never from a cache."""
    for number, line in enumerate(reference, start=1):
        expected = line.get("scores")
        if not isinstance(expected, dict) or not expected:
            raise CommandError(f"line {number} of the reference has no scores; --record writes them")
        scores = _scores(calls, line)
        missing = [
            abs(expected.get(label, 0.0) - scores.get(label, 0.0)) for label in expected.keys() | scores.keys()
        ]
        yield Verdict(line["text"], _best(scores), _best(expected), max(missing))


def _scores(calls: Calls, line: dict[str, Any]) -> dict[str, float]:
    asked = {name: line[name] for name in ASKED if name in line}
    answer = calls.call("POST", "/v1/classify", asked, {"Cache-Control": "no-cache"})
    return dict(zip(answer["labels"], answer["scores"], strict=True))


def _best(scores: dict[str, float]) -> str:
    return max(scores, key=lambda label: scores[label])
