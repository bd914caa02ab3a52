"""The tenant's files for bulk work, in OpenAI's shapes (https://platform.openai.com/docs/api-reference/files)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive

from gateway.api.answers import json_answer, route
from gateway.api.callers import caller_of
from gateway.api.pages import page_of
from gateway.api.shapes import Deleted, FileAnswer
from gateway.errors import BodyTooLarge, BodyTooSlow, InvalidRequest
from gateway.files import PIECE_BYTES, File, Files
from gateway.identity import Identities
from gateway.settings import Settings
from gateway.tenants import CLASSIFY

FILES, ONE = "/v1/files", "/v1/files/{file_id}"
MAX_FIELD_BYTES = 1_000
FORM_BYTES = 10_000
"""What a form may have beside its file."""


class FileEndpoints:
    """Holds what the endpoints delegate to."""

    def __init__(self, files: Files, identities: Identities, settings: Settings) -> None:
        self._files = files
        self._identities = identities
        self._settings = settings

    def routes(self) -> list[Route]:
        return [
            route("POST", FILES, self.upload),
            route("GET", FILES, self.all),
            route("GET", ONE, self.get),
            route("GET", ONE + "/content", self.content),
            route("DELETE", ONE, self.remove),
        ]

    async def upload(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        limit = self._settings.max_file_bytes + FORM_BYTES
        bounded = Request(request.scope, _bounded(request.receive, limit))
        try:
            async with (
                asyncio.timeout(self._settings.upload_timeout_s),
                bounded.form(max_files=1, max_fields=2, max_part_size=MAX_FIELD_BYTES) as form,
            ):
                file, purpose = form.get("file"), form.get("purpose")
                if not isinstance(file, UploadFile) or not isinstance(purpose, str):
                    raise InvalidRequest("a form with a file and a purpose is needed", field="file")
                name = file.filename or ""
                made = await self._files.add(caller.tenant_id, name, purpose, _pieces(file))
        except TimeoutError:
            raise BodyTooSlow(f"the file did not arrive within {self._settings.upload_timeout_s:g} s") from None
        except HTTPException as error:
            # Starlette's, for a form that cannot be read.
            raise InvalidRequest(error.detail, field="file") from None
        return json_answer(_answer(made))

    async def all(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        return json_answer(page_of(request, [_answer(file) for file in await self._files.all(caller.tenant_id)]))

    async def get(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        return json_answer(_answer(await self._files.get(caller.tenant_id, request.path_params["file_id"])))

    async def content(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        file = await self._files.get(caller.tenant_id, request.path_params["file_id"])
        headers = {"Content-Length": str(file.bytes)}
        return StreamingResponse(self._files.content(file), media_type="application/jsonl", headers=headers)

    async def remove(self, request: Request) -> Response:
        caller = await caller_of(request, self._identities, CLASSIFY)
        file_id = request.path_params["file_id"]
        await self._files.remove(caller.tenant_id, file_id)
        return json_answer(Deleted(file_id, "file"))


def _answer(file: File) -> FileAnswer:
    return FileAnswer(file.id, file.bytes, int(file.created_at.timestamp()), file.name, file.purpose)


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(PIECE_BYTES):
        yield piece


def _bounded(receive: Receive, most: int) -> Receive:
    """Starlette's form parser bounds fields, not the file."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise BodyTooLarge(f"more than {most} bytes")
        return message

    return counted
