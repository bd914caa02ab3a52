"""Waits for all parts of a request at once, until the first error or until its caller has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from stores.errors import ClientDisconnected, ServiceError

_Result = TypeVar("_Result")


async def gather(
    fills: Sequence[Coroutine[Any, Any, _Result]], disconnected: Callable[[], Awaitable[None]] | None
) -> list[_Result]:
    """All at once; the first failure ends the others, and so does a caller that disconnects."""
    try:
        async with asyncio.TaskGroup() as group:
            filling = [group.create_task(fill) for fill in fills]
            if disconnected is not None and filling:
                watching = group.create_task(_raise_when(disconnected))
                await asyncio.wait(filling)
                watching.cancel()
    except ExceptionGroup as errors:
        refusals = errors.subgroup(ServiceError)
        if refusals is None:
            raise
        raise _first(refusals) from None
    return [task.result() for task in filling]


async def _raise_when(disconnected: Callable[[], Awaitable[None]]) -> None:
    await disconnected()
    raise ClientDisconnected


def _first(errors: ExceptionGroup[ServiceError]) -> ServiceError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
