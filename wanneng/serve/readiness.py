"""Waits until the servers answer: Triton's models, then a real classification. Starts nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from wanneng.errors import StartError
from wanneng.serve.child import Child

POLL_S = 0.1


async def wait_until(probe: Callable[[], Awaitable[bool]], child: Child, what: str, timeout_s: float) -> None:
    """Poll until `probe` is true; `StartError` when `child` dies first or time is up."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await probe():
                if child.returncode is not None:
                    raise StartError(
                        f"{child.name} ended with {child.returncode} before {what}; its last lines "
                        f"({child.log}):\n{child.last_lines()}"
                    )
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise StartError(
            f"{child.name} took longer than {timeout_s:.0f} s until {what} (--start-timeout-s); its last "
            f"lines ({child.log}):\n{child.last_lines()}"
        ) from None


def answers_ok(client: httpx.AsyncClient, url: str) -> Callable[[], Awaitable[bool]]:
    """True when `GET url` gives 200."""

    async def probe() -> bool:
        try:
            return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    return probe
