"""Background work of a process, such as refreshing what it knows, which an unforeseen error must not end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

RESTART_S = 1.0
log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


async def run_forever(work: Callable[[], Awaitable[None]]) -> None:
    """Start `work` again whenever it ends, until cancelled."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("%s ended and is started again", getattr(work, "__qualname__", work))
        await asyncio.sleep(RESTART_S)


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block; what has not ended with the block is cancelled."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def start_shared(work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
    """A task that several may await, or nobody: its exception counts as retrieved, so asyncio logs no warning."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    return task
