"""Cached pairs that gateways share; Redis can neither read which they are nor make one up."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from redis.asyncio import Redis

from gateway.cache.pair_cache import VALUE, PairCache
from gateway.redis.connection import RedisConnection

PREFIX = b"wanneng:pair:"
MAC_BYTES = 16
_LOGITS = struct.Struct("<3f")


class RedisPairCache:
    """A `PairCache`, signed with keys that are derived from `secret`; what none of its holders wrote is missing.

    A pair's name in Redis is an HMAC of its key: who reads Redis cannot find out whether a text was asked.
    A value ends with an HMAC over the key and itself: who writes to Redis cannot change an answer.
    """

    def __init__(self, redis: RedisConnection, ttl_s: float, secret: str) -> None:
        self._redis = redis
        self.hits = self.misses = 0
        """Since the start; what Redis did not answer is missing."""
        self._ttl_ms = max(1, int(ttl_s * 1_000))
        self._name_key, self._value_key = (
            hmac.digest(secret.encode(), purpose, "sha256")
            for purpose in (b"wanneng: names of cached pairs", b"wanneng: values of cached pairs")
        )

    async def get(self, tenant_id: str, keys: Sequence[bytes]) -> list[bytes | None]:
        names = [self.name(key) for key in keys]
        values: list[Any] | None = await self._redis.call(lambda redis: redis.mget(names))
        if values is None:
            self.misses += len(keys)
            return [None] * len(keys)
        known = [self._verified(key, value) for key, value in zip(keys, values, strict=True)]
        misses = known.count(None)
        self.misses += misses
        self.hits += len(known) - misses
        return known

    async def put(self, tenant_id: str, values: Mapping[bytes, bytes]) -> None:
        async def command(redis: Redis) -> bool:
            pipeline = redis.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(self.name(key), value + self._mac(key, value), px=self._ttl_ms)
            await pipeline.execute()
            return True

        await self._redis.call(command)

    def name(self, key: bytes) -> bytes:
        """Of a pair in Redis."""
        return PREFIX + hmac.digest(self._name_key, key, "sha256")

    def _mac(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(self._value_key, key + value, "sha256")[:MAC_BYTES]

    def _verified(self, key: bytes, stored: bytes | None) -> bytes | None:
        if stored is None or len(stored) != VALUE.itemsize + MAC_BYTES:
            return None
        value, mac = stored[:-MAC_BYTES], stored[-MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(key, value)):
            return None
        return value if all(map(isfinite, _LOGITS.unpack_from(value))) else None


class TieredPairCache:
    """The cache of this process, then the shared one."""

    def __init__(self, local: PairCache, shared: PairCache) -> None:
        self._local = local
        self._shared = shared

    async def get(self, tenant_id: str, keys: Sequence[bytes]) -> list[bytes | None]:
        values = await self._local.get(tenant_id, keys)
        missing = [index for index, value in enumerate(values) if value is None]
        if not missing:
            return values
        shared = await self._shared.get(tenant_id, [keys[index] for index in missing])
        known = {}
        for index, value in zip(missing, shared, strict=True):
            values[index] = value
            if value is not None:
                known[keys[index]] = value
        await self._local.put(tenant_id, known)
        return values

    async def put(self, tenant_id: str, values: Mapping[bytes, bytes]) -> None:
        await self._local.put(tenant_id, values)
        await self._shared.put(tenant_id, values)
