"""The KServe v2 protocol with binary tensors, which the gateway speaks to Triton and to its own clients.

Format: a JSON header, then the tensors' bytes one after another
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md).
`tritonclient.http` has the same codec, but imports gevent, which has no place in an asyncio process.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

HEADER_LENGTH = "Inference-Header-Content-Length"

Values = Sequence[str] | NDArray[Any]
_DATATYPES = {"INT32": np.int32, "INT64": np.int64, "FP32": np.float32}
_NAMES = {np.dtype(kind): name for name, kind in _DATATYPES.items()}


class ProtocolError(Exception):
    """The bytes are not what the protocol says."""


class Parameters(msgspec.Struct):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters


class _Answer(msgspec.Struct):
    outputs: list[_Output]


_answer_decoder = msgspec.json.Decoder(_Answer)


def encode_request(
    inputs: Mapping[str, Values], outputs: Sequence[str] = (), request_id: str = ""
) -> tuple[int, bytes]:
    """Length of the JSON header and the whole body; strings become BYTES, arrays INT32 or FP32.

    `outputs`: those to answer; none: all that the model has.
    """
    described, blobs = [], []
    for name, values in inputs.items():
        description, blob = encode_tensor(name, values)
        described.append(description | {"parameters": {"binary_data_size": len(blob)}})
        blobs.append(blob)
    requested = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    answered = {"outputs": requested} if requested else {"parameters": {"binary_data_output": True}}
    named = {"id": request_id} if request_id else {}
    header = msgspec.json.encode({**named, "inputs": described, **answered})
    return len(header), b"".join([header, *blobs])


def decode_response(header_length: int, body: bytes) -> dict[str, Values]:
    """Outputs by name: BYTES as a list of strings, INT32, INT64 and FP32 as arrays; `ProtocolError` otherwise."""
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
                outputs[output.name] = unpack_strings(blob, math.prod(output.shape))
            else:
                kind = _DATATYPES[output.datatype]
                outputs[output.name] = np.frombuffer(blob, dtype=kind).reshape(output.shape)
    except (msgspec.MsgspecError, KeyError, ValueError, struct.error) as error:
        raise ProtocolError(f"{type(error).__name__}: {error}") from None
    return outputs


def encode_tensor(name: str, values: Values) -> tuple[dict[str, Any], bytes]:
    """What the JSON says of a tensor, and its bytes."""
    if isinstance(values, np.ndarray):
        return {"name": name, "datatype": _NAMES[values.dtype], "shape": list(values.shape)}, values.tobytes()
    return {"name": name, "datatype": "BYTES", "shape": [len(values)]}, _pack_strings(values)


def _pack_strings(values: Sequence[str]) -> bytes:
    packed = bytearray()
    for value in values:
        encoded = value.encode()
        packed += struct.pack("<I", len(encoded)) + encoded
    return bytes(packed)


def unpack_strings(blob: bytes, max_values: int) -> list[str]:
    values: list[str] = []
    start = 0
    while start < len(blob):
        if len(values) == max_values:
            raise ValueError("more values than the shape says")
        (length,) = struct.unpack_from("<I", blob, start)
        start += 4
        if start + length > len(blob):
            raise ValueError("a string is shorter than it says")
        values.append(blob[start : start + length].decode())
        start += length
    return values
