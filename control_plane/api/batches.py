"""A tenant's batches, in the shapes of OpenAI's API (https://platform.openai.com/docs/api-reference/batch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from control_plane.api.schema import BatchAnswer, BatchBody, BatchErrors, BatchLineError, BatchList, RequestCounts
from control_plane.batches import ENDPOINT, MAX_IDEMPOTENCY_KEY_CHARACTERS, WINDOW, Batches
from control_plane.files import check_expiry
from stores.batches import Batch
from stores.tenants import READ_BATCHES, WRITE_BATCHES
from web.error_shapes import OPENAI
from web.openapi import header
from web.operations import Call, Operation, with_errors
from web.paging import PARAMETERS, list_answer, page_request
from web.responses import json_response

BATCHES, BATCH = "/v1/batches", "/v1/batches/{batch_id}"
IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "The same key again returns the same batch.",
    maxLength=MAX_IDEMPOTENCY_KEY_CHARACTERS,
)


class BatchEndpoints:
    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def operations(self) -> Sequence[Operation]:
        operations = [
            Operation(
                "POST",
                BATCHES,
                self.create,
                "Create a batch of the lines of a file",
                WRITE_BATCHES,
                BatchBody,
                answers=(BatchAnswer,),
                parameters=(IDEMPOTENCY_KEY,),
                errors=(409,),
                id="createBatch",
            ),
            Operation(
                "GET",
                BATCHES,
                self.page,
                "List batches",
                READ_BATCHES,
                answers=(BatchList,),
                parameters=PARAMETERS,
                id="listBatches",
            ),
            Operation(
                "GET",
                BATCH,
                self.get,
                "Get a batch and its progress",
                READ_BATCHES,
                answers=(BatchAnswer,),
                id="getBatch",
            ),
            Operation(
                "POST",
                BATCH + "/cancel",
                self.cancel,
                "Cancel a batch, and keep the results so far",
                WRITE_BATCHES,
                answers=(BatchAnswer,),
                errors=(409,),
                id="cancelBatch",
            ),
        ]
        return with_errors(OPENAI, operations)

    async def create(self, call: Call) -> Response:
        body: BatchBody = call.body
        key = call.request.headers.get("Idempotency-Key", "")
        expiry = body.output_expires_after
        batch = await self._batches.create(
            call.tenant_id,
            body.input_file_id,
            body.endpoint,
            body.completion_window,
            body.metadata or {},
            key,
            None if expiry is None else check_expiry(expiry.anchor, expiry.seconds, "output_expires_after"),
            call.caller.key_id,
        )
        return json_response(_answer(batch))

    async def page(self, call: Call) -> Response:
        page = await self._batches.page(call.tenant_id, page_request(call.request))
        return json_response(
            list_answer(BatchList, [_answer(batch) for batch in page.items], has_more=page.has_more)
        )

    async def get(self, call: Call) -> Response:
        return json_response(_answer(await self._batches.get(call.tenant_id, call.path("batch_id"))))

    async def cancel(self, call: Call) -> Response:
        return json_response(_answer(await self._batches.cancel(call.tenant_id, call.path("batch_id"))))


def _answer(batch: Batch) -> BatchAnswer:
    times: dict[str, Any] = {f"{status}_at": int(at.timestamp()) for status, at in batch.reached_at.items()}
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
