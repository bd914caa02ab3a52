"""Waits until a process that was started is ready."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import httpx

from wanneng.errors import StartError
from wanneng.local_server import is_served_by
from wanneng.serve.child import Child

POLL_S = 0.1

Probe = Callable[[], Awaitable[bool]]


async def wait_until(ready: Probe, child: Child, timeout_s: float) -> None:
    """`StartError` when `child` ends before it is ready, or is not within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await ready():
                if child.returncode is not None:
                    raise StartError(f"{child.end} before it was ready; {child.last_words()}")
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise StartError(
            f"{child.name} was not ready within {timeout_s:.0f} s; allow longer with --start-timeout-s; "
            f"{child.last_words()}"
        ) from None


async def wait_for_success(child: Child, timeout_s: float) -> None:
    """`StartError` when `child` fails, or has not ended within `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            code = await child.wait()
    except TimeoutError:
        raise StartError(
            f"{child.name} took longer than {timeout_s:.0f} s; allow longer with --start-timeout-s; "
            f"{child.last_words()}"
        ) from None
    if code:
        raise StartError(f"{child.end}; {child.last_words()}")


def answers_ok(http: httpx.AsyncClient, url: str) -> Probe:
    """True when `GET url` gives 200, and no other user of this machine was faster to take the port."""

    async def probe() -> bool:
        if not is_served_by(url, os.geteuid()):
            return False
        try:
            return (await http.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    return probe
