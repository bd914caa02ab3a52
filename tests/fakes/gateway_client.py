"""The gateway as the worker sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from control_plane.worker.gateway_client import GatewayAnswer, GatewayError

MAX_CALLS = 10_000


@dataclass
class FakeGateway:
    """A `Gateway` that answers with the labels in their order, or with 422 where `text` is no string.

    `failure` is raised in place of an answer, or what `fails` returns for a call's tenant and number, if anything;
    `delay_s` passes before either, and `on_call` is called at the beginning of each.
    """

    failure: GatewayError | None = None
    fails: Callable[[str, int], GatewayError | None] = lambda tenant_id, number: None
    delay_s: float = 0.0
    gate: asyncio.Event | None = None
    """Nothing is answered before it is set."""
    on_call: Callable[[], None] = lambda: None
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """Tenant, request id and body of each."""
    key_ids: list[str] = field(default_factory=list)
    """Of each."""
    under_way: int = 0
    most_under_way: int = 0

    async def classify(self, tenant_id: str, key_id: str, request_id: str, body: bytes) -> GatewayAnswer:
        decoded = json.loads(body)
        self.calls.append((tenant_id, request_id, decoded))
        self.key_ids.append(key_id)
        assert len(self.calls) < MAX_CALLS, "it is asked for ever"
        failure = self.failure or self.fails(tenant_id, len(self.calls))
        self.on_call()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.delay_s)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.under_way -= 1
        if failure is not None:
            raise failure
        if not isinstance(decoded.get("text"), str):
            return GatewayAnswer(422, problem(422, "invalid_request", request_id))
        return GatewayAnswer(200, {"labels": decoded["labels"], "request_id": request_id})


def problem(status: int, code: str, request_id: str = "") -> dict[str, Any]:
    """A problem document as the gateway's."""
    return {
        "type": "about:blank",
        "title": "A problem",
        "status": status,
        "detail": "it is described here",
        "instance": "/v1/classify",
        "code": code,
        "request_id": request_id,
    }
