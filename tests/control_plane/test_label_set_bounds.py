"""What a tenant may keep of label sets, and what is refused before anything is made of it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.fakes.control_plane_app import control_plane, new_caller
from tests.problems import assert_problem

PATH = "/v1/label-sets/tickets"


async def put(
    client: httpx.AsyncClient, key: dict[str, str], latest: int = 0, path: str = PATH, label: str = "a"
) -> httpx.Response:
    precondition = {"If-Match": f'"{latest}"'} if latest else {}
    return await client.put(path, json={"labels": [label]}, headers=key | precondition)


async def test_the_oldest_version_makes_room_and_the_answer_names_it() -> None:
    async with control_plane(max_label_set_versions=2) as client:
        key = await new_caller(client)
        answers = [(await put(client, key, latest)).json() for latest in range(3)]
        assert [answer["removed_versions"] for answer in answers] == [[], [], [1]]
        assert_problem(await client.get(f"{PATH}@1", headers=key), 404, "not_found")
        back = {"version": 2}
        rolled = await client.post(f"{PATH}/rollback", json=back, headers=key | {"If-Match": '"3"'})
        assert (rolled.json()["version"], rolled.json()["removed_versions"]) == (4, [2])
        assert "removed_versions" not in (await client.get(PATH, headers=key)).json()
        versions = (await client.get(f"{PATH}/versions", headers=key)).json()["label_sets"]
        assert [version["version"] for version in versions] == [4, 3]


async def test_all_versions_of_a_tenant_have_no_more_bytes_than_allowed() -> None:
    async with control_plane(max_tenant_label_set_bytes=5_000, max_label_set_versions=3) as client:
        key, other = await new_caller(client), await new_caller(client, "b")
        names = [f"/v1/label-sets/set-{number}" for number in range(8)]
        answers = await asyncio.gather(*(put(client, key, path=name, label="x" * 1_000) for name in names))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 4 + [409] * 4
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert "more than 5000 bytes" in assert_problem(refused, 409, "conflict")["detail"]
        assert (await put(client, other, label="x" * 1_000)).status_code == 201


@pytest.mark.parametrize("end", ["]}", "", "no JSON"])
async def test_a_body_with_a_million_labels_is_refused_before_it_is_parsed(end: str) -> None:
    """Even where it is no JSON in the end."""
    body = '{"labels": [' + '"a",' * 900_000 + '"a"' + end
    async with control_plane() as client:
        key = await new_caller(client)
        refused = await client.put(PATH, content=body, headers=key)
        assert "strings" in assert_problem(refused, 422, "invalid_request")["detail"]


async def test_too_many_labels_are_counted_before_they_are_compared() -> None:
    async with control_plane() as client:
        key = await new_caller(client)
        refused = await client.put(PATH, json={"labels": ["a"] * 20_000}, headers=key)
        problem = assert_problem(refused, 422, "invalid_request")
        assert (problem["field"], problem["detail"]) == ("labels", "labels: 20000 labels; 1 to 256 are allowed")
