"""The operator's paths: tenants and their keys. Each wants the admin key before anything else."""

from __future__ import annotations

from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.answers import Endpoint, json_answer, route
from gateway.api.bodies import read_body
from gateway.api.shapes import (
    KeyAnswer,
    KeyBody,
    KeyList,
    QuotaBody,
    RotateBody,
    TenantAnswer,
    TenantBody,
    TenantChange,
    TenantList,
)
from gateway.identity import Identities
from gateway.quotas import Quota
from gateway.schema import decode
from gateway.settings import Settings
from gateway.tenants import SCOPES, Key, Tenant, Tenants

ONE, KEYS = "/v1/tenants/{tenant_id}", "/v1/tenants/{tenant_id}/keys"
_Body = TypeVar("_Body", bound=Struct)


class TenantEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, tenants: Tenants, identities: Identities, settings: Settings) -> None:
        self._tenants = tenants
        self._identities = identities
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            self._route("POST", "/v1/tenants", self.create),
            self._route("GET", "/v1/tenants", self.all),
            self._route("GET", ONE, self.get),
            self._route("PATCH", ONE, self.change),
            self._route("DELETE", ONE, self.remove),
            self._route("PUT", ONE + "/quota", self.set_quota),
            self._route("POST", KEYS, self.add_key),
            self._route("GET", KEYS, self.keys),
            self._route("DELETE", KEYS + "/{key_id}", self.remove_key),
            self._route("POST", KEYS + "/{key_id}/rotate", self.rotate_key),
        ]

    async def create(self, request: Request) -> Response:
        body = await self._body(request, TenantBody)
        return json_answer(_tenant(await self._tenants.create(body.name)), 201)

    async def all(self, request: Request) -> Response:
        return json_answer(TenantList([_tenant(tenant) for tenant in await self._tenants.all()]))

    async def get(self, request: Request) -> Response:
        return json_answer(_tenant(await self._tenants.get(request.path_params["tenant_id"])))

    async def change(self, request: Request) -> Response:
        body = await self._body(request, TenantChange)
        tenant_id = request.path_params["tenant_id"]
        return json_answer(_tenant(await self._tenants.change(tenant_id, name=body.name, status=body.status)))

    async def set_quota(self, request: Request) -> Response:
        body = await self._body(request, QuotaBody)
        quota = Quota(body.requests_per_minute, body.pairs_per_minute, body.pairs_in_flight)
        return json_answer(_tenant(await self._tenants.set_quota(request.path_params["tenant_id"], quota)))

    async def remove(self, request: Request) -> Response:
        await self._tenants.remove(request.path_params["tenant_id"])
        return Response(status_code=204)

    async def add_key(self, request: Request) -> Response:
        body = await self._body(request, KeyBody)
        scopes = SCOPES if body.scopes is None else body.scopes
        key, new = await self._tenants.add_key(request.path_params["tenant_id"], scopes, body.expires_at)
        return json_answer(_key(key, new.key), 201)

    async def keys(self, request: Request) -> Response:
        found = await self._tenants.keys(request.path_params["tenant_id"])
        return json_answer(KeyList([_key(key) for key in found]))

    async def rotate_key(self, request: Request) -> Response:
        body = await self._body(request, RotateBody)
        place = request.path_params
        key, new = await self._tenants.rotate_key(place["tenant_id"], place["key_id"], body.overlap_s)
        return json_answer(_key(key, new.key), 201)

    async def remove_key(self, request: Request) -> Response:
        await self._tenants.remove_key(request.path_params["tenant_id"], request.path_params["key_id"])
        return Response(status_code=204)

    def _route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        async def guarded(request: Request) -> Response:
            self._identities.check_operator(request.headers.get("Authorization"))
            response = await endpoint(request)
            if method != "GET":
                self._identities.forget()
            return response

        return route(method, path, guarded)

    async def _body(self, request: Request, kind: type[_Body]) -> _Body:
        return decode(kind, await read_body(request, self._settings) or b"{}")


def _tenant(tenant: Tenant) -> TenantAnswer:
    quota = tenant.quota
    return TenantAnswer(
        tenant.id,
        tenant.name,
        tenant.status,
        tenant.created_at,
        quota.requests,
        quota.pairs,
        quota.pairs_in_flight,
    )


def _key(key: Key, secret: str | UnsetType = UNSET) -> KeyAnswer:
    return KeyAnswer(key.id, key.scopes, key.created_at, key.expires_at, key.last_used_at, secret)
