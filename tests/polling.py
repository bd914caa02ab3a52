"""Polls until what a test waits for is there."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], what: str, timeout_s: float = 60.0, interval_s: float = 0.05) -> None:
    """Wait for what `condition` sees; fails by `what` when it never comes."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(interval_s)
