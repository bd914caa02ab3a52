"""The tenant's batches, in OpenAI's shapes (https://platform.openai.com/docs/api-reference/batch)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.answers import json_answer, route
from gateway.api.bodies import read_body
from gateway.api.callers import caller_of
from gateway.api.pages import page_of
from gateway.api.shapes import BatchAnswer, BatchBody, BatchErrors, BatchLineError, RequestCounts
from gateway.batches import ENDPOINT, WINDOW, Batch, Batches
from gateway.identity import Identities
from gateway.schema import decode
from gateway.settings import Settings
from gateway.tenants import CLASSIFY

BATCHES, ONE = "/v1/batches", "/v1/batches/{batch_id}"
IDEMPOTENCY_KEY = "Idempotency-Key"


class BatchEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, batches: Batches, identities: Identities, settings: Settings) -> None:
        self._batches = batches
        self._identities = identities
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            route("POST", BATCHES, self.create),
            route("GET", BATCHES, self.all),
            route("GET", ONE, self.get),
            route("POST", ONE + "/cancel", self.cancel),
        ]

    async def create(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        body = decode(BatchBody, await read_body(request, self._settings))
        key = request.headers.get(IDEMPOTENCY_KEY, "")
        batch = await self._batches.create(
            caller.tenant_id, body.input_file_id, body.endpoint, body.completion_window, body.metadata or {}, key
        )
        return json_answer(_answer(batch))

    async def all(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        return json_answer(page_of(request, [_answer(one) for one in await self._batches.all(caller.tenant_id)]))

    async def get(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        return json_answer(_answer(await self._batches.get(caller.tenant_id, request.path_params["batch_id"])))

    async def cancel(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        return json_answer(_answer(await self._batches.cancel(caller.tenant_id, request.path_params["batch_id"])))


def _answer(batch: Batch) -> BatchAnswer:
    times: dict[str, Any] = {f"{state}_at": int(time.timestamp()) for state, time in batch.times.items()}
    errors = [BatchLineError(error.code, error.message, error.line) for error in batch.errors]
    return BatchAnswer(
        id=batch.id,
        endpoint=ENDPOINT,
        errors=BatchErrors(errors) if errors else None,
        input_file_id=batch.input_file_id,
        completion_window=WINDOW,
        status=batch.status,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=int(batch.created_at.timestamp()),
        expires_at=int(batch.expires_at.timestamp()),
        request_counts=RequestCounts(batch.total, batch.completed, batch.failed),
        metadata=dict(batch.metadata),
        **times,
    )
