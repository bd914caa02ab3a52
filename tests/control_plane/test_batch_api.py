"""Files and batches through the whole application, in the shapes of OpenAI's API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.control_plane_app import control_plane, new_caller
from tests.fakes.stores import Memory
from tests.problems import assert_problem

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/classify", "body": {"text": "x", "labels": "y"}}
CONTENT = json.dumps(LINE).encode() + b"\n"


async def upload(
    client: httpx.AsyncClient, key: dict[str, str], content: bytes = CONTENT, purpose: str = "batch"
) -> httpx.Response:
    form = {"file": ("在.jsonl", content)}
    return await client.post("/v1/files", files=form, data={"purpose": purpose}, headers=key)


async def create(client: httpx.AsyncClient, key: dict[str, str], file_id: str, **more: Any) -> httpx.Response:
    body = {"input_file_id": file_id, "endpoint": "/v1/classify", "completion_window": "24h"} | more
    return await client.post("/v1/batches", json=body, headers=key)


async def test_a_file_comes_back_as_it_was_sent_and_only_to_its_tenant() -> None:
    async with control_plane() as client:
        key, other = await new_caller(client), await new_caller(client, "b")
        content = bytes(range(256)) * 10_000
        file = (await upload(client, key, content)).json()
        assert (file["object"], file["filename"], file["bytes"]) == ("file", "在.jsonl", len(content))
        path = f"/v1/files/{file['id']}"
        assert (await client.get(path, headers=key)).json() == file
        assert (await client.get(path + "/content", headers=key)).content == content
        assert (await client.get("/v1/files", headers=key)).json()["data"] == [file]
        for answer in (
            await client.get(path, headers=other),
            await client.get(path + "/content", headers=other),
            await client.delete(path, headers=other),
        ):
            assert_problem(answer, 404, "not_found")
        assert (await client.get("/v1/files", headers=other)).json()["data"] == []
        assert (await client.delete(path, headers=key)).json() == {
            "id": file["id"],
            "object": "file",
            "deleted": True,
        }
        assert_problem(await client.get(path, headers=key), 404, "not_found")


async def test_an_upload_that_is_not_possible_is_refused() -> None:
    async with control_plane(max_file_bytes=1_000, max_tenant_file_bytes=1_500) as client:
        key = await new_caller(client)
        assert_problem(await upload(client, key, purpose="assistants"), 422, "invalid_request")
        assert_problem(await upload(client, key, b"x" * 1_001), 413, "body_too_large")
        assert_problem(await upload(client, key, b"x" * 100_000), 413, "body_too_large")
        no_form = await client.post("/v1/files", content=b"x", headers=key)
        assert_problem(no_form, 422, "invalid_request")
        broken = {"Content-Type": "multipart/form-data; boundary=b"} | key
        assert_problem(await client.post("/v1/files", content=b"--x", headers=broken), 422, "invalid_request")
        assert_problem(await client.post("/v1/files", content=b"x"), 401, "unauthorized")
        assert (await upload(client, key, b"x" * 1_000)).status_code == 200
        assert_problem(await upload(client, key, b"x" * 1_000), 409, "conflict")


@pytest.mark.parametrize("behind", [False, True])
async def test_a_file_expires_when_its_tenant_has_said_so(behind: bool) -> None:
    """As the form of OpenAI's clients says it, before the file, or of their documentation, behind it."""
    fields: list[tuple[str, Any]] = [
        ("purpose", (None, "batch")),
        ("expires_after[anchor]", (None, "created_at")),
        ("expires_after[seconds]", (None, "3600")),
    ]
    file_field = ("file", ("a.jsonl", CONTENT))
    form = [file_field, *fields] if behind else [*fields, file_field]
    clock = FakeClock()
    async with control_plane(clock=clock) as client:
        key = await new_caller(client)
        lasting = (await upload(client, key)).json()
        file = (await client.post("/v1/files", files=form, headers=key)).json()
        assert (file["expires_at"], lasting["expires_at"]) == (file["created_at"] + 3_600, None)
        path = f"/v1/files/{file['id']}"
        clock.advance(3_599)
        assert (await client.get(path, headers=key)).json() == file
        clock.advance(1)
        for answer in (
            await client.get(path, headers=key),
            await client.get(path + "/content", headers=key),
            await client.delete(path, headers=key),
        ):
            assert_problem(answer, 404, "not_found")
        assert (await client.get("/v1/files", headers=key)).json()["data"] == [lasting]
        refused = assert_problem(await create(client, key, file["id"]), 422, "invalid_request")
        assert refused["field"] == "input_file_id"


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_after": "3600"},
        {"expires_after[seconds]": "3600"},
        {"expires_after[anchor]": "created_at"},
        {"expires_after[anchor]": "last_active_at", "expires_after[seconds]": "3600"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "2592001"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "x"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "9" * 5_000},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600", "expires_after[days]": "1"},
    ],
)
async def test_an_expiry_that_is_not_possible_is_refused_and_leaves_nothing(fields: dict[str, str]) -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        key = await new_caller(client)
        form = {"file": ("a.jsonl", CONTENT)}
        answer = await client.post("/v1/files", files=form, data={"purpose": "batch"} | fields, headers=key)
        assert assert_problem(answer, 422, "invalid_request")["field"].startswith("expires_after")
    assert (memory.files, memory.uploads) == ({}, {})


async def test_a_batch_says_when_its_files_expire() -> None:
    memory, expiry = Memory(), {"anchor": "created_at", "seconds": 7_200}
    async with control_plane(memory) as client:
        key = await new_caller(client)
        file_id = (await upload(client, key)).json()["id"]
        batch = (await create(client, key, file_id, output_expires_after=expiry)).json()
        assert memory.batches[batch["id"]].output_expires_after_s == 7_200
        once = key | {"Idempotency-Key": "k"}
        assert (await create(client, once, file_id, output_expires_after=expiry)).status_code == 200
        assert_problem(await create(client, once, file_id), 422, "invalid_request")
        for wrong in ({"seconds": 3_599}, {"seconds": 2_592_001}, {"anchor": "now"}, {"days": 1}):
            answer = await create(client, key, file_id, output_expires_after=expiry | wrong)
            assert "expires_after" in assert_problem(answer, 422, "invalid_request")["detail"]


async def test_a_batch_is_created_listed_and_cancelled() -> None:
    async with control_plane() as client:
        key, other = await new_caller(client), await new_caller(client, "b")
        file_id = (await upload(client, key)).json()["id"]
        batch = (await create(client, key, file_id, metadata={"who": "我"})).json()
        assert (batch["object"], batch["status"], batch["endpoint"]) == ("batch", "validating", "/v1/classify")
        assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
        assert (batch["metadata"], batch["errors"]) == ({"who": "我"}, None)
        assert batch["expires_at"] - batch["created_at"] == 86_400
        path = f"/v1/batches/{batch['id']}"
        assert (await client.get(path, headers=key)).json() == batch
        assert (await client.get("/v1/batches", headers=key)).json()["data"] == [batch]
        assert (await client.get("/v1/batches", headers=other)).json()["data"] == []
        assert_problem(await client.get(path, headers=other), 404, "not_found")
        assert_problem(await client.post(path + "/cancel", headers=other), 404, "not_found")
        assert_problem(await create(client, other, file_id), 422, "invalid_request")
        assert_problem(await client.delete(f"/v1/files/{file_id}", headers=key), 409, "conflict")
        cancelled = (await client.post(path + "/cancel", headers=key)).json()
        assert (cancelled["status"], cancelled["cancelling_at"]) == ("cancelling", batch["created_at"])


async def test_lists_come_in_pages() -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        ids = [(await upload(client, key)).json()["id"] for _ in range(5)]
        seen: list[str] = []
        more, parameters = True, {"limit": "2"}
        while more:
            page = (await client.get("/v1/files", params=parameters, headers=key)).json()
            seen += [file["id"] for file in page["data"]]
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], seen[-1])
            more, parameters = page["has_more"], parameters | {"after": seen[-1]}
        assert sorted(seen) == sorted(ids)
        for bad in ({"limit": "0"}, {"limit": "x"}, {"limit": "10001"}, {"limit": "９"}, {"after": "file-9"}):
            assert_problem(await client.get("/v1/files", params=bad, headers=key), 422, "invalid_request")


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "/v1/embeddings"},
        {"completion_window": "1h"},
        {"metadata": {str(n): "" for n in range(17)}},
        {"metadata": {"a": "x" * 513}},
        {"metadata": {str(n): "万" * 512 for n in range(16)}},
        {"metadata": {str(n): "\0" * 512 for n in range(16)}},
        {"more": 1},
        {"input_file_id": "file-none"},
    ],
)
async def test_a_batch_that_is_not_possible_is_refused(wrong: dict[str, Any]) -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        file_id = (await upload(client, key)).json()["id"]
        assert_problem(await create(client, key, file_id, **wrong), 422, "invalid_request")


async def test_a_request_sent_again_with_its_idempotency_key_creates_nothing_new() -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        file_id = (await upload(client, key)).json()["id"]
        again = key | {"Idempotency-Key": "k-1"}
        made = await asyncio.gather(*(create(client, again, file_id) for _ in range(4)))
        assert len({answer.json()["id"] for answer in made}) == 1
        assert_problem(await create(client, again, file_id, metadata={"a": "b"}), 422, "invalid_request")
        assert_problem(await create(client, key | {"Idempotency-Key": "k" * 201}, file_id), 422, "invalid_request")
        assert (await create(client, key, file_id)).json()["id"] != made[0].json()["id"]


async def test_a_file_without_end_is_refused_before_it_fills_the_disk() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        while sent < 200:
            sent += 1
            yield b"x" * 10_000

    async with control_plane(max_file_bytes=50_000) as client:
        headers = await new_caller(client) | {"Content-Type": "multipart/form-data; boundary=b"}
        refused = await client.post("/v1/files", content=endless(), headers=headers)
    assert_problem(refused, 413, "body_too_large")
    assert sent < 10
