"""The KServe v2 wire with binary tensors: bytes in, bytes out. Knows no HTTP client and no model.

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
_DATATYPES = {"INT32": np.int32, "FP32": np.float32}
_NAMES = {np.dtype(kind): name for name, kind in _DATATYPES.items()}


class ProtocolError(Exception):
    """The answer is not what the protocol says."""


class _Parameters(msgspec.Struct):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters


class _Answer(msgspec.Struct):
    outputs: list[_Output]


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: Any = None
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


class _WantedParameters(msgspec.Struct):
    binary_data: bool | None = None


class _Wanted(msgspec.Struct):
    name: str
    parameters: _WantedParameters = msgspec.field(default_factory=_WantedParameters)


class _InferParameters(msgspec.Struct):
    binary_data_output: bool = False


class _Infer(msgspec.Struct):
    inputs: list[_Input]
    outputs: list[_Wanted] = []
    id: str = ""
    parameters: _InferParameters = msgspec.field(default_factory=_InferParameters)


class Infer(msgspec.Struct, frozen=True):
    """A request for an inference, read."""

    inputs: dict[str, list[Any]]
    """Strings, numbers or truth values by input, flat."""
    wanted: dict[str, bool]
    """Outputs by name, and whether in binary; empty: all."""
    binary: bool
    """For outputs that do not say."""
    id: str


_infer_decoder = msgspec.json.Decoder(_Infer)
_answer_decoder = msgspec.json.Decoder(_Answer)


def encode_request(
    inputs: Mapping[str, Values], outputs: Sequence[str], *, timeout_s: float, priority: int = 0
) -> tuple[int, bytes]:
    """Length of the JSON header and the whole body; strings become BYTES, arrays INT32 or FP32.

    `timeout_s`: how long the request may wait in a queue of Triton's; `priority`: in that queue, 0 for its own.
    """
    described, blobs = [], []
    for name, values in inputs.items():
        one, blob = _tensor(name, values)
        described.append(one | {"parameters": {"binary_data_size": len(blob)}})
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


def decode_infer(header_length: str | None, body: bytes) -> Infer:
    """A request as `tritonclient.http` or anyone else sends it; `ProtocolError` otherwise.

    Data stands in the JSON, or in binary behind it, where `header_length` says how long the JSON is.
    """
    try:
        start = len(body) if header_length is None else int(header_length)
        if not 0 <= start <= len(body):
            raise ProtocolError(f"{HEADER_LENGTH} is {start}, the body has {len(body)} bytes")
        asked = _infer_decoder.decode(body[:start])
        inputs: dict[str, list[Any]] = {}
        for one in asked.inputs:
            size = one.parameters.binary_data_size
            if size is None:
                inputs[one.name] = _flat(one.data)
            else:
                if start + size > len(body):
                    raise ProtocolError(f"input {one.name[:100]!r} lacks its {size} bytes")
                inputs[one.name] = _from_binary(one.datatype, body[start : start + size])
                start += size
            if len(inputs[one.name]) != math.prod(one.shape):
                raise ProtocolError(f"input {one.name[:100]!r} has another size than its shape says")
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError, struct.error) as error:
        raise ProtocolError(f"the request cannot be read: {type(error).__name__}") from None
    binary = asked.parameters.binary_data_output
    wanted = {}
    for output in asked.outputs:
        own = output.parameters.binary_data
        wanted[output.name] = binary if own is None else own
    return Infer(inputs, wanted, binary, asked.id)


def encode_answer(
    model: str, version: str, asked: Infer, outputs: Mapping[str, Values]
) -> tuple[int | None, bytes]:
    """Length of the JSON (None: it is all there is) and the body; `ProtocolError` for an unknown output."""
    unknown = sorted(asked.wanted.keys() - outputs.keys())
    if unknown:
        raise ProtocolError(f"the model has no output {unknown[0][:100]!r}")
    described: list[dict[str, Any]] = []
    blobs = []
    for name, values in outputs.items():
        if asked.wanted and name not in asked.wanted:
            continue
        one, blob = _tensor(name, values)
        if asked.wanted.get(name, asked.binary):
            blobs.append(blob)
            one["parameters"] = {"binary_data_size": len(blob)}
        else:
            one["data"] = values.tolist() if isinstance(values, np.ndarray) else list(values)
        described.append(one)
    answer = {"model_name": model, "model_version": version, "outputs": described}
    header = msgspec.json.encode(answer | ({"id": asked.id} if asked.id else {}))
    return (len(header), b"".join([header, *blobs])) if blobs else (None, header)


def _tensor(name: str, values: Values) -> tuple[dict[str, Any], bytes]:
    """What the JSON says of a tensor, and its bytes."""
    if isinstance(values, np.ndarray):
        return {"name": name, "datatype": _NAMES[values.dtype], "shape": list(values.shape)}, values.tobytes()
    return {"name": name, "datatype": "BYTES", "shape": [len(values)]}, _pack_strings(values)


def _flat(data: Any) -> list[Any]:
    """Values of a JSON tensor, which may be nested as its shape is."""
    if not isinstance(data, list):
        raise ValueError("no list")
    return [value for one in data for value in (_flat(one) if isinstance(one, list) else [one])]


def _from_binary(datatype: str, blob: bytes) -> list[Any]:
    if datatype == "BYTES":
        return list(_unpack_strings(blob))
    values: list[Any] = np.frombuffer(blob, dtype={"INT32": "<i4", "FP32": "<f4", "BOOL": "?"}[datatype]).tolist()
    return values


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
