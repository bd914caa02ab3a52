import asyncio
import time
from contextlib import suppress

import pytest

from gateway.addresses import Address, FixedAddresses
from gateway.errors import DeadlineExceeded, TritonUnavailable
from gateway.readiness import Readiness
from gateway.replicas import Replicas
from tests.fakes.classifier import FakeClassifier


def one(classifier: FakeClassifier) -> Replicas:
    return Replicas(FixedAddresses([Address("http://one")]), lambda url: classifier, time.monotonic)


async def probing(readiness: Readiness, until: bool) -> None:
    task = asyncio.create_task(readiness.keep())
    try:
        async with asyncio.timeout(5):
            while readiness.ready is not until:
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_ready_only_after_a_real_answer() -> None:
    readiness = Readiness(one(FakeClassifier()))
    assert not readiness.ready
    await probing(readiness, until=True)


async def test_a_lost_triton_is_not_ready_until_it_answers_again() -> None:
    classifier = FakeClassifier()
    readiness = Readiness(one(classifier))
    await readiness.logits("x", ["y"], "{}", None, 1.0)
    classifier.failure = TritonUnavailable("gone")
    with pytest.raises(TritonUnavailable):
        await readiness.logits("x", ["y"], "{}", None, 1.0)
    assert not readiness.ready
    classifier.failure = None
    await probing(readiness, until=True)


async def test_a_busy_triton_stays_ready() -> None:
    classifier = FakeClassifier()
    readiness = Readiness(one(classifier))
    await readiness.logits("x", ["y"], "{}", None, 1.0)
    classifier.failure = DeadlineExceeded("slow")
    with pytest.raises(DeadlineExceeded):
        await readiness.logits("x", ["y"], "{}", None, 1.0)
    assert readiness.ready
