"""KServe v2 at the gateway, JSON and binary, so that `tritonclient.http` works against it with a key header.

One model, `zero_shot`, with the inputs and outputs of the ensemble of that name at Triton. Knows tensors, not
scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.answering import Answering
from gateway.api.answers import json_answer, quota_headers, route
from gateway.api.bodies import read_body
from gateway.api.callers import caller_of
from gateway.api.wishes import wishes_of
from gateway.errors import InvalidRequest, NotFound
from gateway.identity import Identities
from gateway.kserve import HEADER_LENGTH, ProtocolError, Values, decode_infer, encode_answer
from gateway.readiness import Readiness
from gateway.schema import ClassifyAnswer, ClassifyBody
from gateway.settings import Settings
from gateway.tenants import CLASSIFY

MODEL, VERSION = "zero_shot", "1"
ONE, INFER = "/v2/models/{model}", "/v2/models/{model}/infer"
RANKED_LABELS, SCORES = "ranked_labels", "scores"
INPUTS = {
    "text": ("BYTES", [1]),
    "labels": ("BYTES", [-1]),
    "hypothesis_template": ("BYTES", [1]),
    "multi_label": ("BOOL", [1]),
    "max_tokens": ("INT32", [1]),
}
OUTPUTS = {RANKED_LABELS: ("BYTES", [-1]), SCORES: ("FP32", [-1])}


class KserveEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(
        self, answering: Answering, identities: Identities, readiness: Readiness, settings: Settings
    ) -> None:
        self._answering = answering
        self._identities = identities
        self._readiness = readiness
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            route("GET", "/v2", self.server),
            route("GET", "/v2/health/live", self.live),
            route("GET", "/v2/health/ready", self.ready),
            route("GET", ONE, self.model),
            route("GET", ONE + "/ready", self.model_ready),
            route("POST", INFER, self.infer),
        ]

    async def server(self, request: Request) -> Response:
        return json_answer({"name": "wanneng", "version": VERSION, "extensions": ["binary_tensor_data"]})

    async def live(self, request: Request) -> Response:
        return Response()

    async def ready(self, request: Request) -> Response:
        return Response(status_code=200 if self._readiness.ready else 503)

    async def model(self, request: Request) -> Response:
        _check_model(request)
        described = {
            "inputs": [{"name": n, "datatype": d, "shape": s} for n, (d, s) in INPUTS.items()],
            "outputs": [{"name": n, "datatype": d, "shape": s} for n, (d, s) in OUTPUTS.items()],
        }
        return json_answer({"name": MODEL, "versions": [VERSION], "platform": "ensemble"} | described)

    async def model_ready(self, request: Request) -> Response:
        _check_model(request)
        return await self.ready(request)

    async def infer(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        _check_model(request)
        body = await read_body(request, self._settings)
        try:
            asked = decode_infer(request.headers.get(HEADER_LENGTH), body)
        except ProtocolError as error:
            raise InvalidRequest(str(error), field="inputs") from None
        facts = request.scope["facts"]
        answer = await self._answering.answer(_question(asked.inputs), caller, facts, wishes_of(request))
        assert isinstance(answer, ClassifyAnswer)
        scores = np.array(answer.scores, dtype=np.float32)
        outputs: dict[str, Values] = {RANKED_LABELS: answer.labels, SCORES: scores}
        try:
            header_length, encoded = encode_answer(MODEL, VERSION, asked, outputs)
        except ProtocolError as error:
            raise InvalidRequest(str(error), field="outputs") from None
        headers = quota_headers(facts)
        if header_length is None:
            return Response(encoded, headers=headers, media_type="application/json")
        headers[HEADER_LENGTH] = str(header_length)
        return Response(encoded, headers=headers, media_type="application/octet-stream")


def _check_model(request: Request) -> None:
    if request.path_params["model"] != MODEL:
        raise NotFound(f"there is one model here, {MODEL}")


def _question(inputs: Mapping[str, list[Any]]) -> ClassifyBody:
    unknown = sorted(inputs.keys() - INPUTS.keys())
    if unknown:
        raise InvalidRequest(f"the model has no input {unknown[0][:100]!r}", field="inputs")
    if "text" not in inputs or "labels" not in inputs:
        raise InvalidRequest("the inputs text and labels are needed", field="inputs")
    for name, values in inputs.items():
        kind = {"BYTES": str, "BOOL": bool, "INT32": int}[INPUTS[name][0]]
        if (name != "labels" and len(values) != 1) or any(type(value) is not kind for value in values):
            raise InvalidRequest(f"{INPUTS[name][0]} of shape {INPUTS[name][1]} is needed", field=name)
    body = ClassifyBody(inputs["labels"], UNSET, inputs["text"][0])
    if "hypothesis_template" in inputs:
        body.hypothesis_template = inputs["hypothesis_template"][0]
    if "multi_label" in inputs:
        body.multi_label = inputs["multi_label"][0]
    if "max_tokens" in inputs:
        body.max_tokens = inputs["max_tokens"][0] or None
    return body
