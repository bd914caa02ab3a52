"""Waits for all parts of a request at once, until the first error or until its caller has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from stores.errors import ClientDisconnected, ServiceError

WATCH_AFTER_S = 0.02
"""Most requests have ended by then, and watching costs more than a disconnected caller saves."""

_Result = TypeVar("_Result")


async def gather(
    fills: Sequence[Coroutine[Any, Any, _Result]], disconnected: Callable[[], Awaitable[None]] | None
) -> list[_Result]:
    """All at once; the first failure ends the others, and so does a caller that disconnects."""
    if disconnected is not None:
        async with _until(disconnected):
            return await gather(fills, None)
    if len(fills) == 1:
        return [await fills[0]]
    try:
        async with asyncio.TaskGroup() as group:
            filling = [group.create_task(fill) for fill in fills]
    except ExceptionGroup as errors:
        refusals = errors.subgroup(ServiceError)
        if refusals is None:
            raise
        raise _first(refusals) from None
    return [task.result() for task in filling]


@asynccontextmanager
async def _until(disconnected: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """End the block with `ClientDisconnected` once `disconnected` returns, as `asyncio.timeout` does."""
    task = asyncio.current_task()
    assert task is not None
    watching: asyncio.Task[None] | None = None
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        await disconnected()
        has_left = True
        task.cancel()

    def start() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch())

    timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, start)
    try:
        yield
    except asyncio.CancelledError:
        if has_left and task.uncancel() == 0:
            raise ClientDisconnected from None
        raise
    finally:
        timer.cancel()
        if watching is not None:
            watching.cancel()


def _first(errors: ExceptionGroup[ServiceError]) -> ServiceError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
