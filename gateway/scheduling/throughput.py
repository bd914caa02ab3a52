"""How many tokens a second Triton has done lately."""

from __future__ import annotations

from collections.abc import Callable

HALF_LIFE_S = 1.0
"""Of busy time: what was measured that long ago counts half."""
MIN_BUSY_S = 0.1
"""Busy time below which the throughput is not known."""


class Throughput:
    """Tokens done, by the time in which something was at Triton; `now` never goes back.

    Triton may be able to do more than it is given, so below its capacity this is less than that.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tokens = 0.0
        self._busy_s = 0.0
        self._busy_since: float | None = None

    def begin(self) -> None:
        """Something is at Triton from now on."""
        if self._busy_since is None:
            self._busy_since = self._now()

    def done(self, tokens: int, *, idle: bool) -> None:
        """`tokens` were answered; `idle`: nothing is left at Triton."""
        self._decay()
        self._tokens += tokens
        if idle:
            self._busy_since = None

    @property
    def tokens_per_s(self) -> float:
        """Infinite as long as it is not known."""
        self._decay()
        return self._tokens / self._busy_s if self._busy_s >= MIN_BUSY_S else float("inf")

    def _decay(self) -> None:
        if self._busy_since is None:
            return
        now = self._now()
        passed_s, self._busy_since = now - self._busy_since, now
        kept = 0.5 ** (passed_s / HALF_LIFE_S)
        self._tokens *= kept
        self._busy_s = self._busy_s * kept + passed_s
