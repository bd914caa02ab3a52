from __future__ import annotations

import asyncio

import pytest

from gateway import engine_watch
from gateway.engine_watch import CERTAIN_S, EngineWatch
from gateway.errors import TritonUnavailable
from gateway.triton import Engine
from tests.fakes.classifier import FakeClassifier


class Seconds:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_an_engine_is_known_for_a_while_after_it_was_heard_of() -> None:
    seconds = Seconds()
    watch = EngineWatch(FakeClassifier(), seconds)
    assert watch.current() is None
    watch.heard(Engine("e", "n"))
    seconds.at += CERTAIN_S
    assert watch.current() == Engine("e", "n")
    seconds.at += 0.1
    assert watch.current() is None


async def test_the_engine_is_asked_for_when_nothing_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a Triton that does not answer is asked again."""
    monkeypatch.setattr(engine_watch, "CHECK_S", 0.01)
    seconds, classifier = Seconds(), FakeClassifier(failure=TritonUnavailable("gone"))
    watch = EngineWatch(classifier, seconds)
    task = asyncio.create_task(watch.keep())
    try:
        await asyncio.sleep(0.05)
        assert watch.current() is None
        classifier.failure = None
        async with asyncio.timeout(5):
            while watch.current() is None:
                await asyncio.sleep(0.01)
        assert watch.current() == Engine("engine-1", "fake")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
