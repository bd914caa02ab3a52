"""Ready after a real answer, not while no replica answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.errors import DeadlineExceeded, TritonUnavailable
from gateway.triton.discovery import Address, AddressList
from gateway.triton.load_balancer import LoadBalancer
from tests.fakes.backend import FakeBackend, inference_call


def before(backend: FakeBackend) -> LoadBalancer:
    return LoadBalancer(AddressList([Address("http://one")]), lambda url: backend)


async def probing(load_balancer: LoadBalancer, until: bool) -> None:
    task = asyncio.create_task(load_balancer.keep_healthy())
    try:
        async with asyncio.timeout(5):
            while load_balancer.ready is not until:
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_ready_only_after_a_real_answer() -> None:
    load_balancer = before(FakeBackend())
    assert not load_balancer.ready
    await probing(load_balancer, until=True)


async def test_a_lost_triton_is_not_ready_until_it_answers_again() -> None:
    backend = FakeBackend()
    load_balancer = before(backend)
    await load_balancer.logits(inference_call("x", ["y"]))
    backend.failure = TritonUnavailable("gone")
    with pytest.raises(TritonUnavailable):
        await load_balancer.logits(inference_call("x", ["y"]))
    assert not load_balancer.ready
    backend.failure = None
    await probing(load_balancer, until=True)


async def test_a_busy_triton_stays_ready() -> None:
    backend = FakeBackend()
    load_balancer = before(backend)
    await load_balancer.logits(inference_call("x", ["y"]))
    backend.failure = DeadlineExceeded("slow")
    with pytest.raises(DeadlineExceeded):
        await load_balancer.logits(inference_call("x", ["y"]))
    assert load_balancer.ready
