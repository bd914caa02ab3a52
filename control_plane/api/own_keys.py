"""A tenant's own keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.responses import Response

from control_plane.api.changes import notifying
from control_plane.api.key_schema import KeyAnswer, KeyBody, KeyList, RotateBody
from control_plane.own_keys import OwnKeys
from stores.tenants import CLASSIFY, READ_KEYS, WRITE_KEYS
from web.operations import Call, Operation
from web.paging import PARAMETERS, page_request
from web.responses import json_response

KEYS, KEY = "/v1/keys", "/v1/keys/{key_id}"


class OwnKeyEndpoints:
    """`on_change` is called after each write: what is known of the tenant's keys is stale."""

    def __init__(self, keys: OwnKeys, on_change: Callable[[str], None]) -> None:
        self._keys = keys
        self._on_change = on_change

    def operations(self) -> Sequence[Operation]:
        listing = Operation(
            "GET",
            KEYS,
            self.page,
            "List the tenant's own keys",
            READ_KEYS,
            answers=(KeyList,),
            parameters=PARAMETERS,
            id="listOwnKeys",
        )
        writes = [
            Operation(
                "POST",
                KEYS,
                self.add,
                "Create a key that may do no more than the caller's; only this answer has its secret",
                WRITE_KEYS,
                KeyBody,
                body_optional=True,
                answers=(KeyAnswer,),
                status=201,
                example={"name": "nightly import", "scopes": [CLASSIFY]},
                errors=(409,),
                id="createOwnKey",
            ),
            Operation(
                "POST",
                f"{KEY}/rotate",
                self.rotate,
                "Replace a key; the old one keeps working for a while",
                WRITE_KEYS,
                RotateBody,
                body_optional=True,
                answers=(KeyAnswer,),
                status=201,
                errors=(409,),
                id="rotateOwnKey",
            ),
            Operation("DELETE", KEY, self.remove, "Revoke a key", WRITE_KEYS, status=204, id="revokeOwnKey"),
        ]
        return [listing, *(notifying(write, self._on_change) for write in writes)]

    async def page(self, call: Call) -> Response:
        return json_response(KeyList.of(await self._keys.page(call.tenant_id, page_request(call.request))))

    async def add(self, call: Call) -> Response:
        body: KeyBody = call.body
        key, new = await self._keys.add(call.caller, body.name, body.scopes, body.expires_at)
        return json_response(KeyAnswer.of(key, new.key), 201)

    async def rotate(self, call: Call) -> Response:
        overlap_s: float = call.body.overlap_s
        key, new = await self._keys.rotate(call.caller, call.path("key_id"), overlap_s)
        return json_response(KeyAnswer.of(key, new.key), 201)

    async def remove(self, call: Call) -> Response:
        await self._keys.remove(call.tenant_id, call.path("key_id"))
        return Response(status_code=204)
