from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from datetime import UTC, datetime, timedelta

from web.access_log import FLUSH_S, AccessLog

FIELDS = b'{"request_id":"%d","status":200}'


async def test_lines_come_in_order_and_many_in_one_write() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append)
    for number in range(3):
        log.add(FIELDS % number, failed=number == 2)
    assert writes == []
    await asyncio.sleep(2 * FLUSH_S)
    (written,) = writes
    entries = [json.loads(line) for line in written.splitlines()]
    assert [entry["request_id"] for entry in entries] == ["0", "1", "2"]
    assert [entry["level"] for entry in entries] == ["info", "info", "error"]
    for entry in entries:
        assert list(entry)[:5] == ["time", "level", "logger", "message", "host"]
        assert entry["host"] == socket.gethostname()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
        assert abs(datetime.fromisoformat(entry["time"]) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_flush_at_the_end_loses_nothing() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append)
    log.add(FIELDS % 1)
    log.flush()
    await asyncio.sleep(2 * FLUSH_S)
    assert len(writes) == 1


async def test_people_get_text() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append, text=True)
    log.add(FIELDS % 1)
    log.flush()
    (line,) = writes[0].decode().splitlines()
    assert line.endswith(' INFO     access: request request_id="1" status=200')


async def test_a_full_disk_fails_no_request() -> None:
    """`/dev/full` in place of standard output."""
    kept = os.dup(1)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    try:
        log = AccessLog()
        log.add(FIELDS % 1)
        log.flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(full)
