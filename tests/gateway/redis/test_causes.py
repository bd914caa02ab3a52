"""Each way in which a real Redis cannot be used, by the sentence in the log."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from gateway.redis.connection import RedisConnection
from tests.e2e.server import free_ports
from tests.redis_server import RedisServer
from web.settings import SettingsError


async def write(redis: Redis) -> object:
    return await redis.set("key", b"secret" * 1_000)


async def said(
    url: str, caplog: pytest.LogCaptureFixture, command: Callable[[Redis], Awaitable[object]] = write
) -> str:
    """What is logged of a call that fails; the second one says nothing new."""
    caplog.clear()
    connection = RedisConnection(url, timeout_s=0.5)
    for _ in range(2):
        assert await connection.call(command, probe=True) is None
    await connection.close()
    (message,) = [record.getMessage() for record in caplog.records if record.name == "gateway.redis.connection"]
    assert "secret" not in message
    assert "127.0.0.1" not in message
    assert message.endswith("; going on without it")
    return message


async def as_admin(server: RedisServer, *command: str) -> None:
    redis = Redis.from_url(server.url)
    await redis.execute_command(*command)
    await redis.aclose()


async def test_nobody_listens_or_the_name_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    assert "does not answer: connection refused" in await said(f"redis://:secret@127.0.0.1:{port}", caplog)
    unknown = await said("redis://redis.invalid:6379", caplog)
    assert "does not answer: its host name cannot be resolved" in unknown or "no answer in time" in unknown


async def test_a_server_that_hangs(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    redis_server.signal(signal.SIGSTOP)
    try:
        assert "Redis does not answer: no answer in time" in await said(redis_server.url, caplog)
    finally:
        redis_server.signal(signal.SIGCONT)


async def test_a_wrong_password_or_none(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    await as_admin(redis_server, "CONFIG", "SET", "requirepass", "right")
    for login in ("", ":secret@"):
        assert "Redis refuses the password" in await said(redis_server.url.replace("//", f"//{login}"), caplog)


async def test_a_user_without_rights(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    await as_admin(redis_server, "ACL", "SETUSER", "reader", "on", ">right", "~*", "+get")
    assert "denies the user a command" in await said(redis_server.url.replace("//", "//reader:right@"), caplog)


async def test_a_replica_and_a_full_server(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    await as_admin(redis_server, "CONFIG", "SET", "maxmemory", "1")
    assert "Redis has reached maxmemory" in await said(redis_server.url, caplog)
    await as_admin(redis_server, "CONFIG", "SET", "maxmemory", "0")

    async def in_a_pipeline(redis: Redis) -> object:
        pipeline = redis.pipeline(transaction=False)
        pipeline.set("key", b"secret")
        return await pipeline.execute()

    await as_admin(redis_server, "REPLICAOF", "127.0.0.1", "1")
    for command in (write, in_a_pipeline):
        assert "Redis is read-only" in await said(redis_server.url, caplog, command)


async def test_tls_where_there_is_none(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    message = await said(redis_server.url.replace("redis:", "rediss:"), caplog)
    assert "Redis does not answer: " in message


async def test_something_else_listens_there(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        message = await said(f"redis://127.0.0.1:{port}", caplog)
    assert "is no Redis" in message or "another protocol" in message


async def test_each_new_cause_is_said_and_so_is_its_end(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    connection = RedisConnection(redis_server.url, timeout_s=0.5)
    await as_admin(redis_server, "REPLICAOF", "127.0.0.1", "1")
    await connection.call(write)
    redis_server.signal(signal.SIGSTOP)
    await connection.call(write, probe=True)
    redis_server.signal(signal.SIGCONT)
    await asyncio.sleep(0.1)
    await as_admin(redis_server, "REPLICAOF", "NO", "ONE")
    assert await connection.call(write, probe=True)
    await connection.close()
    messages = [record.getMessage() for record in caplog.records if record.name == "gateway.redis.connection"]
    assert [message.partition(":")[0].partition(",")[0] for message in messages] == [
        "Redis is read-only",
        "Redis does not answer",
        "Redis answers again",
    ]


@pytest.mark.parametrize(
    "url", ["redis://:secret/more@host/0", "redis://user:secret@host:99999/0", "redis://[::1", "http://secret"]
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="WANNENG_REDIS_URL is not redis://") as refusal:
        RedisConnection(url, 1.0)
    assert "secret" not in str(refusal.value)
