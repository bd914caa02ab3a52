"""The tenant's paths: its label sets, with ETags so that two writers see each other."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.answers import json_answer, route
from gateway.api.bodies import read_body
from gateway.api.callers import caller_of
from gateway.api.shapes import LabelSetAnswer, LabelSetBody, LabelSetList, RollbackBody, SetLabelBody
from gateway.errors import InvalidRequest
from gateway.identity import Identities
from gateway.label_sets import Content, LabelSet, LabelSets, SetLabel
from gateway.schema import decode
from gateway.settings import Settings
from gateway.tenants import READ_LABEL_SETS, WRITE_LABEL_SETS

SETS, ONE = "/v1/label-sets", "/v1/label-sets/{name}"
ETAG = re.compile(r'"([1-9][0-9]{0,8})"')


class LabelSetEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, label_sets: LabelSets, identities: Identities, settings: Settings) -> None:
        self._label_sets = label_sets
        self._identities = identities
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            route("GET", SETS, self.all),
            route("GET", ONE, self.get),
            route("PUT", ONE, self.put),
            route("DELETE", ONE, self.remove),
            route("GET", ONE + "/versions", self.versions),
            route("POST", ONE + "/rollback", self.roll_back),
        ]

    async def all(self, request: Request) -> Response:
        tenant_id = (await caller_of(request, self._identities, READ_LABEL_SETS)).tenant_id
        return json_answer(LabelSetList([_answer(one) for one in await self._label_sets.all(tenant_id)]))

    async def get(self, request: Request) -> Response:
        tenant_id = (await caller_of(request, self._identities, READ_LABEL_SETS)).tenant_id
        return _tagged(await self._label_sets.get(tenant_id, request.path_params["name"]))

    async def versions(self, request: Request) -> Response:
        tenant_id = (await caller_of(request, self._identities, READ_LABEL_SETS)).tenant_id
        found = await self._label_sets.versions(tenant_id, request.path_params["name"])
        return json_answer(LabelSetList([_answer(one) for one in found]))

    async def put(self, request: Request) -> Response:
        tenant_id = (await caller_of(request, self._identities, WRITE_LABEL_SETS)).tenant_id
        body = decode(LabelSetBody, await read_body(request, self._settings))
        expected = _expected(request)
        made = await self._label_sets.put(tenant_id, request.path_params["name"], _content(body), expected)
        return _tagged(made, 200 if expected else 201)

    async def roll_back(self, request: Request) -> Response:
        tenant_id = (await caller_of(request, self._identities, WRITE_LABEL_SETS)).tenant_id
        body = decode(RollbackBody, await read_body(request, self._settings))
        name = request.path_params["name"]
        return _tagged(await self._label_sets.roll_back(tenant_id, name, body.version, _expected(request)))

    async def remove(self, request: Request) -> Response:
        tenant_id = (await caller_of(request, self._identities, WRITE_LABEL_SETS)).tenant_id
        await self._label_sets.remove(tenant_id, request.path_params["name"])
        return Response(status_code=204)


def _expected(request: Request) -> int | None:
    """The version that the writer has seen; None for one who thinks that there is none."""
    given = request.headers.get("If-Match")
    if given is None:
        return None
    found = ETAG.fullmatch(given.strip())
    if found is None:
        raise InvalidRequest('an ETag such as "3" is needed', field="If-Match")
    return int(found[1])


def _content(body: LabelSetBody) -> Content:
    labels = (
        SetLabel(one) if isinstance(one, str) else SetLabel(one.label, one.hypothesis) for one in body.labels
    )
    return Content(tuple(labels), body.hypothesis_template, body.multi_label, body.max_tokens, body.threshold)


def _answer(label_set: LabelSet) -> LabelSetAnswer:
    content = label_set.content
    return LabelSetAnswer(
        label_set.name,
        label_set.version,
        [SetLabelBody(one.label, one.hypothesis) for one in content.labels],
        content.hypothesis_template,
        content.multi_label,
        content.max_tokens,
        content.threshold,
        label_set.created_at,
    )


def _tagged(label_set: LabelSet, status: int = 200) -> Response:
    response = json_answer(_answer(label_set), status)
    response.headers["ETag"] = f'"{label_set.version}"'
    return response
