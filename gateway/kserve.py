"""The KServe v2 wire with binary tensors: bytes in, bytes out. Knows no HTTP client and no model.

Format: a JSON header, then the tensors' bytes one after another
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
`tritonclient.http` has the same codec, but imports gevent, which has no place in an asyncio process.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

HEADER_LENGTH = "Inference-Header-Content-Length"

Values = Sequence[str] | NDArray[Any]
_DATATYPES = {"INT32": np.int32, "FP32": np.float32}
_NAMES = {np.dtype(kind): name for name, kind in _DATATYPES.items()}


class ProtocolError(Exception):
    """The answer is not what the protocol says."""


class _Parameters(msgspec.Struct):
    binary_data_size: int | None = None


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters


class _Answer(msgspec.Struct):
    outputs: list[_Output]


_answer_decoder = msgspec.json.Decoder(_Answer)


def encode_request(
    inputs: Mapping[str, Values], outputs: Sequence[str], *, timeout_s: float, priority: int = 0
) -> tuple[int, bytes]:
    """Length of the JSON header and the whole body; strings become BYTES, arrays INT32 or FP32.

    `timeout_s`: how long the request may wait in a queue of Triton's; `priority`: in that queue, 0 for its own.
    """
    described, blobs = [], []
    for name, values in inputs.items():
        if isinstance(values, np.ndarray):
            blob, datatype, shape = values.tobytes(), _NAMES[values.dtype], list(values.shape)
        else:
            blob, datatype, shape = _pack_strings(values), "BYTES", [len(values)]
        parameters = {"binary_data_size": len(blob)}
        described.append({"name": name, "datatype": datatype, "shape": shape, "parameters": parameters})
        blobs.append(blob)
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    parameters = {"timeout": int(timeout_s * 1e6)} | ({"priority": priority} if priority else {})
    header = msgspec.json.encode({"inputs": described, "outputs": wanted, "parameters": parameters})
    return len(header), b"".join([header, *blobs])


def decode_response(header_length: int, body: bytes) -> dict[str, Values]:
    """Outputs by name: BYTES as a list of strings, INT32 and FP32 as arrays; `ProtocolError` otherwise."""
    try:
        answer = _answer_decoder.decode(body[:header_length])
        outputs: dict[str, Values] = {}
        start = header_length
        for output in answer.outputs:
            size = output.parameters.binary_data_size
            if size is None or start + size > len(body):
                raise ProtocolError(f"output {output.name} lacks its {size} bytes")
            blob = body[start : start + size]
            start += size
            if output.datatype == "BYTES":
                outputs[output.name] = _unpack_strings(blob)
            else:
                kind = _DATATYPES[output.datatype]
                outputs[output.name] = np.frombuffer(blob, dtype=kind).reshape(output.shape)
    except (msgspec.MsgspecError, KeyError, ValueError, struct.error) as error:
        raise ProtocolError(f"{type(error).__name__}: {error}") from None
    return outputs


def _pack_strings(values: Sequence[str]) -> bytes:
    packed = bytearray()
    for value in values:
        encoded = value.encode()
        packed += struct.pack("<I", len(encoded)) + encoded
    return bytes(packed)


def _unpack_strings(blob: bytes) -> list[str]:
    values, start = [], 0
    while start < len(blob):
        (length,) = struct.unpack_from("<I", blob, start)
        start += 4
        values.append(blob[start : start + length].decode())
        start += length
    return values
