"""JSON of people's files: an object that has a name twice is refused, of which parsers take the last."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


def loads(text: str) -> Any:
    """`ValueError` for what is not JSON and for a repeated name; `RecursionError` where it is nested deeply.

    NaN and Infinity are None: they are no JSON, but Python and pandas write them for what is not there.
    """
    return json.loads(text, object_pairs_hook=_with_unique_names, parse_constant=lambda _: None)


def _with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the name {repeated!r} is used twice")
    return values
