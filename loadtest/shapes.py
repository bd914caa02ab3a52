"""How many requests a second, over time; and when each arrives. Sends nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtest.errors import LoadError


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rate goes over the time of a load test."""

    name: str
    at: Callable[[float], float]
    """Share of the highest rate at a share of the time, 0 to 1."""


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("steady", lambda _: 1.0),
        Shape("ramp", lambda share: share),
        Shape("steps", lambda share: (min(4, int(share * 5)) + 1) / 5),
        # A fifth of the time at the highest rate, the rest at a fifth of it.
        Shape("spike", lambda share: 1.0 if 0.4 <= share < 0.6 else 0.2),
        # A day: least at night, most at noon.
        Shape("diurnal", lambda share: 0.55 - 0.45 * math.cos(2 * math.pi * share)),
    )
}


def shape_of(name: str) -> Shape:
    if name not in SHAPES:
        raise LoadError(f"no shape {name}; there are {', '.join(SHAPES)}")
    return SHAPES[name]


def arrivals(shape: Shape, highest: float, duration_s: float, rng: random.Random) -> Iterator[float]:
    """Seconds at which requests arrive, a Poisson process of rate `highest * shape.at(t / duration)`.

    By thinning (Lewis and Shedler, 1979): arrivals at the highest rate, each kept with the share of its time.
    """
    now = 0.0
    while True:
        now += rng.expovariate(highest)
        if now >= duration_s:
            return
        if rng.random() < shape.at(now / duration_s):
            yield now
