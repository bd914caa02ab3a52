"""A tenant's files, in the shapes of OpenAI's API (https://platform.openai.com/docs/api-reference/files)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from control_plane.api.schema import Deleted, FileAnswer, FileList
from control_plane.api.upload_form import MAX_FORM_BYTES, UploadForm
from control_plane.files import EXPIRY_ANCHOR, MAX_EXPIRY_S, MIN_EXPIRY_S, Files, check_expiry
from control_plane.settings import Settings
from stores.errors import BodyTooLarge, BodyTooSlow, InvalidRequest
from stores.files import BATCH_PURPOSE, OUTPUT_PURPOSE, File, FileListing
from stores.tenants import READ_BATCHES, WRITE_BATCHES
from web.error_shapes import OPENAI
from web.openapi import query
from web.operations import Call, Operation, with_errors
from web.paging import list_answer, page_request, parameters
from web.responses import json_response

FILES, FILE = "/v1/files", "/v1/files/{file_id}"
EXPIRY = "expires_after"
ANCHOR, SECONDS = f"{EXPIRY}[anchor]", f"{EXPIRY}[seconds]"
"""Fields of a form, as OpenAI's clients flatten an object."""
MAX_DIGITS = 9
MAX_LIST_LIMIT = 10_000
"""OpenAI's, for lists of files."""
ASCENDING, DESCENDING = "asc", "desc"
MAX_PURPOSE_CHARACTERS = 64
LIST_PARAMETERS = (
    query(
        "purpose",
        f"Only files with this purpose: `{BATCH_PURPOSE}` for uploads, `{OUTPUT_PURPOSE}` for results.",
        minLength=1,
        maxLength=MAX_PURPOSE_CHARACTERS,
    ),
    query(
        "order",
        f"By creation: `{DESCENDING}`, the newest first, is the default.",
        enum=[ASCENDING, DESCENDING],
    ),
    *parameters(MAX_LIST_LIMIT),
)
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "const": BATCH_PURPOSE},
        ANCHOR: {"type": "string", "const": EXPIRY_ANCHOR},
        SECONDS: {"type": "integer", "minimum": MIN_EXPIRY_S, "maximum": MAX_EXPIRY_S},
    },
    "required": ["file", "purpose"],
}


class FileEndpoints:
    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._settings = settings

    def operations(self) -> Sequence[Operation]:
        operations = [
            Operation(
                "POST",
                FILES,
                self.upload,
                "Upload the lines of a batch",
                WRITE_BATCHES,
                body_schema=("multipart/form-data", FORM),
                answers=(FileAnswer,),
                errors=(409,),
                id="uploadFile",
            ),
            Operation(
                "GET",
                FILES,
                self.page,
                "List files",
                READ_BATCHES,
                answers=(FileList,),
                parameters=LIST_PARAMETERS,
                id="listFiles",
            ),
            Operation("GET", FILE, self.get, "Get a file", READ_BATCHES, answers=(FileAnswer,), id="getFile"),
            Operation(
                "GET",
                FILE + "/content",
                self.content,
                "Download a file's content",
                READ_BATCHES,
                answers=(str,),
                media_type="application/jsonl",
                id="downloadFile",
            ),
            Operation(
                "DELETE", FILE, self.remove, "Delete a file", WRITE_BATCHES, answers=(Deleted,), id="deleteFile"
            ),
        ]
        return with_errors(OPENAI, operations)

    async def upload(self, call: Call) -> Response:
        timeout_s = self._settings.upload_timeout_s
        declared_bytes = self._declared_bytes(call.request)
        try:
            async with asyncio.timeout(timeout_s):
                form = UploadForm(call.request)
                await form.begin()
                _check_purpose(form.fields.get("purpose", BATCH_PURPOSE))
                file = await self._files.add(
                    call.tenant_id,
                    form.filename or "",
                    _content(form),
                    declared_bytes,
                    lambda: _expires_after_s(form.fields),
                )
                return json_response(_answer(file))
        except TimeoutError:
            raise BodyTooSlow(f"the file did not arrive within {timeout_s:g} s") from None

    def _declared_bytes(self, request: Request) -> int:
        """At most as many as the file has; 0: nobody says."""
        declared, max_bytes = request.headers.get("Content-Length", "0"), self._settings.max_file_bytes
        if declared.isdigit() and int(declared) > max_bytes + MAX_FORM_BYTES:
            raise BodyTooLarge(f"the file has more than {max_bytes} bytes")
        return max(int(declared) - MAX_FORM_BYTES, 0) if declared.isdigit() else 0

    async def page(self, call: Call) -> Response:
        request = page_request(call.request, MAX_LIST_LIMIT)
        page = await self._files.page(call.tenant_id, request, _listing(call.request))
        return json_response(list_answer(FileList, [_answer(file) for file in page.items], has_more=page.has_more))

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
    expires_at = None if file.expires_at is None else int(file.expires_at.timestamp())
    return FileAnswer(file.id, file.bytes, int(file.created_at.timestamp()), file.name, file.purpose, expires_at)


def _listing(request: Request) -> FileListing:
    """`InvalidRequest` for a `purpose` or an `order` that cannot be."""
    purpose, order = request.query_params.get("purpose"), request.query_params.get("order", DESCENDING)
    if purpose is not None and not (purpose.isprintable() and 1 <= len(purpose) <= MAX_PURPOSE_CHARACTERS):
        raise InvalidRequest(f"must have 1 to {MAX_PURPOSE_CHARACTERS} printable characters", field="purpose")
    if order not in (ASCENDING, DESCENDING):
        raise InvalidRequest(f"must be {ASCENDING!r} or {DESCENDING!r}", field="order")
    return FileListing(purpose, oldest_first=order == ASCENDING)


async def _content(form: UploadForm) -> AsyncIterator[bytes]:
    async for chunk in form.chunks():
        yield chunk
    # A field may come behind the file.
    _check_purpose(form.fields.get("purpose", ""))
    _expires_after_s(form.fields)


def _expires_after_s(fields: Mapping[str, str]) -> int | None:
    """None: the form does not say it. `InvalidRequest`."""
    if not any(name.startswith(EXPIRY) for name in fields):
        return None
    unknown = sorted(name for name in fields if name.startswith(EXPIRY) and name not in (ANCHOR, SECONDS))
    seconds = fields.get(SECONDS, "")
    if unknown or not (seconds.isascii() and seconds.isdigit() and len(seconds) <= MAX_DIGITS):
        raise InvalidRequest(f"must be the fields {ANCHOR}={EXPIRY_ANCHOR} and {SECONDS}=3600", field=EXPIRY)
    return check_expiry(fields.get(ANCHOR, ""), int(seconds), EXPIRY)


def _check_purpose(purpose: str) -> None:
    if purpose != BATCH_PURPOSE:
        raise InvalidRequest(f"must be {BATCH_PURPOSE!r}", field="purpose")
