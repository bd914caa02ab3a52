"""Cached pairs: their keys, and their packed values."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stores.special_tokens import MODEL, SpecialTokens

VALUE = np.dtype([("logits", "<f4", 3), ("tokens", "<i4", 3), ("unknown", "<f4", 2)])
"""32 bytes a pair: its logits; its tokens, tokens truncated from the text, tokens truncated from the hypothesis;
the shares of unknown tokens in the text and in the label.

Logits and not scores, which depend on the other labels; and what the model did not see, which a cached answer
tells too.
"""
DIGEST_BYTES = 16
"""Of SHA-256: two of 2^64 texts of one tenant would share a digest."""
MAX_DIGESTS = 4_096
"""Remembered, of labels, and of what precedes the text."""
MAX_LABEL_LISTS = 64
"""Whose digests are remembered together, such as those of a label set: at most a megabyte."""
_VALUE = struct.Struct("<3f3i2f")
PairLogitValues = tuple[float, float, float]
PairTokens = tuple[int, int, int]
UnknownShares = tuple[float, float]


class PairCache(Protocol):
    """Packed values of a tenant's pairs by key; None where there is none."""

    async def get(self, tenant_id: str, keys: Sequence[bytes]) -> list[bytes | None]: ...

    async def put(self, tenant_id: str, values: Mapping[bytes, bytes]) -> None: ...


def pair_keys(
    tenant_id: str,
    engine_id: str,
    template: str,
    max_tokens: int | None,
    text: str,
    labels: Sequence[str],
    *,
    special_tokens: SpecialTokens = MODEL,
) -> list[bytes]:
    """Two digests: of the tenant and all that decides the logits of a text's pairs, and of the label."""
    of_text = _digest_before_text(tenant_id, engine_id, template, max_tokens, special_tokens).copy()
    of_text.update(_encoded(text))
    text_digest = of_text.digest()[:DIGEST_BYTES]
    return [text_digest + label_digest for label_digest in _label_digests(tuple(labels))]


def pack(logits: NDArray[np.float32], tokens: NDArray[np.int32], unknown: NDArray[np.float32]) -> list[bytes]:
    """Values of n pairs, from `[n, 3]` float32 logits, `[n, 3]` int32 tokens and `[n, 2]` float32 shares."""
    values = np.empty(len(logits), dtype=VALUE)
    values["logits"], values["tokens"], values["unknown"] = logits, tokens, unknown
    packed = values.tobytes()
    return [packed[start : start + VALUE.itemsize] for start in range(0, len(packed), VALUE.itemsize)]


def unpack(values: Sequence[bytes]) -> tuple[list[PairLogitValues], list[PairTokens], list[UnknownShares]]:
    """Logits, tokens and shares of unknown tokens of each pair."""
    pairs = [_VALUE.unpack(value) for value in values]
    return [pair[:3] for pair in pairs], [pair[3:6] for pair in pairs], [pair[6:] for pair in pairs]


@lru_cache(MAX_DIGESTS)
def _digest_before_text(
    tenant_id: str, engine_id: str, template: str, max_tokens: int | None, special_tokens: SpecialTokens
) -> hashlib._Hash:
    """Every field is preceded by its length, so that no two lists of fields have one encoding."""
    # With the limit, so that keys in Redis of special tokens that are the model's stay what they were.
    tokens = str(max_tokens or 0) + ("" if special_tokens == MODEL else special_tokens)
    fields = map(_encoded, (tenant_id, engine_id, template, tokens))
    return hashlib.sha256(b"".join(len(field).to_bytes(8, "little") + field for field in fields))


@lru_cache(MAX_LABEL_LISTS)
def _label_digests(labels: tuple[str, ...]) -> list[bytes]:
    return [_label_digest(label) for label in labels]


@lru_cache(MAX_DIGESTS)
def _label_digest(label: str) -> bytes:
    return hashlib.sha256(_encoded(label)).digest()[:DIGEST_BYTES]


def _encoded(field: str) -> bytes:
    return field.encode("utf-8", "surrogatepass")
