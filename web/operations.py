"""An operation of the API: its path, scope, body and answers, declared once beside its handler.

The route is made of it, and so is its part of the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from web.authentication import Caller
from web.bodies import Bodies, decode, in_thread
from web.error_shapes import PROBLEM, ErrorShape
from web.pacing import Pacing
from web.problems import ERROR_SHAPE
from web.request_context import RequestContext
from web.settings import ServerSettings

OPERATOR = "operator"
"""The scope of the admin key."""
ANY_SCOPE = "any"
"""Every key of a tenant has it."""


class Call:
    """One request to an operation, authenticated."""

    __slots__ = ("_bodies", "_caller", "body", "context", "operator", "request", "settings")

    def __init__(
        self,
        request: Request,
        settings: ServerSettings,
        caller: Caller | None,
        body: Any,
        bodies: Bodies,
        operator: str = "",
    ) -> None:
        self.request = request
        self.settings = settings
        self._bodies = bodies
        self.context: RequestContext = request.scope["context"]
        self.body = body
        """The decoded body, of the operation's type; None where it has none."""
        self._caller = caller
        self.operator = operator
        """As the audit log names him; empty where the operation is a tenant's or anybody's."""

    @property
    def caller(self) -> Caller:
        """The tenant's caller; only operations with a tenant's scope have one."""
        assert self._caller is not None, "the operation needs no key"
        return self._caller

    @property
    def tenant_id(self) -> str:
        return self.caller.tenant_id

    def path(self, name: str) -> str:
        value: str = self.request.path_params[name]
        return value

    async def read_body(self) -> bytes:
        """The raw body, where no struct describes it; decode it at once."""
        try:
            return await self.receive_body()
        finally:
            self.release_body()

    async def receive_body(self) -> bytes:
        """The raw body, whose bytes count as memory until `release_body`: call that once it is decoded."""
        return await self._bodies.read(self.request)

    def release_body(self) -> None:
        """Also where it was not received whole."""
        self._bodies.release(self.request)


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    summary: str
    id: str = field(kw_only=True)
    """A name for clients that are generated from the document."""
    scope: str | None = None
    """What the caller's key must allow; None: anybody may ask."""
    body: type[Struct] | None = None
    body_schema: tuple[str, dict[str, Any]] | None = None
    """Media type and JSON schema of a body that no struct describes, and that the handler reads."""
    body_optional: bool = False
    reads_body: bool = False
    """Its handler reads the body and decodes it."""
    answers: Sequence[Any] = ()
    """Structs, or lists of them."""
    status: int = 200
    also_status: int | None = None
    parameters: Sequence[dict[str, Any]] = ()
    media_type: str = "application/json"
    example: Any = None
    """Of the body."""
    errors: Sequence[int] = ()
    """Statuses that the document names beside those that follow from scope, body, path and parameters."""
    answer_headers: Mapping[str, Any] = field(default_factory=dict)
    """As OpenAPI describes them."""
    error_shape: ErrorShape = PROBLEM
    """What its clients read of an error."""


def with_errors(shape: ErrorShape, operations: Sequence[Operation]) -> list[Operation]:
    """The operations of an API whose clients read errors in this shape."""
    return [replace(operation, error_shape=shape) for operation in operations]


class Authentication(Protocol):
    """Who may ask for what."""

    async def caller_of(self, request: Request) -> Caller:
        """`Unauthorized` without a key that works."""
        ...

    def require_operator(self, request: Request) -> str:
        """The operator, as the audit log names him; `Unauthorized` without the admin key or such a session."""
        ...


def routes_of(
    operations: Sequence[Operation], authentication: Authentication, settings: ServerSettings, pacing: Pacing
) -> list[Route]:
    bodies = Bodies(settings, pacing)
    return [
        Route(operation.path, _Endpoint(operation, authentication, settings, bodies), methods=[operation.method])
        for operation in operations
    ]


class _Endpoint:
    """An operation as an ASGI application; Starlette's own wrapper adds error handlers, which `Middleware` has."""

    def __init__(
        self, operation: Operation, authentication: Authentication, settings: ServerSettings, bodies: Bodies
    ) -> None:
        self._operation = operation
        self._authentication = authentication
        self._settings = settings
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation, request = self._operation, Request(scope, receive)
        scope[ERROR_SHAPE] = operation.error_shape
        caller, operator = await self._authorize(request)
        kind = None if operation.reads_body else operation.body
        body = None if kind is None else await self._decode_body(request, kind)
        response = await operation.handler(Call(request, self._settings, caller, body, self._bodies, operator))
        await response(scope, receive, send)

    async def _decode_body(self, request: Request, kind: type[Struct]) -> Struct:
        """Its bytes are not kept while the request waits for its turn."""
        try:
            raw = await self._bodies.read(request)
            return await in_thread(
                partial(decode, kind), b"{}" if self._operation.body_optional and not raw else raw
            )
        finally:
            self._bodies.release(request)

    async def _authorize(self, request: Request) -> tuple[Caller | None, str]:
        needed = self._operation.scope
        if needed is None:
            return None, ""
        if needed == OPERATOR:
            return None, self._authentication.require_operator(request)
        caller = await self._authentication.caller_of(request)
        request.scope["context"].tenant_id = caller.tenant_id
        if needed != ANY_SCOPE:
            caller.require(needed)
        return caller, ""
