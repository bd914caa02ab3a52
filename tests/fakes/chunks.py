"""Bytes as they arrive from somewhere: in chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def chunks_of(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
