"""Bounds the pairs in flight: beyond it a request is refused at once instead of queued. Knows no request."""

from __future__ import annotations

from gateway.errors import Overloaded


class Admission:
    """Counts pairs between their admission and their answer."""

    def __init__(self, max_pairs: int) -> None:
        self._max_pairs = max_pairs
        self.pairs_in_flight = 0

    def take(self, pairs: int) -> None:
        """Hold `pairs` places until they are given back; `Overloaded` when they are not free."""
        if self.pairs_in_flight + pairs > self._max_pairs:
            raise Overloaded(f"{self.pairs_in_flight} pairs are in flight, at most {self._max_pairs}; try again")
        self.pairs_in_flight += pairs

    def give_back(self, pairs: int) -> None:
        self.pairs_in_flight -= pairs
