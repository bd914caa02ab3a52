"""KServe v2, JSON and binary, so that `tritonclient.http` works with the gateway, given an `Authorization` header.

There is one model, `zero_shot`, with the inputs and outputs of Triton's ensemble of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict
from starlette.responses import Response

from gateway.api.classifications import ERRORS, Classifications
from gateway.api.compat.answer_headers import answer_headers
from gateway.api.compat.kserve_codec import decode_infer, encode_answer
from gateway.classification.schema import ClassifyBody
from gateway.classification.work import Outcome
from gateway.triton.load_balancer import LoadBalancer
from stores.errors import InvalidRequest, NotFound
from stores.tenants import CLASSIFY
from web.bodies import in_thread
from web.error_shapes import TEXT
from web.kserve import HEADER_LENGTH, ProtocolError, Values
from web.operations import Call, Operation, with_errors
from web.responses import json_response

MODEL, VERSION = "zero_shot", "1"
MODEL_PATH = "/v2/models/{model}"
RANKED_LABELS, SCORES = "ranked_labels", "scores"
INPUTS = {
    "text": ("BYTES", [1]),
    "labels": ("BYTES", [-1]),
    "hypothesis_template": ("BYTES", [1]),
    "multi_label": ("BOOL", [1]),
    "max_tokens": ("INT32", [1]),
}
OUTPUTS = {RANKED_LABELS: ("BYTES", [-1]), SCORES: ("FP32", [-1])}
TENSOR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "enum": list(INPUTS)},
        "datatype": {"type": "string", "enum": ["BYTES", "BOOL", "INT32"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
    },
    "required": ["name", "datatype", "shape", "data"],
}
INFER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"inputs": {"type": "array", "items": TENSOR, "minItems": 2}},
    "required": ["inputs"],
    "examples": [
        {
            "inputs": [
                {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["要求退款"]},
                {"name": "labels", "datatype": "BYTES", "shape": [2], "data": ["投诉", "咨询"]},
            ]
        }
    ],
}
"""KServe v2 as JSON; binary tensors may follow it (kserve_codec.py)."""


class ServerMetadata(Struct, frozen=True):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Struct, frozen=True):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class OutputParameters(Struct, frozen=True):
    binary_data_size: int
    """Bytes."""


class OutputTensor(Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int]
    data: list[str | float] | UnsetType = UNSET
    """Absent if the data follows the JSON in binary."""
    parameters: OutputParameters | UnsetType = UNSET
    """Only if the data follows the JSON in binary."""


class InferParameters(Struct, frozen=True):
    """What the response headers of other APIs say; Triton's clients show parameters but no headers."""

    engine_name: str
    engine_id: str
    total_tokens: int
    """Tokens of all pairs, cached ones included."""
    truncated: bool
    """Whether the token limit cut the text or a label."""
    unknown: bool
    """Whether the model does not know all tokens of the text or of a label."""


class InferAnswer(Struct, frozen=True):
    """The answer as kserve_codec.py encodes it."""

    model_name: str
    model_version: str
    parameters: InferParameters
    """The engine, `total_tokens`, and whether anything was truncated or unknown."""
    outputs: list[OutputTensor]
    id: str | UnsetType = UNSET
    """The request's."""


class KserveEndpoints:
    def __init__(self, classifications: Classifications, load_balancer: LoadBalancer) -> None:
        self._classifications = classifications
        self._load_balancer = load_balancer

    def operations(self) -> Sequence[Operation]:
        operations = [
            Operation(
                "GET",
                "/v2",
                self.server,
                "KServe v2: the server",
                answers=(ServerMetadata,),
                id="getKserveServer",
            ),
            Operation(
                "GET",
                "/v2/health/live",
                self.live,
                "KServe v2: whether the process is alive",
                id="getKserveLiveness",
            ),
            Operation(
                "GET",
                "/v2/health/ready",
                self.ready,
                "KServe v2: whether it can answer",
                also_status=503,
                id="getKserveReadiness",
            ),
            *self._of_model(MODEL_PATH, ""),
            *self._of_model(MODEL_PATH + "/versions/{version}", "Version"),
        ]
        return with_errors(TEXT, operations)

    def _of_model(self, path: str, suffix: str) -> Sequence[Operation]:
        """`suffix` ends the operations' ids."""
        return [
            Operation(
                "GET",
                path,
                self.model,
                "KServe v2: the model `zero_shot`",
                answers=(ModelMetadata,),
                id=f"getKserveModel{suffix}",
            ),
            Operation(
                "GET",
                path + "/ready",
                self.model_ready,
                "KServe v2: whether it can answer",
                also_status=503,
                id=f"getKserveModel{suffix}Readiness",
            ),
            Operation(
                "POST",
                path + "/infer",
                self.infer,
                "KServe v2: classify one text, in JSON or binary",
                CLASSIFY,
                body_schema=("application/json", INFER_SCHEMA),
                answers=(InferAnswer,),
                errors=ERRORS,
                id=f"kserveInfer{suffix}",
            ),
        ]

    async def server(self, call: Call) -> Response:
        return json_response(ServerMetadata("wanneng", VERSION, ["binary_tensor_data"]))

    async def live(self, call: Call) -> Response:
        return Response()

    async def ready(self, call: Call) -> Response:
        return Response(status_code=200 if self._load_balancer.ready else 503)

    async def model(self, call: Call) -> Response:
        _check_model(call)
        inputs, outputs = (
            [TensorMetadata(name, datatype, shape) for name, (datatype, shape) in tensors.items()]
            for tensors in (INPUTS, OUTPUTS)
        )
        return json_response(ModelMetadata(MODEL, [VERSION], "ensemble", inputs, outputs))

    async def model_ready(self, call: Call) -> Response:
        _check_model(call)
        return await self.ready(call)

    async def infer(self, call: Call) -> Response:
        _check_model(call)
        try:
            decode = partial(decode_infer, call.request.headers.get(HEADER_LENGTH))
            request = await in_thread(decode, await call.read_body())
        except ProtocolError as error:
            raise InvalidRequest(str(error), field="inputs") from None
        outcome = await self._classifications.classify(
            call, _classify_body(request.inputs, truncate=request.truncate)
        )
        (result,) = outcome.results
        scores = np.array(result.scores, dtype=np.float32)
        outputs: dict[str, Values] = {RANKED_LABELS: result.labels, SCORES: scores}
        try:
            header_length, encoded = encode_answer(MODEL, VERSION, request, outputs, asdict(_parameters(outcome)))
        except ProtocolError as error:
            raise InvalidRequest(str(error), field="outputs") from None
        headers = answer_headers(outcome)
        if header_length is None:
            return Response(encoded, headers=headers, media_type="application/json")
        headers[HEADER_LENGTH] = str(header_length)
        return Response(encoded, headers=headers, media_type="application/octet-stream")


def _parameters(outcome: Outcome) -> InferParameters:
    (result,) = outcome.results
    engine = outcome.values.engine
    tokens = outcome.usage.total_tokens
    return InferParameters(engine.name, engine.id, tokens, result.truncated, result.has_unknown)


def _check_model(call: Call) -> None:
    if call.path("model") != MODEL:
        raise NotFound(f"no such model; the only model is {MODEL}")
    if call.request.path_params.get("version", VERSION) != VERSION:
        raise NotFound(f"no such version; the only version is {VERSION}")


def _classify_body(inputs: Mapping[str, list[Any]], *, truncate: bool | None) -> ClassifyBody:
    unknown = sorted(inputs.keys() - INPUTS.keys())
    if unknown:
        raise InvalidRequest(f"the model has no input {unknown[0][:100]!r}", field="inputs")
    if "text" not in inputs or "labels" not in inputs:
        raise InvalidRequest("the inputs text and labels are required", field="inputs")
    for name, values in inputs.items():
        datatype, shape = INPUTS[name]
        kind = {"BYTES": str, "BOOL": bool, "INT32": int}[datatype]
        if (name != "labels" and len(values) != 1) or any(type(value) is not kind for value in values):
            raise InvalidRequest(f"must be {datatype} of shape {shape}", field=name)
    fields = {name: values[0] for name, values in inputs.items() if name != "labels"}
    fields["max_tokens"] = fields.get("max_tokens") or None
    return ClassifyBody(inputs["labels"], truncate=truncate is not False, **fields)
