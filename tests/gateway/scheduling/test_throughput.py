"""What Triton does in a second, measured only while it has something to do."""

from __future__ import annotations

import math

import pytest

from gateway.scheduling.throughput import Throughput


class Engine:
    """Does pairs in a time that a test says."""

    def __init__(self) -> None:
        self.at = 100.0
        self.throughput = Throughput(lambda: self.at)

    def run(self, pairs: int, seconds: float, *, idle: bool = True) -> None:
        self.throughput.begin()
        self.at += seconds
        self.throughput.done(pairs, idle=idle)


def test_nothing_is_known_before_something_took_time() -> None:
    engine = Engine()
    assert engine.throughput.tokens_per_s == math.inf
    engine.run(10, 0.01)
    assert engine.throughput.tokens_per_s == math.inf


def test_time_without_work_does_not_count() -> None:
    engine = Engine()
    for _ in range(50):
        engine.run(64, 0.25)
        engine.at += 3.0
    assert engine.throughput.tokens_per_s == pytest.approx(256)


def test_what_overlaps_counts_its_time_once() -> None:
    engine = Engine()
    for _ in range(40):
        engine.run(8, 0.05, idle=False)
    assert engine.throughput.tokens_per_s == pytest.approx(160)


def test_an_engine_that_slows_down_is_known_after_a_few_half_lives() -> None:
    engine = Engine()
    for _ in range(100):
        engine.run(100, 0.1)
    for _ in range(20):
        engine.run(10, 0.5)
    assert engine.throughput.tokens_per_s == pytest.approx(20, rel=0.1)


def test_one_that_answers_nothing_at_all_does_nothing_in_a_second() -> None:
    engine = Engine()
    engine.run(100, 1.0)
    engine.throughput.begin()
    engine.at += 20
    assert engine.throughput.tokens_per_s < 1
