"""Background work, which runs beside the requests for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging

import pytest

from web.background import run_forever


async def test_background_work_that_ends_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("web.background.RESTART_S", 0.0)
    begun = asyncio.Queue[int]()

    async def work() -> None:
        begun.put_nowait(1)
        raise RuntimeError("nobody thought of this")

    with caplog.at_level(logging.ERROR):
        running = asyncio.create_task(run_forever(work))
        async with asyncio.timeout(5):
            for _ in range(3):
                await begun.get()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    assert "nobody thought of this" in caplog.text
