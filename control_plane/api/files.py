"""A tenant's files, in the shapes of OpenAI's API (https://platform.openai.com/docs/api-reference/files)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive

from control_plane.api.schema import Deleted, FileAnswer
from control_plane.files import Files
from control_plane.settings import Settings
from stores.errors import BodyTooLarge, BodyTooSlow, InvalidRequest
from stores.files import BATCH_PURPOSE, CHUNK_BYTES, File
from stores.tenants import READ_BATCHES, WRITE_BATCHES
from web.operations import Call, Operation
from web.paging import PARAMETERS, Page, page_of
from web.responses import json_response

FILES, FILE = "/v1/files", "/v1/files/{file_id}"
MAX_FIELD_BYTES = 1_000
FORM_BYTES = 10_000
"""What a form may have beside its file."""
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}, "purpose": {"const": BATCH_PURPOSE}},
    "required": ["file", "purpose"],
}


class FileEndpoints:
    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._settings = settings

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(
                "POST",
                FILES,
                self.upload,
                "Upload the lines of a batch",
                WRITE_BATCHES,
                body_schema=("multipart/form-data", FORM),
                answers=(FileAnswer,),
            ),
            Operation("GET", FILES, self.all, "List files", READ_BATCHES, answers=(Page,), parameters=PARAMETERS),
            Operation("GET", FILE, self.get, "Get a file", READ_BATCHES, answers=(FileAnswer,)),
            Operation(
                "GET",
                FILE + "/content",
                self.content,
                "Download a file's content",
                READ_BATCHES,
                media_type="application/jsonl",
            ),
            Operation("DELETE", FILE, self.remove, "Delete a file", WRITE_BATCHES, answers=(Deleted,)),
        ]

    async def upload(self, call: Call) -> Response:
        max_bytes, timeout_s = self._settings.max_file_bytes + FORM_BYTES, self._settings.upload_timeout_s
        request = Request(call.request.scope, _bounded(call.request.receive, max_bytes))
        try:
            async with asyncio.timeout(timeout_s):
                return json_response(_answer(await self._add(call.tenant_id, request)))
        except TimeoutError:
            raise BodyTooSlow(f"the file did not arrive within {timeout_s:g} s") from None
        except HTTPException as error:
            # Starlette's, for a form that cannot be parsed.
            raise InvalidRequest(error.detail, field="file") from None

    async def _add(self, tenant_id: str, request: Request) -> File:
        async with request.form(max_files=1, max_fields=2, max_part_size=MAX_FIELD_BYTES) as form:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile) or not isinstance(purpose, str):
                raise InvalidRequest("the form must have a file and a purpose", field="file")
            return await self._files.add(tenant_id, file.filename or "", purpose, _chunks(file))

    async def all(self, call: Call) -> Response:
        files = [_answer(file) for file in await self._files.all(call.tenant_id)]
        return json_response(page_of(call.request, files))

    async def get(self, call: Call) -> Response:
        return json_response(_answer(await self._files.get(call.tenant_id, call.path("file_id"))))

    async def content(self, call: Call) -> Response:
        file = await self._files.get(call.tenant_id, call.path("file_id"))
        headers = {"Content-Length": str(file.bytes)}
        return StreamingResponse(self._files.content(file), media_type="application/jsonl", headers=headers)

    async def remove(self, call: Call) -> Response:
        file_id = call.path("file_id")
        await self._files.remove(call.tenant_id, file_id)
        return json_response(Deleted(file_id, "file"))


def _answer(file: File) -> FileAnswer:
    return FileAnswer(file.id, file.bytes, int(file.created_at.timestamp()), file.name, file.purpose)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


def _bounded(receive: Receive, max_bytes: int) -> Receive:
    """Starlette's form parser bounds fields, not the file."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise BodyTooLarge(f"the form has more than {max_bytes} bytes")
        return message

    return counted
