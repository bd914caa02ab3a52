"""Who asks: the tenant of a key or of a person who has signed in, and what it allows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from starlette.responses import Response

from control_plane.api.schema import Me
from control_plane.tenants import Tenants
from stores.errors import NotFound
from web.operations import ANY_SCOPE, Call, Operation
from web.responses import json_response


class MeEndpoint:
    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                "/v1/me",
                self.get,
                "Get the tenant of the key, and what the key allows",
                ANY_SCOPE,
                answers=(Me,),
                id="getMe",
            )
        ]

    async def get(self, call: Call) -> Response:
        caller, name = call.caller, call.tenant_id
        # `local` need not exist.
        with suppress(NotFound):
            name = (await self._tenants.get(caller.tenant_id)).name
        return json_response(
            Me(caller.tenant_id, name, caller.key_id or None, caller.subject or None, caller.scopes)
        )
