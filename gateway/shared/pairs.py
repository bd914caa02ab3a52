"""Pairs that any gateway has computed. A value that was not written by one of them is as good as none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from gateway.pair_cache import VALUE, PairCache
from gateway.shared.link import RedisLink

PREFIX = b"wanneng:pair:"
CHECK_BYTES = 8


class RedisPairCache:
    """A `PairCache`; each value carries a check over itself and its key."""

    def __init__(self, link: RedisLink, ttl_s: float) -> None:
        self._link = link
        self._ttl_ms = max(1, int(ttl_s * 1_000))

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        async def call(redis: Redis) -> list[Any]:
            found: list[Any] = await redis.mget([PREFIX + key for key in keys])
            return found

        found = await self._link.ask(call)
        if found is None:
            return [None] * len(keys)
        return [_checked(key, value) for key, value in zip(keys, found, strict=True)]

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        async def call(redis: Redis) -> bool:
            pipeline = redis.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(PREFIX + key, value + _check(key, value), px=self._ttl_ms)
            await pipeline.execute()
            return True

        await self._link.ask(call)


class TieredPairCache:
    """What this process knows first, then what any gateway knows."""

    def __init__(self, near: PairCache, far: PairCache) -> None:
        self._near = near
        self._far = far

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found = await self._near.get(keys)
        missing = [place for place, value in enumerate(found) if value is None]
        if not missing:
            return found
        far = await self._far.get([keys[place] for place in missing])
        for place, value in zip(missing, far, strict=True):
            found[place] = value
        await self._near.put({keys[p]: v for p, v in zip(missing, far, strict=True) if v is not None})
        return found

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        await self._near.put(values)
        await self._far.put(values)


def _check(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=CHECK_BYTES).digest()


def _checked(key: bytes, found: bytes | None) -> bytes | None:
    if found is None or len(found) != VALUE.itemsize + CHECK_BYTES:
        return None
    value, check = found[:-CHECK_BYTES], found[-CHECK_BYTES:]
    return value if check == _check(key, value) else None
