"""Waits for all parts of a request at once, until the first error, the deadline, or its caller's disconnection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from gateway.errors import DeadlineExceeded
from stores.errors import ClientDisconnected

WATCH_AFTER_S = 0.02
"""Most requests have ended by then, and watching costs more than a disconnected caller saves."""
LATE = "no answer in time; send less at a time or try again"
PAST = 0.0
"""The deadline of a request whose caller has left."""

_Result = TypeVar("_Result")


def check_deadline(deadline: float) -> None:
    """`DeadlineExceeded` if it has passed, so that no work begins for which nobody waits."""
    if asyncio.get_running_loop().time() >= deadline:
        raise DeadlineExceeded(LATE)


async def gather(fills: Sequence[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """All at once; the first failure ends the others."""
    if len(fills) == 1:
        return [await fills[0]]
    tasks = [asyncio.create_task(fill) for fill in fills]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            # Once: a second time would interrupt what a task does at its end.
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


@asynccontextmanager
async def until(deadline: float, disconnected: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[None]:
    """End the block with `DeadlineExceeded`, or with `ClientDisconnected` once `disconnected` returns.

    `deadline`: on the event loop's clock.
    """
    watching: list[asyncio.Task[None]] = []

    async def watch(disconnected: Callable[[], Awaitable[None]]) -> None:
        await disconnected()
        if not timeout.expired():
            timeout.reschedule(PAST)

    def start(disconnected: Callable[[], Awaitable[None]]) -> None:
        watching.append(asyncio.create_task(watch(disconnected)))

    timer = disconnected and asyncio.get_running_loop().call_later(WATCH_AFTER_S, start, disconnected)
    try:
        async with asyncio.timeout_at(deadline) as timeout:
            yield
    except TimeoutError:
        if timeout.when() == PAST:
            raise ClientDisconnected from None
        raise DeadlineExceeded(LATE) from None
    finally:
        if timer is not None:
            timer.cancel()
        for task in watching:
            task.cancel()
