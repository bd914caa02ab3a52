"""Operations that change tenants or keys, upon which what is known of them is stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from starlette.responses import Response

from web.operations import Call, Operation


def notifying(operation: Operation, on_change: Callable[[str], None]) -> Operation:
    """The operation, after which `on_change` is called with the tenant that it changes."""
    handler = operation.handler

    async def notify(call: Call) -> Response:
        try:
            return await handler(call)
        finally:
            # After an error, too: it may have come after the change.
            on_change(call.request.path_params.get("tenant_id") or call.tenant_id)

    return replace(operation, handler=notify)
