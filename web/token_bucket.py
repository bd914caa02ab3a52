"""A token bucket: what may be taken of it in any time t is at most `capacity * (1 + t / window_s)`."""

from __future__ import annotations

import math


class TokenBucket:
    """Full at first, and refilled evenly, in `window_s`; `now` is given in seconds that never go back."""

    def __init__(self, capacity: float, window_s: float, now: float) -> None:
        self._capacity = float(capacity)
        self._window_s = window_s
        self._level = self._capacity
        self._at = now

    def level(self, now: float) -> float:
        """What can be taken now."""
        refilled = self._level + (now - self._at) * self._capacity / self._window_s
        return min(self._capacity, refilled)

    def take(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken: 0, and it is taken; `inf` where it never can be."""
        level = self.level(now)
        if amount > self._capacity:
            return math.inf
        if amount > level:
            return (amount - level) * self._window_s / self._capacity
        self._level, self._at = level - amount, now
        return 0.0

    def give_back(self, amount: float, now: float) -> None:
        """May leave less than nothing, where `amount` is negative."""
        self._level, self._at = min(self._capacity, self.level(now) + amount), now
