"""The audit log: all of it for the operator, and for a tenant the acts on what is its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from control_plane.api.schema import AuditList
from stores.audit import LOCAL_ACTOR, AuditFilter, AuditLog, AuditRecord, Origin, acting, canonical, person
from stores.errors import InvalidRequest
from stores.tenants import READ_AUDIT
from web.openapi import query
from web.operations import OPERATOR, Call, Handler, Operation
from web.paging import PARAMETERS, page_request
from web.responses import json_response

AUDIT, ADMIN_AUDIT = "/v1/audit", "/v1/admin/audit"
JSON_LINES = "application/x-ndjson"
MAX_CHARACTERS, MAX_DIGITS = 200, 18
EXPORTED, EXPORTED_AT_ONCE = 10_000, 200
"""Records of one export, and how many of them are in memory."""
OF_TENANT = query("tenant_id", "Acts on what is this tenant's.", maxLength=MAX_CHARACTERS)
FILTERS = (
    query("actor", "Acts of this actor, such as `key:0123456789ab`.", maxLength=MAX_CHARACTERS),
    query("object", "Acts on this object, such as `tenant/t_0123`.", maxLength=MAX_CHARACTERS),
    query("from", "Acts from this time on, such as 2030-01-31T00:00:00Z.", format="date-time"),
    query("to", "Acts before this time.", format="date-time"),
)
EXPORT = (query("after", "Sequence of a record; the export begins behind it.", type="integer", minimum=0),)
_T = TypeVar("_T")


class AuditEndpoints:
    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "GET",
                AUDIT,
                self.own,
                "List acts on what is the tenant's, newest first",
                READ_AUDIT,
                answers=(AuditList,),
                parameters=(*FILTERS, *PARAMETERS),
                id="listOwnAuditRecords",
            ),
            Operation(
                "GET",
                ADMIN_AUDIT,
                self.all,
                "List administrative acts, newest first",
                OPERATOR,
                answers=(AuditList,),
                parameters=(OF_TENANT, *FILTERS, *PARAMETERS),
                id="listAuditRecords",
            ),
            Operation(
                "GET",
                f"{ADMIN_AUDIT}/export",
                self.export,
                f"Export up to {EXPORTED} administrative acts, oldest first",
                OPERATOR,
                answers=(str,),
                parameters=(OF_TENANT, *FILTERS, *EXPORT),
                media_type=JSON_LINES,
                id="exportAuditRecords",
            ),
        ]

    async def own(self, call: Call) -> Response:
        return await self._page(call.request, replace(_filter(call.request), tenant_id=call.tenant_id))

    async def all(self, call: Call) -> Response:
        return await self._page(call.request, _filter(call.request))

    async def _page(self, request: Request, records: AuditFilter) -> Response:
        page = await self._log.page(records, page_request(request))
        last_id = str(page.items[-1].sequence) if page.items else None
        return json_response(AuditList(list(page.items), page.has_more, last_id))

    async def export(self, call: Call) -> Response:
        records = replace(_filter(call.request), after=_after(call.request))
        # Before the answer begins, so that a database that is down is a 503.
        first = await self._log.read(records, EXPORTED_AT_ONCE)
        return StreamingResponse(self._lines(records, first), media_type=JSON_LINES)

    async def _lines(self, records: AuditFilter, read: Sequence[AuditRecord]) -> AsyncIterator[str]:
        left = EXPORTED
        while read:
            yield "".join(f"{canonical(structs.asdict(record))}\n" for record in read)
            left -= len(read)
            records = replace(records, after=read[-1].sequence)
            read = await self._log.read(records, min(EXPORTED_AT_ONCE, left)) if left else []


def attributed(operation: Operation) -> Operation:
    """The operation, with what its handler does recorded as its caller's."""
    if operation.scope is None or operation.method == "GET":
        return operation
    return replace(operation, handler=_acting(operation.handler, is_operator=operation.scope == OPERATOR))


def _acting(handler: Handler, *, is_operator: bool) -> Handler:
    async def act(call: Call) -> Response:
        actor = call.operator if is_operator else _tenant(call)
        with acting(Origin(actor, call.context.request_id)):
            return await handler(call)

    return act


def _tenant(call: Call) -> str:
    caller = call.caller
    if caller.subject:
        return person(caller.subject)
    return f"key:{caller.key_id}" if caller.has_key else LOCAL_ACTOR


def _filter(request: Request) -> AuditFilter:
    return AuditFilter(
        _parsed(request, "tenant_id", _text),
        _parsed(request, "actor", _text),
        _parsed(request, "object", _text),
        _parsed(request, "from", _time),
        _parsed(request, "to", _time),
    )


def _parsed(request: Request, name: str, parse: Callable[[str], _T]) -> _T | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidRequest(str(error), field=name) from None


def _text(text: str) -> str:
    if not (text.isprintable() and 1 <= len(text) <= MAX_CHARACTERS):
        raise ValueError(f"must have 1 to {MAX_CHARACTERS} printable characters")
    return text


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time with its time zone, such as 2030-01-31T00:00:00Z")


def _after(request: Request) -> int:
    text = request.query_params.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InvalidRequest("must be the sequence of a record", field="after")
    return int(text)
