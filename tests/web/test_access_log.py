import asyncio

from web.access_log import FLUSH_S, AccessLog


async def test_lines_come_in_order_and_many_in_one_write() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append)
    for line in (b"1", b"2", b"3"):
        log.add(line)
    assert writes == []
    await asyncio.sleep(2 * FLUSH_S)
    assert writes == [b"1\n2\n3\n"]


async def test_a_flush_at_the_end_loses_nothing() -> None:
    writes: list[bytes] = []
    log = AccessLog(writes.append)
    log.add(b"last")
    log.flush()
    await asyncio.sleep(2 * FLUSH_S)
    assert writes == [b"last\n"]
