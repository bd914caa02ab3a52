"""Merges the logs of a release's pods: by time, with the lines of one request together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one pod."""

    at: str
    """RFC 3339 in UTC, as the kubelet writes it; compares as text."""
    pod: str
    text: str
    request_id: str | None
    """None where the line is about no request, or about several."""


def lines_of(pod: str, log: str) -> Iterable[Line]:
    """`log` has a time in front of each line; lines without one are left out."""
    for line in log.split("\n"):
        at, _, text = line.partition(" ")
        if at[:4].isdigit() and at.endswith("Z"):
            yield Line(at, pod, text, _request_id(text))


def merged(logs: Mapping[str, str], request_id: str | None = None) -> list[Line]:
    """By time; the lines of a request follow its first. With `request_id`, the lines of that request alone."""
    lines = sorted(
        (line for pod, log in logs.items() for line in lines_of(pod, log)), key=lambda line: (line.at, line.pod)
    )
    if request_id is not None:
        # Ids of a batch's lines begin alike. Other records may name an id in their message, where a full stop is
        # part of another id, or ends a sentence.
        named = re.compile(rf"(?<![\w-])(?<![\w-]\.){re.escape(request_id)}(?!\.*[\w-])")
        return [
            line for line in lines if (line.request_id or request_id) == request_id and named.search(line.text)
        ]
    first: dict[str, str] = {}
    for line in lines:
        if line.request_id is not None:
            first.setdefault(line.request_id, line.at)
    return sorted(
        lines, key=lambda line: (first.get(line.request_id or "", line.at), line.request_id or "", line.at)
    )


def _request_id(text: str) -> str | None:
    if not text.startswith("{"):
        return None
    try:
        request_id = json.loads(text).get("request_id")
    except (ValueError, AttributeError):
        return None
    return request_id if isinstance(request_id, str) else None
