"""What a cell holds, as text and as JSON; both read back as the same value."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from typing import Any


def as_text(value: Any) -> str:
    """As a person would write it: 3 for 3.0, nothing for no value."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, datetime | date | time):
        return str(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def as_json(value: Any) -> Any:
    """What JSON has a value for as it is, anything else as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return as_text(value)
    return value if isinstance(value, str | int | float | dict | list) or value is None else as_text(value)
