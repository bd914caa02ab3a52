"""Decodes requests and encodes answers of KServe v2 with binary tensors, for the gateway's clients."""

from __future__ import annotations

import math
import struct
from codecs import BOM_UTF8
from collections.abc import Mapping
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
import numpy as np

from web.kserve import HEADER_LENGTH, Parameters, ProtocolError, Values, encode_tensor, unpack_strings

MAX_DIMENSIONS, MAX_VALUES, MAX_INPUTS = 8, 10_000, 16
"""Limits on the tensors of a request, checked first; far above what the model needs."""
MAX_CONTAINERS = 20_000
"""Lists and objects of a request's JSON; brackets in texts count as well. Building a million takes a second."""
MAX_REASON_CHARACTERS = 200
NUMBERS = {"INT32": "<i4", "FP32": "<f4", "BOOL": "?"}
_Shape = Annotated[
    list[Annotated[int, msgspec.Meta(ge=0, le=MAX_VALUES)]], msgspec.Meta(max_length=MAX_DIMENSIONS)
]


class _Input(msgspec.Struct):
    """Clients in languages without absent fields send null for each optional one, here as below."""

    name: str
    datatype: str
    shape: _Shape
    data: Any = None
    parameters: Parameters | None = None


class _RequestedOutputParameters(msgspec.Struct):
    binary_data: bool | None = None


class _RequestedOutput(msgspec.Struct):
    name: str
    parameters: _RequestedOutputParameters | None = None


class _InferParameters(msgspec.Struct):
    binary_data_output: bool | None = False
    truncate: bool | None = True


class _Infer(msgspec.Struct):
    inputs: Annotated[list[_Input], msgspec.Meta(max_length=MAX_INPUTS)]
    outputs: Annotated[list[_RequestedOutput], msgspec.Meta(max_length=MAX_INPUTS)] | None = None
    id: str | None = None
    parameters: _InferParameters | None = None


class InferRequest(msgspec.Struct, frozen=True):
    """A decoded inference request."""

    inputs: dict[str, list[Any]]
    """Strings, numbers or booleans by input, flattened."""
    outputs: dict[str, bool]
    """Requested outputs, and whether each is binary; empty means all."""
    binary: bool
    """Whether outputs that do not say are binary."""
    id: str
    truncate: bool | None
    """The parameter `truncate`; `False`: texts beyond the token limit are refused."""


_infer_decoder = msgspec.json.Decoder(_Infer)


def decode_infer(header_length: str | None, body: bytes) -> InferRequest:
    """Decode a request, such as one of `tritonclient.http`; `ProtocolError` if it is malformed.

    Data is in the JSON, or in binary after it if `header_length` gives the length of the JSON.
    """
    try:
        start = len(body) if header_length is None else int(header_length)
        if not 0 <= start <= len(body):
            raise ProtocolError(f"{HEADER_LENGTH} is {start}, but the body has {len(body)} bytes")
        header = body[:start]
        _check_counts(header)
        request = _infer_decoder.decode(header.removeprefix(BOM_UTF8))
        inputs: dict[str, list[Any]] = {}
        for tensor in request.inputs:
            count = math.prod(tensor.shape)
            size = None if tensor.parameters is None else tensor.parameters.binary_data_size
            if count > MAX_VALUES:
                raise ProtocolError(f"input {tensor.name[:100]!r} has more than {MAX_VALUES} values")
            if size is None:
                inputs[tensor.name] = _flat(tensor.data, count)
            else:
                if start + size > len(body):
                    raise ProtocolError(f"input {tensor.name[:100]!r} lacks its {size} bytes")
                inputs[tensor.name] = _from_binary(tensor.datatype, body[start : start + size], count)
                start += size
            if len(inputs[tensor.name]) != count:
                raise ProtocolError(f"input {tensor.name[:100]!r} has another size than its shape says")
    except (msgspec.MsgspecError, ValueError, RecursionError, struct.error) as error:
        raise ProtocolError(f"the request cannot be read: {str(error)[:MAX_REASON_CHARACTERS]}") from None
    parameters = request.parameters or _InferParameters()
    binary = bool(parameters.binary_data_output)
    outputs = {}
    for output in request.outputs or ():
        choice = None if output.parameters is None else output.parameters.binary_data
        outputs[output.name] = binary if choice is None else choice
    return InferRequest(inputs, outputs, binary, request.id or "", parameters.truncate)


def _check_counts(header: bytes) -> None:
    """`ProtocolError` for more than any request needs: counting is cheap, decoding is not."""
    if header.count(b"[") + header.count(b"{") > MAX_CONTAINERS:
        raise ProtocolError(f"the request has more than {MAX_CONTAINERS} lists and objects")
    if header.count(b",") > MAX_INPUTS * MAX_VALUES:
        raise ProtocolError(f"the request has more than {MAX_INPUTS * MAX_VALUES} values")


def encode_answer(
    model: str,
    version: str,
    request: InferRequest,
    outputs: Mapping[str, Values],
    parameters: Mapping[str, str | int | bool],
) -> tuple[int | None, bytes]:
    """The length of the JSON (None if nothing follows it) and the body; `ProtocolError` for an unknown output."""
    unknown = sorted(request.outputs.keys() - outputs.keys())
    if unknown:
        raise ProtocolError(f"the model has no output {unknown[0][:100]!r}")
    described: list[dict[str, Any]] = []
    blobs = []
    for name, values in outputs.items():
        if request.outputs and name not in request.outputs:
            continue
        description, blob = encode_tensor(name, values)
        if request.outputs.get(name, request.binary):
            blobs.append(blob)
            description["parameters"] = {"binary_data_size": len(blob)}
        else:
            description["data"] = values.tolist() if isinstance(values, np.ndarray) else list(values)
        described.append(description)
    answer = {"model_name": model, "model_version": version, "parameters": parameters, "outputs": described}
    header = msgspec.json.encode(answer | ({"id": request.id} if request.id else {}))
    return (len(header), b"".join([header, *blobs])) if blobs else (None, header)


def _flat(data: Any, max_values: int) -> list[Any]:
    """Values of a JSON tensor, which may be nested as its shape is; `ValueError` for more than `max_values`."""
    if not isinstance(data, list):
        raise ValueError("not a list")
    values: list[Any] = data
    for _ in range(MAX_DIMENSIONS):
        if len(values) > max_values:
            break
        if not any(isinstance(item, list) for item in values):
            return values
        values = list(
            islice(chain.from_iterable(i if isinstance(i, list) else (i,) for i in values), max_values + 1)
        )
    raise ValueError("more values than the shape says, or nested too deeply")


def _from_binary(datatype: str, blob: bytes, max_values: int) -> list[Any]:
    if datatype == "BYTES":
        return unpack_strings(blob, max_values)
    if datatype not in NUMBERS:
        raise ValueError(f"the datatypes in binary are BYTES, {', '.join(NUMBERS)}")
    kind = np.dtype(NUMBERS[datatype])
    if len(blob) > max_values * kind.itemsize:
        raise ValueError("more values than the shape says")
    values: list[Any] = np.frombuffer(blob, dtype=kind).tolist()
    return values
