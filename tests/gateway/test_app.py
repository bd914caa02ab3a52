"""What runs beside the requests for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway import app


async def test_what_keeps_the_gateway_well_begins_again_when_it_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "AGAIN_S", 0.0)
    begun = asyncio.Queue[int]()

    async def keep() -> None:
        begun.put_nowait(1)
        raise RuntimeError("nobody thought of this")

    with caplog.at_level(logging.ERROR):
        running = asyncio.create_task(app._again_and_again(keep))
        async with asyncio.timeout(5):
            for _ in range(3):
                await begun.get()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert "nobody thought of this" in caplog.text
