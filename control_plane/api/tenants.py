"""Tenants and their keys: the operator's endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.responses import Response

from control_plane.api.changes import notifying
from control_plane.api.key_schema import KeyAnswer, KeyBody, KeyList, RotateBody
from control_plane.api.schema import QuotaBody, TenantAnswer, TenantBody, TenantChange, TenantList
from control_plane.tenants import Tenants
from stores.tenants import CLASSIFY, DEFAULT_SCOPES, Quota, Tenant
from web.operations import OPERATOR, Call, Operation
from web.paging import PARAMETERS, page_request
from web.responses import json_response

TENANTS, TENANT = "/v1/tenants", "/v1/tenants/{tenant_id}"
KEYS, KEY = TENANT + "/keys", TENANT + "/keys/{key_id}"


class TenantEndpoints:
    """`on_change` is called after each change of a tenant: what is known of it and of its keys is stale."""

    def __init__(self, tenants: Tenants, on_change: Callable[[str], None]) -> None:
        self._tenants = tenants
        self._on_change = on_change

    def operations(self) -> Sequence[Operation]:
        reads = [
            Operation(
                "GET",
                TENANTS,
                self.page,
                "List tenants",
                OPERATOR,
                answers=(TenantList,),
                parameters=PARAMETERS,
                id="listTenants",
            ),
            Operation("GET", TENANT, self.get, "Get a tenant", OPERATOR, answers=(TenantAnswer,), id="getTenant"),
            Operation(
                "GET",
                KEYS,
                self.keys,
                "List a tenant's keys",
                OPERATOR,
                answers=(KeyList,),
                parameters=PARAMETERS,
                id="listKeys",
            ),
        ]
        creation = Operation(
            "POST",
            TENANTS,
            self.create,
            "Create a tenant",
            OPERATOR,
            TenantBody,
            body_optional=True,
            answers=(TenantAnswer,),
            status=201,
            example={"name": "acme"},
            errors=(409,),
            id="createTenant",
        )
        changes = [
            Operation(
                "PATCH",
                TENANT,
                self.change,
                "Rename, suspend or resume a tenant, or say what special tokens in its texts are",
                OPERATOR,
                TenantChange,
                body_optional=True,
                answers=(TenantAnswer,),
                errors=(409,),
                id="updateTenant",
            ),
            Operation(
                "DELETE",
                TENANT,
                self.remove,
                "Delete a tenant and all of its data",
                OPERATOR,
                status=204,
                id="deleteTenant",
            ),
            Operation(
                "PUT",
                TENANT + "/quota",
                self.set_quota,
                "Set a tenant's quota",
                OPERATOR,
                QuotaBody,
                body_optional=True,
                answers=(TenantAnswer,),
                example={"pairs_per_minute": 60_000},
                id="setTenantQuota",
            ),
            Operation(
                "POST",
                KEYS,
                self.add_key,
                "Create a key; only this answer has its secret",
                OPERATOR,
                KeyBody,
                body_optional=True,
                answers=(KeyAnswer,),
                status=201,
                example={"name": "nightly import", "scopes": [CLASSIFY]},
                errors=(409,),
                id="createKey",
            ),
            Operation(
                "POST",
                KEY + "/rotate",
                self.rotate_key,
                "Replace a key; the old one keeps working for a while",
                OPERATOR,
                RotateBody,
                body_optional=True,
                answers=(KeyAnswer,),
                status=201,
                errors=(409,),
                id="rotateKey",
            ),
            Operation("DELETE", KEY, self.remove_key, "Revoke a key", OPERATOR, status=204, id="revokeKey"),
        ]
        return [*reads, creation, *(notifying(change, self._on_change) for change in changes)]

    async def create(self, call: Call) -> Response:
        return json_response(_tenant(await self._tenants.create(call.body.name)), 201)

    async def page(self, call: Call) -> Response:
        page = await self._tenants.page(page_request(call.request))
        tenants = [_tenant(tenant) for tenant in page.items]
        return json_response(TenantList(tenants, page.has_more, tenants[-1].id if tenants else None))

    async def get(self, call: Call) -> Response:
        return json_response(_tenant(await self._tenants.get(call.path("tenant_id"))))

    async def change(self, call: Call) -> Response:
        body: TenantChange = call.body
        tenant = await self._tenants.change(
            call.path("tenant_id"), name=body.name, status=body.status, special_tokens=body.special_tokens
        )
        return json_response(_tenant(tenant))

    async def remove(self, call: Call) -> Response:
        await self._tenants.remove(call.path("tenant_id"))
        return Response(status_code=204)

    async def set_quota(self, call: Call) -> Response:
        body: QuotaBody = call.body
        quota = Quota(
            body.requests_per_minute, body.pairs_per_minute, body.pairs_in_flight, body.tokens_per_minute
        )
        return json_response(_tenant(await self._tenants.set_quota(call.path("tenant_id"), quota)))

    async def keys(self, call: Call) -> Response:
        page = await self._tenants.keys(call.path("tenant_id"), page_request(call.request))
        return json_response(KeyList.of(page))

    async def add_key(self, call: Call) -> Response:
        body: KeyBody = call.body
        scopes = DEFAULT_SCOPES if body.scopes is None else body.scopes
        key, new = await self._tenants.add_key(call.path("tenant_id"), scopes, body.expires_at, body.name)
        return json_response(KeyAnswer.of(key, new.key), 201)

    async def rotate_key(self, call: Call) -> Response:
        overlap_s: float = call.body.overlap_s
        key, new = await self._tenants.rotate_key(call.path("tenant_id"), call.path("key_id"), overlap_s)
        return json_response(KeyAnswer.of(key, new.key), 201)

    async def remove_key(self, call: Call) -> Response:
        await self._tenants.remove_key(call.path("tenant_id"), call.path("key_id"))
        return Response(status_code=204)


def _tenant(tenant: Tenant) -> TenantAnswer:
    quota = tenant.quota
    return TenantAnswer(
        tenant.id,
        tenant.name,
        tenant.status,
        tenant.created_at,
        quota.requests_per_minute,
        quota.pairs_per_minute,
        quota.pairs_in_flight,
        quota.tokens_per_minute,
        tenant.special_tokens,
    )
