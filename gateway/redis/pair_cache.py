"""Cached pairs that gateways share. A value that none of them wrote counts as missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from gateway.cache.pair_cache import VALUE, PairCache
from gateway.redis.connection import RedisConnection

PREFIX = b"wanneng:pair:"
CHECKSUM_BYTES = 8


class RedisPairCache:
    """A `PairCache`; each value carries a checksum over itself and its key."""

    def __init__(self, redis: RedisConnection, ttl_s: float) -> None:
        self._redis = redis
        self._ttl_ms = max(1, int(ttl_s * 1_000))

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        async def command(redis: Redis) -> list[Any]:
            values: list[Any] = await redis.mget([PREFIX + key for key in keys])
            return values

        values = await self._redis.call(command)
        if values is None:
            return [None] * len(keys)
        return [_verified(key, value) for key, value in zip(keys, values, strict=True)]

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        async def command(redis: Redis) -> bool:
            pipeline = redis.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(PREFIX + key, value + _checksum(key, value), px=self._ttl_ms)
            await pipeline.execute()
            return True

        await self._redis.call(command)


class TieredPairCache:
    """The cache of this process, then the shared one."""

    def __init__(self, local: PairCache, shared: PairCache) -> None:
        self._local = local
        self._shared = shared

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        values = await self._local.get(keys)
        missing = [index for index, value in enumerate(values) if value is None]
        if not missing:
            return values
        shared = await self._shared.get([keys[index] for index in missing])
        for index, value in zip(missing, shared, strict=True):
            values[index] = value
        await self._local.put(
            {keys[i]: value for i, value in zip(missing, shared, strict=True) if value is not None}
        )
        return values

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        await self._local.put(values)
        await self._shared.put(values)


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=CHECKSUM_BYTES).digest()


def _verified(key: bytes, stored: bytes | None) -> bytes | None:
    if stored is None or len(stored) != VALUE.itemsize + CHECKSUM_BYTES:
        return None
    value, checksum = stored[:-CHECKSUM_BYTES], stored[-CHECKSUM_BYTES:]
    return value if checksum == _checksum(key, value) else None
