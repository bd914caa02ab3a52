"""Texts with labels, for references and for INT8 calibration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BuildError

BUILTIN_FILE = Path(__file__).parent / "samples.json"


@dataclass(frozen=True, slots=True)
class TextSample:
    """A text and its labels, which are used as hypotheses."""

    text: str
    labels: tuple[str, ...]


def builtin_samples(part: str) -> list[TextSample]:
    """The samples of this package for `calibration` or `reference`: short texts, and long ones made of them."""
    short = [
        TextSample(item["text"], tuple(item["labels"]))
        for item in json.loads(BUILTIN_FILE.read_text(encoding="utf-8"))[part]
    ]
    texts = [sample.text for sample in short]
    return short + [
        TextSample("。".join(texts[start : start + count] * repeat), short[start].labels)
        for start, count, repeat in ((0, 6, 1), (6, 6, 2), (3, 12, 1), (1, 14, 4))
    ]


def read_samples(path: Path) -> list[TextSample]:
    """Read JSON lines `{"text": …, "labels": […]}`, such as logged requests; `BuildError` names a bad line."""
    samples = []
    try:
        # Other separators than the line feed, such as U+2028, may be part of a text.
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            item = json.loads(line)
            sample = TextSample(str(item["text"]), tuple(map(str, item["labels"])))
        except (ValueError, KeyError, TypeError):
            raise BuildError(f'{path}, line {number}: expected {{"text": "…", "labels": ["…"]}}') from None
        if sample.labels:
            samples.append(sample)
    if not samples:
        raise BuildError(f"{path} contains no samples")
    return samples
