"""How many pairs a second Triton does, as measured of late. Pure."""

from __future__ import annotations

from collections.abc import Callable

HALF_LIFE_S = 1.0
"""Of busy time: what was measured so long ago counts half."""
LEAST_S = 0.1
"""Busy time below which nothing is said."""


class Pace:
    """Pairs done by the time in which something was at Triton; `now` never goes back.

    Triton may be able to do more than it is given, so below its capacity this is less than that.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._pairs = 0.0
        self._busy_s = 0.0
        self._since: float | None = None

    def begin(self) -> None:
        """Something is at Triton from now on."""
        if self._since is None:
            self._since = self._now()

    def done(self, pairs: int, *, idle: bool) -> None:
        """`pairs` were answered; `idle`: nothing is left at Triton."""
        self._count()
        self._pairs += pairs
        if idle:
            self._since = None

    @property
    def per_s(self) -> float:
        """Infinite as long as nothing is known."""
        self._count()
        return self._pairs / self._busy_s if self._busy_s >= LEAST_S else float("inf")

    def _count(self) -> None:
        if self._since is None:
            return
        now = self._now()
        passed, self._since = now - self._since, now
        kept = 0.5 ** (passed / HALF_LIFE_S)
        self._pairs *= kept
        self._busy_s = self._busy_s * kept + passed
