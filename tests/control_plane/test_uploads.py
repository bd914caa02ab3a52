"""Uploads: read as they arrive, bounded before they are read, all or nothing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from control_plane.api.upload_form import MAX_FORM_BYTES, UploadForm
from control_plane.files import MAX_UPLOADS
from tests.fakes.control_plane_app import control_plane, new_caller
from tests.fakes.stores import Memory
from tests.problems import assert_problem

HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}
FILE_PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n'
PURPOSE = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
END = b"--b--\r\n"


async def post(client: httpx.AsyncClient, key: dict[str, str], content: Any, **headers: str) -> httpx.Response:
    return await client.post("/v1/files", content=content, headers=key | HEADERS | headers)


async def test_fields_may_come_before_the_file_or_behind_it() -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        for form in (PURPOSE + FILE_PART + b"{}\r\n" + END, FILE_PART + b"{}\r\n" + PURPOSE + END):
            file = (await post(client, key, form)).json()
            assert (file["bytes"], file["filename"]) == (2, "f.jsonl")
            assert (await client.get(f"/v1/files/{file['id']}/content", headers=key)).content == b"{}"


@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_a_form_is_the_same_however_it_arrives(size: int) -> None:
    content = b"\r\n--b\r\n--bb--\r\n--\r\n\n\r" * 3
    form = PURPOSE + FILE_PART.replace(b"--b", b"--b") + content.replace(b"--b\r\n", b"--x\r\n") + b"\r\n" + END

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(form), size):
            yield form[start : start + size]

    async with control_plane() as client:
        key = await new_caller(client)
        file = (await post(client, key, chunks())).json()
        stored = (await client.get(f"/v1/files/{file['id']}/content", headers=key)).content
    assert stored == content.replace(b"--b\r\n", b"--x\r\n")


async def test_a_form_may_arrive_in_one_message() -> None:
    """As the server hands over a small body whose length is declared."""
    messages = [{"type": "http.request", "body": PURPOSE + FILE_PART + b"{}\r\n" + END}]

    async def receive() -> Message:
        return messages.pop()

    scope = {"type": "http", "headers": [(b"content-type", HEADERS["Content-Type"].encode())]}
    form = UploadForm(Request(scope, receive))
    await form.begin()
    assert (form.filename, form.fields) == ("f.jsonl", {"purpose": "batch"})
    assert b"".join([chunk async for chunk in form.chunks()]) == b"{}"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (b"", "file"),
        (b"x" * 100, "file"),
        (END, "file"),
        (PURPOSE + END, "file"),
        (PURPOSE + FILE_PART, "file"),
        (PURPOSE + FILE_PART + b"{}", "file"),
        (PURPOSE + FILE_PART + b"{}\r\n--b", "file"),
        (PURPOSE + FILE_PART + b"{}\r\n" + FILE_PART + b"{}\r\n" + END, "file"),
        (PURPOSE + FILE_PART.replace(b'"file"', b'"other"') + b"{}\r\n" + END, "file"),
        (FILE_PART + b"{}\r\n" + END, "purpose"),
        (PURPOSE.replace(b"batch", b"assistants") + FILE_PART + b"{}\r\n" + END, "purpose"),
        (FILE_PART + b"{}\r\n" + PURPOSE.replace(b"batch", b"assistants") + END, "purpose"),
        (b"--b\r\nContent-Disposition\x00: x\r\n\r\n\r\n" + END, "file"),
    ],
)
async def test_what_is_no_form_with_one_file_is_refused_and_leaves_nothing(form: bytes, field: str) -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        key = await new_caller(client)
        problem = assert_problem(await post(client, key, form), 422, "invalid_request")
    assert problem["field"] == field
    assert (memory.files, memory.uploads) == ({}, {})


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "multipart/form-data", "application/json", "multipart/form-data; boundary="]
)
async def test_another_kind_of_body_is_refused(content_type: str) -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        refused = await post(client, key, PURPOSE + FILE_PART + END, **{"Content-Type": content_type})
        assert_problem(refused, 422, "invalid_request")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("filler", "status", "code"),
    [
        (b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 20 * MAX_FORM_BYTES, 422, "invalid_request"),
        (b"--b\r\n" + b"X: y\r\n" * 3 * MAX_FORM_BYTES, 422, "invalid_request"),
        (b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n' * MAX_FORM_BYTES, 413, "body_too_large"),
        (PURPOSE.replace(b"batch", b"x" * 20 * MAX_FORM_BYTES), 413, "body_too_large"),
    ],
    ids=["a long header", "many headers", "many fields", "a long field"],
)
async def test_what_a_form_has_beside_its_file_is_bounded(
    before: bool, filler: bytes, status: int, code: str
) -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        file = FILE_PART + b"{}\r\n"
        refused = await post(client, key, filler + file if before else file + filler)
        assert_problem(refused, status, code)


async def test_a_compressed_form_is_refused() -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        form = PURPOSE + FILE_PART + b"{}\r\n" + END
        refused = await post(client, key, form, **{"Content-Encoding": "gzip"})
        assert_problem(refused, 415, "unsupported_media_type")
        assert (await post(client, key, form, **{"Content-Encoding": "identity"})).status_code == 200


async def test_a_form_that_says_it_is_too_large_is_refused_before_it_is_read() -> None:
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield PURPOSE + FILE_PART

    async with control_plane(max_file_bytes=1_000) as client:
        key = await new_caller(client)
        refused = await post(client, key, chunks(), **{"Content-Length": str(1_001 + MAX_FORM_BYTES)})
        assert_problem(refused, 413, "body_too_large")
    assert read == 0


async def test_uploads_at_once_have_no_more_bytes_than_one_after_another() -> None:
    async with control_plane(max_tenant_file_bytes=1_000_000) as client:
        key = await new_caller(client)
        form = PURPOSE + FILE_PART + b"x" * 300_000 + b"\r\n" + END
        answers = await asyncio.gather(*(post(client, key, form) for _ in range(MAX_UPLOADS)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] * 3 + [409] * (MAX_UPLOADS - 3)
        files = (await client.get("/v1/files", headers=key)).json()["data"]
        assert [file["bytes"] for file in files] == [300_000] * 3


async def test_an_upload_that_breaks_off_or_takes_too_long_leaves_nothing() -> None:
    memory = Memory()
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield PURPOSE + FILE_PART
        begun.set()
        await asyncio.Event().wait()

    async with control_plane(memory, upload_timeout_s=0.2) as client:
        key = await new_caller(client)
        assert_problem(await post(client, key, endless()), 408, "body_too_slow")
        assert begun.is_set()
        assert (memory.files, memory.uploads) == ({}, {})


async def test_nothing_of_an_upload_is_ever_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder for temporary files could not keep it."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    async with control_plane() as client:
        key = await new_caller(client)
        form = PURPOSE + FILE_PART + b"x" * 5_000_000 + b"\r\n" + END
        assert (await post(client, key, form)).json()["bytes"] == 5_000_000
