"""Load shapes: how the request rate changes over a run, and the arrival times that follow from it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtest.errors import LoadTestError


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rate changes over a run."""

    name: str
    at: Callable[[float], float]
    """Share of the maximum rate, by the share of the run that has passed, 0 to 1."""


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("steady", lambda _: 1.0),
        Shape("ramp", lambda elapsed: elapsed),
        Shape("steps", lambda elapsed: (min(4, int(elapsed * 5)) + 1) / 5),
        # The maximum rate for a fifth of the run, a fifth of it for the rest.
        Shape("spike", lambda elapsed: 1.0 if 0.4 <= elapsed < 0.6 else 0.2),
        # A day: quiet at midnight, busiest at noon.
        Shape("diurnal", lambda elapsed: 0.55 - 0.45 * math.cos(2 * math.pi * elapsed)),
    )
}


def find_shape(name: str) -> Shape:
    """`LoadTestError` if there is no such shape."""
    if name not in SHAPES:
        raise LoadTestError(f"unknown shape {name}; choose one of {', '.join(SHAPES)}")
    return SHAPES[name]


def arrivals(shape: Shape, max_rate: float, duration_s: float, rng: random.Random) -> Iterator[float]:
    """Seconds at which requests arrive, a Poisson process of rate `max_rate * shape.at(t / duration)`.

    By thinning (Lewis and Shedler, 1979): arrivals at the maximum rate, each kept with the shape's share as its
    probability.
    """
    now = 0.0
    while True:
        now += rng.expovariate(max_rate)
        if now >= duration_s:
            return
        if rng.random() < shape.at(now / duration_s):
            yield now
