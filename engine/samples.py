"""Texts with labels: what a reference is asked, and what INT8 is calibrated on. Knows nothing about tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BuildError

OWN = Path(__file__).parent / "samples.json"


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and its hypotheses."""

    text: str
    labels: tuple[str, ...]


def own_samples(part: str) -> list[Sample]:
    """`calibration` or `reference`: short texts of many kinds, and long ones joined from them."""
    short = [
        Sample(item["text"], tuple(item["labels"])) for item in json.loads(OWN.read_text(encoding="utf-8"))[part]
    ]
    texts = [sample.text for sample in short]
    return short + [
        Sample("。".join(texts[start : start + count] * repeat), short[start].labels)
        for start, count, repeat in ((0, 6, 1), (6, 6, 2), (3, 12, 1), (1, 14, 4))
    ]


def read_samples(path: Path) -> list[Sample]:
    """JSON lines `{"text": …, "labels": […]}`, such as a day of real requests; a bad line is named."""
    samples = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            item = json.loads(line)
            sample = Sample(str(item["text"]), tuple(map(str, item["labels"])))
        except (ValueError, KeyError, TypeError):
            raise BuildError(f'{path}, line {number}: {{"text": "…", "labels": ["…"]}} is needed') from None
        if sample.labels:
            samples.append(sample)
    if not samples:
        raise BuildError(f"{path} has no samples")
    return samples
