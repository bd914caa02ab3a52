"""Background work, which runs beside the requests for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging

import pytest

from web.background import run_forever, running


async def test_background_work_that_ends_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("web.background.RESTART_S", 0.0)
    begun = asyncio.Queue[int]()

    async def work() -> None:
        begun.put_nowait(1)
        raise RuntimeError("nobody thought of this")

    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(run_forever(work))
        async with asyncio.timeout(5):
            for _ in range(3):
                await begun.get()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert "nobody thought of this" in caplog.text


async def test_work_beside_a_block_is_cancelled_at_its_end() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(5), running(work()):
        await begun.wait()
    assert cancelled.is_set()
