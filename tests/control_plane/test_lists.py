"""Every list of the control plane comes in pages: one table for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from stores.files import BATCH_PURPOSE, OUTPUT_PURPOSE, File
from stores.paging import MAX_PAGE_BYTES
from stores.tenants import SCOPES
from tests.fakes.clock import FakeClock
from tests.fakes.control_plane_app import OPERATOR, bearer, control_plane, new_key, new_tenant
from tests.fakes.stores import Memory
from tests.problems import assert_problem

COUNT = 5
Make = Callable[[httpx.AsyncClient, dict[str, str], str, int], Awaitable[None]]


async def make_tenant(client: httpx.AsyncClient, key: dict[str, str], tenant: str, number: int) -> None:
    await new_tenant(client, f"name {number}")


async def make_key(client: httpx.AsyncClient, key: dict[str, str], tenant: str, number: int) -> None:
    await new_key(client, tenant)


async def make_label_set(client: httpx.AsyncClient, key: dict[str, str], tenant: str, number: int) -> None:
    await client.put(f"/v1/label-sets/set-{number}", json={"labels": ["a"]}, headers=key)


async def make_version(client: httpx.AsyncClient, key: dict[str, str], tenant: str, number: int) -> None:
    precondition = {"If-Match": f'"{number}"'} if number else {}
    await client.put("/v1/label-sets/tickets", json={"labels": [f"{number}"]}, headers=key | precondition)


async def make_file(client: httpx.AsyncClient, key: dict[str, str], tenant: str, number: int) -> None:
    form = {"file": ("a.jsonl", b"{}")}
    made = await client.post("/v1/files", files=form, data={"purpose": "batch"}, headers=key)
    assert made.status_code == 200


async def make_batch(client: httpx.AsyncClient, key: dict[str, str], tenant: str, number: int) -> None:
    await make_file(client, key, tenant, number)
    file = (await client.get("/v1/files", params={"limit": 1}, headers=key)).json()["data"][0]["id"]
    body = {"input_file_id": file, "endpoint": "/v1/classify", "completion_window": "24h"}
    assert (await client.post("/v1/batches", json=body, headers=key)).status_code == 200


HIGHEST_LIMIT, MAX_PAGE_ITEMS = {"/v1/files": 10_000}, 100
"""The `limit` that lists of OpenAI's API accept beyond what a page has."""
LISTS: list[tuple[str, Make, str, str]] = [
    ("/v1/tenants", make_tenant, "tenants", "id"),
    ("/v1/tenants/{tenant}/keys", make_key, "keys", "id"),
    ("/v1/keys", make_key, "keys", "id"),
    ("/v1/label-sets", make_label_set, "label_sets", "name"),
    ("/v1/label-sets/tickets/versions", make_version, "label_sets", "version"),
    ("/v1/files", make_file, "data", "id"),
    ("/v1/batches", make_batch, "data", "id"),
]
AUDIT = {"/v1/audit", "/v1/admin/audit"}
"""Lists whose pages have tests of their own."""


@pytest.mark.parametrize(("path", "make", "items", "item_id"), LISTS, ids=[path for path, *_ in LISTS])
async def test_page_after_page_is_the_whole_list(path: str, make: Make, items: str, item_id: str) -> None:
    clock = FakeClock()
    async with control_plane(clock=clock) as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        for number in range(COUNT):
            clock.advance(1)
            await make(client, key, tenant, number)
        address = path.format(tenant=tenant)
        headers = OPERATOR if path.startswith("/v1/tenants") else key
        whole = (await client.get(address, headers=headers)).json()
        assert not whole["has_more"]
        assert whole["last_id"] == str(whole[items][-1][item_id])
        listed: list[Any] = []
        parameters = {"limit": "2"}
        for _ in range(COUNT):
            page = (await client.get(address, params=parameters, headers=headers)).json()
            listed += page[items]
            if not page["has_more"]:
                break
            assert len(page[items]) == 2
            parameters["after"] = page["last_id"]
        assert listed == whole[items]
        assert len(listed) >= COUNT
        end = (await client.get(address, params={"after": page["last_id"]}, headers=headers)).json()
        assert (end[items], end["has_more"], end["last_id"]) == ([], False, None)


@pytest.mark.parametrize("path", [path for path, *_ in LISTS])
@pytest.mark.parametrize("bad", [{"limit": "0"}, {"limit": "x"}, {"after": ""}, {"after": "\0"}])
async def test_a_page_that_cannot_be_is_refused_by_its_parameter(path: str, bad: dict[str, str]) -> None:
    async with control_plane() as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        await make_version(client, key, tenant, 0)
        headers = OPERATOR if path.startswith("/v1/tenants") else key
        refused = await client.get(path.format(tenant=tenant), params=bad, headers=headers)
        assert assert_problem(refused, 422, "invalid_request")["field"] == next(iter(bad))


@pytest.mark.parametrize("path", [path for path, *_ in LISTS])
async def test_a_limit_is_accepted_up_to_what_the_list_says(path: str) -> None:
    highest = HIGHEST_LIMIT.get(path, MAX_PAGE_ITEMS)
    async with control_plane() as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        await make_version(client, key, tenant, 0)
        address, headers = path.format(tenant=tenant), OPERATOR if path.startswith("/v1/tenants") else key
        accepted = await client.get(address, params={"limit": highest}, headers=headers)
        assert accepted.status_code == 200, accepted.text
        refused = await client.get(address, params={"limit": highest + 1}, headers=headers)
        assert assert_problem(refused, 422, "invalid_request")["field"] == "limit"
        documented = (await client.get("/openapi.json")).json()["paths"]
    for parameter in documented.get(path, {}).get("get", {}).get("parameters", []):
        assert parameter["name"] != "limit" or parameter["schema"]["maximum"] == highest


async def test_files_are_listed_by_their_purpose_and_in_either_order() -> None:
    """The filter comes before the page, so that what is deleted page by page is of that purpose alone."""
    memory = Memory()
    async with control_plane(memory) as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        for number in range(6):
            purpose = OUTPUT_PURPOSE if number % 3 == 0 else BATCH_PURPOSE
            created_at = datetime(2030, 1, 1, number, tzinfo=UTC)
            file = File(f"file-{number}", tenant, "a", purpose, 0, created_at)
            memory.files[file.id] = (file, [])

        async def listed(**parameters: str) -> list[str]:
            found: list[str] = []
            while True:
                page = (await client.get("/v1/files", params=parameters | {"limit": "1"}, headers=key)).json()
                found += [file["id"] for file in page["data"]]
                if not page["has_more"]:
                    return found
                parameters["after"] = page["last_id"]

        assert await listed(purpose=OUTPUT_PURPOSE) == ["file-3", "file-0"]
        assert await listed(purpose=BATCH_PURPOSE, order="asc") == ["file-1", "file-2", "file-4", "file-5"]
        assert await listed(order="asc") == [f"file-{number}" for number in range(6)]
        assert await listed(order="desc") == await listed() == [f"file-{number}" for number in reversed(range(6))]
        assert await listed(purpose="fine-tune") == []


DELETABLE = [each for each in LISTS if each[0] not in {"/v1/label-sets/tickets/versions", "/v1/batches"}]


@pytest.mark.parametrize(("path", "make", "items", "item_id"), DELETABLE, ids=[path for path, *_ in DELETABLE])
async def test_all_of_a_list_can_be_deleted_page_by_page(path: str, make: Make, items: str, item_id: str) -> None:
    """As a loop over OpenAI's SDK does: `after` is an item that does not exist any more."""
    async with control_plane() as client:
        tenant = await new_tenant(client)
        own = await new_key(client, tenant, scopes=SCOPES)
        key = bearer(own["key"])
        for number in range(COUNT):
            await make(client, key, tenant, number)
        address, headers = path.format(tenant=tenant), OPERATOR if path.startswith("/v1/tenants") else key
        deleted, parameters = set[str](), {"limit": "2"}
        for _ in range(COUNT):
            answer = await client.get(address, params=parameters, headers=headers)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            for name in {item[item_id] for item in page[items]} - {own["id"], tenant}:
                assert (await client.delete(f"{address}/{name}", headers=headers)).is_success
                deleted.add(name)
            if not page["has_more"]:
                break
            parameters["after"] = page["last_id"]
    assert len(deleted) == COUNT


async def test_more_files_than_a_page_has_are_announced() -> None:
    memory = Memory()
    async with control_plane(memory) as client:
        tenant = await new_tenant(client)
        key = bearer((await new_key(client, tenant))["key"])
        for number in range(MAX_PAGE_ITEMS + 1):
            file = File(f"file-{number}", tenant, "a", BATCH_PURPOSE, 0, datetime(2030, 1, 1, tzinfo=UTC))
            memory.files[file.id] = (file, [])
        page = (await client.get("/v1/files", params={"limit": "10000"}, headers=key)).json()
    assert (len(page["data"]), page["has_more"]) == (MAX_PAGE_ITEMS, True)


@pytest.mark.parametrize(
    "bad", [{"purpose": ""}, {"purpose": "a\0"}, {"purpose": "x" * 65}, {"order": ""}, {"order": "newest"}]
)
async def test_a_list_of_files_that_cannot_be_is_refused_by_its_parameter(bad: dict[str, str]) -> None:
    async with control_plane() as client:
        key = bearer((await new_key(client, await new_tenant(client)))["key"])
        refused = await client.get("/v1/files", params=bad, headers=key)
    assert assert_problem(refused, 422, "invalid_request")["field"] == next(iter(bad))


async def test_every_list_says_so_in_the_document() -> None:
    async with control_plane() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    for path in (
        "/v1/tenants/{tenant_id}/keys",
        "/v1/label-sets/{name}/versions",
        *AUDIT,
        *(path for path, *_ in LISTS),
    ):
        if path in paths:
            names = {parameter["name"] for parameter in paths[path]["get"]["parameters"]}
            assert names >= {"limit", "after"}
    lists = {
        path for path, methods in paths.items() if methods.get("get", {}).get("summary", "").startswith("List ")
    }
    assert len(lists - AUDIT) == len(LISTS)


async def test_a_page_of_large_label_sets_has_no_more_bytes_than_a_page_may() -> None:
    """60 sets of two megabytes each were 119 MB in one answer."""
    async with control_plane(max_label_characters=30_000) as client:
        key = bearer((await new_key(client, await new_tenant(client)))["key"])
        for number in range(6):
            body = {"labels": [f"{number}{'x' * 29_000}"] + [f"{n}{'x' * 29_000}" for n in range(10, 13)]}
            assert (await client.put(f"/v1/label-sets/s{number}", json=body, headers=key)).status_code == 201
        answer = await client.get("/v1/label-sets", params={"limit": 100}, headers=key)
        assert (len(answer.json()["label_sets"]), answer.json()["has_more"]) == (2, True)
        assert len(answer.content) <= MAX_PAGE_BYTES
