"""Pairs that were computed before: their keys, their values, and a cache in this process. Knows no request."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from cachetools import TTLCache
from numpy.typing import NDArray

VALUE = np.dtype([("logits", "<f4", 3), ("tokens", "<i4", 3)])
"""24 bytes a pair: its logits, its tokens, tokens cut from the text, tokens cut from the hypothesis.

Logits and not scores, which depend on the other labels; and what was cut, so that a cached answer says so too.
"""
_VALUE = struct.Struct("<3f3i")
Logits = tuple[float, float, float]
Tokens = tuple[int, int, int]
ENTRY_BYTES = 420
"""What an entry of the cache takes in this process, measured: key, value, the cache's own link and time."""


class PairCache(Protocol):
    """Values by key; what is not there, or is not 24 bytes, is None."""

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    async def put(self, values: Mapping[bytes, bytes]) -> None: ...


class MemoryPairCache:
    """In this process: at most `max_bytes`, each entry for `ttl_s` at most; the one longest unused goes first."""

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._entries: TTLCache[bytes, bytes] = TTLCache(max_bytes // ENTRY_BYTES, ttl_s)

    @property
    def entries(self) -> int:
        return len(self._entries)

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._entries.get(key) for key in keys]

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        if self._entries.maxsize:
            self._entries.update(values)


def pair_keys(
    tenant_id: str, engine_id: str, template: str, max_tokens: int | None, text: str, labels: Sequence[str]
) -> list[bytes]:
    """SHA-256 over all that decides a pair's logits, and over the tenant, who comes first.

    Every field has its length before it, so that no two lists of fields look alike.
    """
    fields = (tenant_id, engine_id, template, str(max_tokens or 0), text)
    common = hashlib.sha256(b"".join(map(_with_length, fields)))
    keys = []
    for label in labels:
        one = common.copy()
        one.update(_with_length(label))
        keys.append(one.digest())
    return keys


def pack(logits: NDArray[np.float32], tokens: NDArray[np.int32]) -> list[bytes]:
    """Values of pairs, from `[n, 3]` logits and `[n, 3]` tokens."""
    values = np.empty(len(logits), dtype=VALUE)
    values["logits"], values["tokens"] = logits, tokens
    packed = values.tobytes()
    return [packed[start : start + VALUE.itemsize] for start in range(0, len(packed), VALUE.itemsize)]


def unpack(values: Sequence[bytes]) -> tuple[list[Logits], list[Tokens]]:
    """Logits and tokens of each pair."""
    pairs = [_VALUE.unpack(value) for value in values]
    return [pair[:3] for pair in pairs], [pair[3:] for pair in pairs]


def _with_length(field: str) -> bytes:
    encoded = field.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded
