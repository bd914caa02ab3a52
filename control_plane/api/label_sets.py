"""A tenant's label sets, with ETags so that two writers cannot overwrite each other unseen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.schema import LabelSetAnswer, LabelSetBody, LabelSetList, RollbackBody, SetLabelBody
from control_plane.label_sets import LabelSets
from stores.errors import InvalidRequest
from stores.label_sets import VERSION, LabelSet, LabelSetContent, SetLabel, check_label_count
from stores.tenants import READ_LABEL_SETS, WRITE_LABEL_SETS
from web.openapi import header
from web.operations import Call, Operation
from web.paging import PARAMETERS, page_request
from web.responses import json_response

SETS, SET = "/v1/label-sets", "/v1/label-sets/{name}"
ETAG = re.compile(rf'(?:W/)?"({VERSION.pattern})(?:[-;]{{1,2}}(?:gzip|br|deflate|zstd))?"')
"""A proxy that compresses answers makes an ETag weak, or names the encoding in it."""
IF_MATCH = header("If-Match", "ETag of the version that the writer has read; without it, the set must not exist.")
ETAG_HEADER = {"ETag": {"description": "Of this version, for `If-Match`.", "schema": {"type": "string"}}}
EXAMPLE = {"labels": ["投诉", {"label": "咨询", "hypothesis": "用户在咨询问题"}, "建议"], "threshold": 0.3}


class LabelSetEndpoints:
    def __init__(self, label_sets: LabelSets) -> None:
        self._label_sets = label_sets

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                SETS,
                self.page,
                "List label sets",
                READ_LABEL_SETS,
                answers=(LabelSetList,),
                parameters=PARAMETERS,
                id="listLabelSets",
            ),
            Operation(
                "GET",
                SET,
                self.get,
                "Get the newest version of a label set, or that of `name@3`",
                READ_LABEL_SETS,
                answers=(LabelSetAnswer,),
                answer_headers=ETAG_HEADER,
                id="getLabelSet",
            ),
            Operation(
                "PUT",
                SET,
                self.put,
                "Create a version of a label set; 201 for a new set",
                WRITE_LABEL_SETS,
                LabelSetBody,
                answers=(LabelSetAnswer,),
                answer_headers=ETAG_HEADER,
                also_status=201,
                parameters=(IF_MATCH,),
                example=EXAMPLE,
                errors=(409, 412),
                id="putLabelSet",
            ),
            Operation(
                "DELETE", SET, self.remove, "Delete a label set", WRITE_LABEL_SETS, status=204, id="deleteLabelSet"
            ),
            Operation(
                "GET",
                SET + "/versions",
                self.versions,
                "List the versions of a label set",
                READ_LABEL_SETS,
                answers=(LabelSetList,),
                parameters=PARAMETERS,
                id="listLabelSetVersions",
            ),
            Operation(
                "POST",
                SET + "/rollback",
                self.roll_back,
                "Make an old version the newest",
                WRITE_LABEL_SETS,
                RollbackBody,
                answers=(LabelSetAnswer,),
                answer_headers=ETAG_HEADER,
                parameters=(IF_MATCH,),
                errors=(409, 412),
                id="rollBackLabelSet",
            ),
        ]

    async def page(self, call: Call) -> Response:
        page = await self._label_sets.page(call.tenant_id, page_request(call.request))
        last_id = page.items[-1].name if page.items else None
        return json_response(LabelSetList([_answer(item) for item in page.items], page.has_more, last_id))

    async def get(self, call: Call) -> Response:
        return _tagged(await self._label_sets.get(call.tenant_id, call.path("name")))

    async def versions(self, call: Call) -> Response:
        page = await self._label_sets.versions(call.tenant_id, call.path("name"), page_request(call.request))
        last_id = str(page.items[-1].version) if page.items else None
        return json_response(LabelSetList([_answer(item) for item in page.items], page.has_more, last_id))

    async def put(self, call: Call) -> Response:
        expected, content = _expected_version(call.request), _content(call.body, call.settings.max_labels)
        label_set, removed = await self._label_sets.put(
            call.tenant_id, call.path("name"), content, expected, call.body.evaluation
        )
        return _tagged(label_set, 200 if expected else 201, removed)

    async def roll_back(self, call: Call) -> Response:
        expected, version = _expected_version(call.request), call.body.version
        label_set, removed = await self._label_sets.roll_back(call.tenant_id, call.path("name"), version, expected)
        return _tagged(label_set, removed=removed)

    async def remove(self, call: Call) -> Response:
        await self._label_sets.remove(call.tenant_id, call.path("name"))
        return Response(status_code=204)


def _expected_version(request: Request) -> int | None:
    """The version that the writer has read; None for a writer who expects no set of this name."""
    etag = request.headers.get("If-Match")
    if etag is None:
        return None
    match = ETAG.fullmatch(etag.strip())
    if match is None:
        raise InvalidRequest('must be an ETag such as "3"', field="If-Match")
    return int(match[1])


def _content(body: LabelSetBody, max_labels: int) -> LabelSetContent:
    check_label_count(len(body.labels), max_labels)
    labels = (
        SetLabel(label) if isinstance(label, str) else SetLabel(label.label, label.hypothesis)
        for label in body.labels
    )
    return LabelSetContent(
        tuple(labels),
        body.hypothesis_template,
        body.multi_label,
        body.max_tokens,
        body.threshold,
        body.special_tokens,
        body.correction,
    )


def _answer(label_set: LabelSet, removed: Sequence[int] | UnsetType = UNSET) -> LabelSetAnswer:
    content = label_set.content
    return LabelSetAnswer(
        label_set.name,
        label_set.version,
        [SetLabelBody(label.label, label.hypothesis) for label in content.labels],
        content.hypothesis_template,
        content.multi_label,
        content.max_tokens,
        content.threshold,
        content.special_tokens,
        content.correction,
        label_set.evaluation,
        label_set.created_at,
        removed,
    )


def _tagged(label_set: LabelSet, status: int = 200, removed: Sequence[int] | UnsetType = UNSET) -> Response:
    return json_response(_answer(label_set, removed), status, {"ETag": f'"{label_set.version}"'})
