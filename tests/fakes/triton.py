"""Answers as Triton sends them: KServe v2 with binary tensors."""

from __future__ import annotations

import json
import struct

import httpx
import numpy as np
from numpy.typing import NDArray

from web.kserve import HEADER_LENGTH

LOGITS, TOKENS = np.ones((2, 3), dtype=np.float32), np.ones((2, 3), dtype=np.int32)
UNKNOWN = np.zeros((2, 2), dtype=np.float32)
"""Of two pairs."""


def response(outputs: list[tuple[str, str, list[int], bytes]]) -> tuple[int, bytes]:
    """Length of the JSON header and the whole body, of outputs by name, datatype, shape and bytes."""
    described = [
        {"name": n, "datatype": d, "shape": s, "parameters": {"binary_data_size": len(b)}}
        for n, d, s, b in outputs
    ]
    header = json.dumps({"model_name": "m", "outputs": described}).encode()
    return len(header), header + b"".join(b for *_, b in outputs)


def logits_response(
    logits: NDArray[np.float32] = LOGITS,
    tokens: NDArray[np.int32] = TOKENS,
    unknown: NDArray[np.float32] = UNKNOWN,
    refused: str = "",
    *,
    strings: int = 1,
) -> httpx.Response:
    """Of `zero_shot_logits`, by an engine whose id and name are `e`; `strings`: how many a tensor of them has."""
    name = strings * (struct.pack("<I", 1) + b"e")
    reasons = strings * (struct.pack("<I", len(refused.encode())) + refused.encode())
    length, body = response(
        [
            ("logits", "FP32", list(logits.shape), logits.tobytes()),
            ("tokens", "INT32", list(tokens.shape), tokens.tobytes()),
            ("engine_id", "BYTES", [strings], name),
            ("engine_name", "BYTES", [strings], name),
            ("unknown", "FP32", list(unknown.shape), unknown.tobytes()),
            ("refused", "BYTES", [strings], reasons),
        ]
    )
    return httpx.Response(200, content=body, headers={HEADER_LENGTH: str(length)})
