"""Forwards requests for the control plane, streamed in both directions and with a concurrency limit of their own.

Nothing here shares a connection, a queue or a buffer with classification: a control plane that hangs or is flooded
costs at most `max_forwarded_requests` idle coroutines.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.errors import ControlPlaneUnavailable, Overloaded
from gateway.settings import Settings
from gateway.tenancy.authentication import GatewayAuthentication
from gateway.tenancy.label_sets import LabelSetCache
from stores.errors import BodyTooSlow, InvalidRequest, NotAvailable, NotFound, Unauthorized
from stores.tenants import LOCAL_TENANT_ID
from web.connection_causes import connection_cause
from web.error_shapes import OPENAI
from web.failure_limit import address_of, subscriber_of
from web.headers import has_body
from web.problems import ERROR_SHAPE
from web.reverse_proxy import Headers, send_back, send_on

SIGN_IN = "/v1/sign-in"
"""Where the paths begin for which nobody needs a key."""
COLLECTIONS = ("/v1/tenants", "/v1/keys", "/v1/label-sets", "/v1/files", "/v1/batches")
PATHS = (
    *COLLECTIONS,
    *(f"{collection}/{{path:path}}" for collection in COLLECTIONS),
    *("/v1/me", "/v1/usage", "/v1/budget", "/v1/audit", "/v1/admin/{path:path}"),
    *("/", "/console", "/docs", "/ui/{path:path}"),
    *(SIGN_IN, f"{SIGN_IN}/{{path:path}}"),
)
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
API_PREFIX = "/v1/"
TENANTS = "/v1/tenants"
OPERATORS_PATHS = (TENANTS, "/v1/admin")
"""Where the paths begin for which the admin key is needed, which the control plane alone knows."""
SAFE_METHODS = frozenset({"GET", "HEAD"})
OPENAI_PATHS = ("/v1/files", "/v1/batches")
"""Where the paths begin whose clients read errors as OpenAI has them."""
CACHED_PATHS = (TENANTS, "/v1/keys", "/v1/label-sets")
"""Where the paths begin whose records the gateway remembers."""
NOT_CONFIGURED = (
    "tenants, label sets, files, batches and the page need a control plane: set WANNENG_CONTROL_PLANE_URL"
)
NO_INTERNAL_KEY = (
    "without a key this needs WANNENG_INTERNAL_KEY, the same at the gateway and the control plane: set it, or "
    "send a key"
)
TENANTS_FILE = (
    "tenants and label sets are declared in WANNENG_TENANTS_FILE here: change that file; files, batches, usage "
    "and the page need a database and a control plane"
)


class Forwarding:
    """Pure ASGI, so that the answer is streamed as it arrives."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        authentication: GatewayAuthentication,
        label_sets: LabelSetCache,
        settings: Settings,
    ) -> None:
        self._http = http
        self._authentication = authentication
        self._label_sets = label_sets
        self._settings = settings
        self._url = settings.control_plane_url.rstrip("/")
        self._in_flight: Counter[str] = Counter()
        """Of each sender: a tenant, or the subscriber of an address that asks without a tenant's key."""

    def routes(self) -> list[Route]:
        return [Route(path, self, methods=METHODS) for path in PATHS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"].startswith(OPENAI_PATHS):
            scope[ERROR_SHAPE] = OPENAI
        self._check(request)
        credentials = await self._credentials(request)
        sender = request.scope["context"].tenant_id or subscriber_of(address_of(request))
        self._check_capacity(sender)
        self._in_flight[sender] += 1
        try:
            async with asyncio.timeout(self._settings.forward_timeout_s):
                await self._exchange(request, credentials, send)
        except TimeoutError:
            raise BodyTooSlow(f"not done within {self._settings.forward_timeout_s:g} s") from None
        finally:
            self._in_flight[sender] -= 1
            if not self._in_flight[sender]:
                del self._in_flight[sender]

    def _check(self, request: Request) -> None:
        settings = self._settings
        if settings.tenants_file:
            raise NotAvailable(TENANTS_FILE)
        if not self._url:
            raise NotAvailable(NOT_CONFIGURED)
        path: str = request.scope["path"]
        if not {".", ".."}.isdisjoint(path.split("/")):
            # It would become another path on its way, past the check below.
            raise NotFound("there is no such path")

    def _check_capacity(self, sender: str) -> None:
        """One sender never gets every slot: slow requests would shut everybody else out."""
        limit = self._settings.max_forwarded_requests
        if self._in_flight.total() >= limit or self._in_flight[sender] >= max(1, limit // 2):
            raise Overloaded(
                f"{self._in_flight.total()} requests are being forwarded to the control plane, "
                f"{self._in_flight[sender]} of them yours; try again"
            )

    async def _credentials(self, request: Request) -> Headers | None:
        """Headers by which the control plane knows who asks; None: those of the request. `Unauthorized`."""
        path: str = request.scope["path"]
        if not path.startswith(API_PREFIX):
            # The page is anybody's, but not under another's name: a page of that name could read its answers.
            self._authentication.check_host(request)
            if has_body(request):
                raise InvalidRequest("the page takes no body")
            return None
        if path.startswith(SIGN_IN):
            self._authentication.check_host(request)
            return None
        if path.startswith(OPERATORS_PATHS):
            if "Authorization" not in request.headers:
                raise Unauthorized
            return None
        caller = await self._authentication.tenant_of(request)
        request.scope["context"].tenant_id = caller.tenant_id
        if caller.has_key:
            return None
        if not self._settings.internal_key:
            raise NotAvailable(NO_INTERNAL_KEY)
        authorization = f"Bearer {self._settings.internal_key}".encode()
        return [(b"authorization", authorization), (b"x-wanneng-tenant", LOCAL_TENANT_ID.encode())]

    async def _exchange(self, request: Request, credentials: Headers | None, send: Send) -> None:
        try:
            response = await send_on(self._http, self._url, request, credentials)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            cause = connection_cause(error)
            raise ControlPlaneUnavailable(
                f"the control plane does not answer, {cause}; it may be starting"
            ) from None
        except httpx.TransportError:
            raise ControlPlaneUnavailable("the control plane ended the connection, or took too long") from None
        try:
            if response.status_code == httpx.codes.UNAUTHORIZED:
                self._authentication.failed(request)
            if _is_change(request, response):
                # What is known is stale; before the answer, upon which the caller may use what it has changed.
                changed = _tenant_of(request)
                self._authentication.forget(changed)
                self._label_sets.forget_where(lambda known, _: known[0] == changed)
            await send_back(response, send)
        except httpx.TransportError:
            raise ControlPlaneUnavailable("the control plane ended its answer early") from None
        finally:
            await response.aclose()


def _is_change(request: Request, response: httpx.Response) -> bool:
    path: str = request.scope["path"]
    return request.method not in SAFE_METHODS and response.is_success and path.startswith(CACHED_PATHS)


def _tenant_of(request: Request) -> str:
    """The caller, or the tenant that an operator's path names; empty where it names none, for a new one."""
    tenant_id: str | None = request.scope["context"].tenant_id
    return tenant_id or request.scope["path"].removeprefix(TENANTS).lstrip("/").partition("/")[0]
