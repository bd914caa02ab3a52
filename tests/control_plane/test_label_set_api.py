"""Label sets through the whole application: versions, ETags, isolation."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from tests.fakes.control_plane_app import LOCAL, control_plane, new_caller
from tests.problems import assert_problem

PATH = "/v1/label-sets/tickets"
BODY: dict[str, Any] = {"labels": ["投诉", {"label": "咨询", "hypothesis": "用户在咨询"}]}


async def put(
    client: httpx.AsyncClient, body: dict[str, Any] | None = None, etag: str | None = None
) -> httpx.Response:
    return await client.put(PATH, json=body or BODY, headers={"If-Match": etag} if etag else {})


def local() -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A client whose requests are the local tenant's."""
    return control_plane(headers=LOCAL)


async def test_a_put_creates_versions_that_stay() -> None:
    async with local() as client:
        first = await put(client)
        assert (first.status_code, first.headers["etag"], first.json()["version"]) == (201, '"1"', 1)
        second = await put(client, {"labels": ["a", "b"]}, '"1"')
        assert (second.status_code, second.headers["etag"]) == (200, '"2"')
        assert (await client.get(PATH)).json()["version"] == 2
        assert (await client.get(PATH + "@1")).json()["labels"] == first.json()["labels"]
        versions = (await client.get(PATH + "/versions")).json()["label_sets"]
        assert [label_set["version"] for label_set in versions] == [2, 1]
        listed = (await client.get("/v1/label-sets")).json()["label_sets"]
        assert [(label_set["name"], label_set["version"]) for label_set in listed] == [("tickets", 2)]


@pytest.mark.parametrize("etag", ['W/"1"', '"1-gzip"', 'W/"1-br"', '"1;gzip"', '"1--gzip"'])
async def test_an_etag_that_a_compressing_proxy_has_changed_is_accepted(etag: str) -> None:
    """nginx makes it weak, Apache and Jetty name the encoding."""
    async with local() as client:
        await put(client)
        assert (await put(client, etag=etag)).status_code == 200
        assert_problem(await put(client, etag=etag), 412, "precondition_failed")


async def test_special_tokens_are_the_tenants_unless_the_set_says_it() -> None:
    async with local() as client:
        assert (await put(client)).json()["special_tokens"] is None
        assert (await put(client, BODY | {"special_tokens": "text"}, '"1"')).json()["special_tokens"] == "text"
        assert (await client.get(PATH)).json()["special_tokens"] == "text"
        refused = await put(client, BODY | {"special_tokens": "none"}, '"2"')
        assert_problem(refused, 422, "invalid_request")


async def test_a_correction_is_part_of_its_version_and_of_what_is_rolled_back_to() -> None:
    correction = {"biases": [0.5, -0.25], "temperature": 2.0, "map": [[1.0, 0.0], [0.5, -1.0]]}
    async with local() as client:
        assert (await put(client)).json()["correction"] is None
        assert (await put(client, BODY | {"correction": correction}, '"1"')).json()["correction"] == correction
        assert (await put(client, etag='"2"')).json()["correction"] is None
        back = await client.post(PATH + "/rollback", json={"version": 2}, headers={"If-Match": '"3"'})
        assert back.json()["correction"] == correction
        assert (await client.get(PATH + "@2")).json()["correction"] == correction


EVALUATION: dict[str, Any] = {
    "evaluated_at": "2030-01-01T00:00:00Z",
    "model_version": "e1",
    "texts": 10,
    "labelled": 8,
    "correct": 6,
    "none_of_these": 1,
    "compared_with": 1,
    "changed": 2,
    "in_sample": False,
}


async def test_a_version_has_the_numbers_that_it_was_saved_with() -> None:
    async with local() as client:
        assert (await put(client)).json()["evaluation"] is None
        assert (await put(client, BODY | {"evaluation": EVALUATION}, '"1"')).json()["evaluation"] == EVALUATION
        assert (await put(client, etag='"2"')).json()["evaluation"] is None
        back = await client.post(PATH + "/rollback", json={"version": 2}, headers={"If-Match": '"3"'})
        assert back.json()["evaluation"] == EVALUATION, "they are of its content"
        versions = (await client.get(PATH + "/versions")).json()["label_sets"]
        assert [version["evaluation"] for version in versions] == [EVALUATION, None, EVALUATION, None]


async def test_numbers_that_cannot_be_are_refused_and_nothing_is_stored() -> None:
    async with local() as client:
        await put(client)
        for change, named in (({"correct": 9}, "correct"), ({"compared_with": 2}, "compared_with")):
            refused = await put(client, BODY | {"evaluation": EVALUATION | change}, '"1"')
            assert assert_problem(refused, 422, "invalid_request")["field"] == f"evaluation.{named}"
        refused = await put(client, BODY | {"evaluation": EVALUATION | {"texts": 0}}, '"1"')
        assert "evaluation.texts" in assert_problem(refused, 422, "invalid_request")["detail"]
        assert (await client.get(PATH)).json()["version"] == 1


async def test_two_writers_cannot_overwrite_each_other() -> None:
    async with local() as client:
        await put(client)
        assert_problem(await put(client), 412, "precondition_failed")
        assert_problem(await put(client, etag='"7"'), 412, "precondition_failed")
        done = await asyncio.gather(*(put(client, {"labels": [str(i)]}, '"1"') for i in range(5)))
        assert sorted(answer.status_code for answer in done) == [200, 412, 412, 412, 412]
        assert_problem(await put(client, etag="latest"), 422, "invalid_request")


async def test_a_roll_back_is_a_new_version_with_the_old_content() -> None:
    async with local() as client:
        await put(client)
        await put(client, {"labels": ["a"]}, '"1"')
        back = await client.post(PATH + "/rollback", json={"version": 1}, headers={"If-Match": '"2"'})
        assert back.json()["version"] == 3
        assert back.json()["labels"] == (await client.get(PATH + "@1")).json()["labels"]
        missing = await client.post(PATH + "/rollback", json={"version": 9}, headers={"If-Match": '"3"'})
        assert_problem(missing, 404, "not_found")


async def test_a_deleted_set_is_gone_and_counts_on_when_it_comes_again() -> None:
    async with local() as client:
        await put(client)
        assert (await client.delete(PATH)).status_code == 204
        for path in (PATH, PATH + "@1", PATH + "/versions"):
            assert_problem(await client.get(path), 404, "not_found")
        assert_problem(await client.delete(PATH), 404, "not_found")
        assert (await put(client)).json()["version"] == 2


async def test_another_tenants_set_does_not_exist() -> None:
    async with control_plane() as client:
        own, other = [await new_caller(client, name) for name in "ab"]
        assert (await client.put(PATH, json=BODY, headers=own)).status_code == 201
        for refused in (
            await client.get(PATH, headers=other),
            await client.get(PATH + "@1", headers=other),
            await client.get(PATH + "/versions", headers=other),
            await client.delete(PATH, headers=other),
            await client.post(PATH + "/rollback", json={"version": 1}, headers=other),
        ):
            assert_problem(refused, 404, "not_found")
        assert (await client.get("/v1/label-sets", headers=other)).json()["label_sets"] == []
        assert (await client.put(PATH, json=BODY, headers=other)).json()["version"] == 1
        assert (await client.get(PATH, headers=own)).json()["version"] == 1


async def test_each_endpoint_needs_its_scope() -> None:
    async with control_plane() as client:
        key = await new_caller(client, scopes=["classify"])
        reader = await new_caller(client, "Reader", scopes=["label_sets:read"])
        for method, path in (
            ("GET", "/v1/label-sets"),
            ("GET", PATH),
            ("PUT", PATH),
            ("DELETE", PATH),
            ("GET", PATH + "/versions"),
            ("POST", PATH + "/rollback"),
        ):
            assert_problem(await client.request(method, path, json=BODY), 401, "unauthorized")
            assert_problem(await client.request(method, path, json=BODY, headers=key), 403, "missing_scope")
            reading = await client.request(method, path, json=BODY, headers=reader)
            assert (reading.status_code == 403) is (method != "GET")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["a", "a"]}, "labels[1]"),
        ({"labels": [" "]}, "labels[0]"),
        ({"labels": ["a", {"label": "b", "hypothesis": "a"}]}, "labels[1]"),
        ({"labels": ["a" * 1_025]}, "labels[0]"),
        ({"labels": ["a", "a "]}, "labels[1]"),
        ({"hypothesis_template": "none"}, "hypothesis_template"),
        ({"hypothesis_template": "{}{}"}, "hypothesis_template"),
        ({"max_tokens": 4}, "max_tokens"),
        ({"threshold": 1.0}, "threshold"),
        ({"correction": {"biases": [1]}}, "correction.biases"),
        ({"correction": {"biases": [1, 100.1]}}, "correction.biases"),
        ({"correction": {"biases": [1, 1], "temperature": 0}}, "correction.temperature"),
        ({"correction": {"biases": [1, 1], "map": [[1, 1]]}}, "correction.map"),
        ({"correction": {"biases": [1, 1], "map": [[1, 1], [1]]}}, "correction.map[1]"),
        ({"correction": {"biases": [1, 1], "map": [[1, 1], [1, -101]]}}, "correction.map[1]"),
        ({"correction": {"biases": [1, 1], "map": [[1, 1]] * 2}, "multi_label": True}, "correction.map"),
        ({"correction": {"biases": [1], "map": [[1]]}, "labels": ["a"]}, "correction.map"),
        (
            {"correction": {"biases": [0] * 65, "map": [[0] * 65] * 65}, "labels": [str(i) for i in range(65)]},
            "correction.map",
        ),
        ({"threshold": 0}, "threshold"),
    ],
)
async def test_bad_content_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    async with local() as client:
        problem = assert_problem(await put(client, BODY | change), 422, "invalid_request")
    assert problem["field"] == field


@pytest.mark.parametrize("name", ["Tickets", "a b", "-a", "a" * 64, "täglich", "a@1"])
async def test_a_name_is_plain(name: str) -> None:
    async with local() as client:
        problem = assert_problem(await client.put(f"/v1/label-sets/{name}", json=BODY), 422, "invalid_request")
    assert problem["field"] == "name"
