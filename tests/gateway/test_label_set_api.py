"""Label sets through the whole application: versions, ETags, isolation, and questions that use them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.gateway.test_api import assert_problem
from tests.gateway.test_tenant_api import OPERATOR, bearer, gateway, new_key, new_tenant

PATH = "/v1/label-sets/tickets"
BODY: dict[str, Any] = {"labels": ["投诉", {"label": "咨询", "hypothesis": "用户在咨询"}]}


async def put(
    client: httpx.AsyncClient, body: dict[str, Any] | None = None, etag: str | None = None
) -> httpx.Response:
    return await client.put(PATH, json=body or BODY, headers={"If-Match": etag} if etag else {})


def local() -> Any:
    """A gateway that asks for no key: everything is the local tenant's."""
    return gateway(require_key=False)


async def test_a_put_makes_versions_that_stay() -> None:
    async with local() as client:
        first = await put(client)
        assert (first.status_code, first.headers["etag"], first.json()["version"]) == (201, '"1"', 1)
        second = await put(client, {"labels": ["a", "b"]}, '"1"')
        assert (second.status_code, second.headers["etag"]) == (200, '"2"')
        assert (await client.get(PATH)).json()["version"] == 2
        assert (await client.get(PATH + "@1")).json()["labels"] == first.json()["labels"]
        versions = (await client.get(PATH + "/versions")).json()["label_sets"]
        assert [one["version"] for one in versions] == [2, 1]
        listed = (await client.get("/v1/label-sets")).json()["label_sets"]
        assert [(one["name"], one["version"]) for one in listed] == [("tickets", 2)]


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
        gone = await client.post(PATH + "/rollback", json={"version": 9}, headers={"If-Match": '"3"'})
        assert_problem(gone, 404, "not_found")


async def test_a_deleted_set_is_gone_and_counts_on_when_it_comes_again() -> None:
    async with local() as client:
        await put(client)
        assert (await client.delete(PATH)).status_code == 204
        for path in (PATH, PATH + "@1", PATH + "/versions"):
            assert_problem(await client.get(path), 404, "not_found")
        assert_problem(await client.delete(PATH), 404, "not_found")
        assert (await put(client)).json()["version"] == 2


async def test_a_question_names_a_set_or_a_version_of_it() -> None:
    async with local() as client:
        await put(client)
        await put(client, {"labels": ["a", "b", "c"]}, '"1"')
        for reference, version, count in (("tickets", 2, 3), ("tickets@1", 1, 2)):
            answer = (await client.post("/v1/classify", json={"text": "投诉", "label_set": reference})).json()
            assert answer["label_set"] == f"tickets@{version}"
            assert len(answer["labels"]) == count


async def test_a_label_is_asked_by_its_hypothesis_and_answered_by_its_name() -> None:
    """The fake counts characters of the hypothesis in the text: `用户在咨询` has five, `投诉` two."""
    async with local() as client:
        await put(client)
        answer = (
            await client.post("/v1/classify", json={"text": "投诉用户在咨询", "label_set": "tickets"})
        ).json()
    assert answer["labels"] == ["咨询", "投诉"]


async def test_a_text_below_the_threshold_is_none_of_these() -> None:
    """Entailment of 5 against two zeros is 0.987, of 0 it is 0.333: each pair's own, not among the labels."""
    async with local() as client:
        await put(client, {"labels": ["用户在咨询"], "threshold": 0.9})
        for text, none in (("用户在咨询", False), ("天气", True)):
            answer = (await client.post("/v1/classify", json={"text": text, "label_set": "tickets"})).json()
            assert answer["none_of_these"] is none
        await put(client, {"labels": ["用户在咨询"]}, '"1"')
        answer = (await client.post("/v1/classify", json={"text": "天气", "label_set": "tickets"})).json()
        assert "none_of_these" not in answer


async def test_the_threshold_is_on_a_pairs_own_probability() -> None:
    """`天` entails with 1 against two zeros, 0.58, though among the two labels it has 0.73."""
    async with local() as client:
        await put(client, {"labels": ["天", "用户在咨询"], "threshold": 0.65})
        answer = (await client.post("/v1/classify", json={"text": "天", "label_set": "tickets"})).json()
    assert answer["scores"][0] == pytest.approx(0.731, abs=0.001)
    assert answer["none_of_these"] is True


async def test_another_tenants_set_does_not_exist() -> None:
    async with gateway() as client:
        one, other = [bearer((await new_key(client, await new_tenant(client, name)))["key"]) for name in "ab"]
        assert (await client.put(PATH, json=BODY, headers=one)).status_code == 201
        question = {"text": "x", "label_set": "tickets"}
        for refused in (
            await client.get(PATH, headers=other),
            await client.get(PATH + "@1", headers=other),
            await client.get(PATH + "/versions", headers=other),
            await client.delete(PATH, headers=other),
            await client.post("/v1/classify", json=question, headers=other),
        ):
            assert_problem(refused, 404, "not_found")
        assert (await client.get("/v1/label-sets", headers=other)).json() == {"label_sets": []}
        assert (await client.put(PATH, json=BODY, headers=other)).json()["version"] == 1
        assert (await client.post("/v1/classify", json=question, headers=one)).status_code == 200


async def test_each_path_wants_its_scope() -> None:
    async with gateway() as client:
        tenant = await new_tenant(client)
        made = await client.post(f"/v1/tenants/{tenant}/keys", json={"scopes": ["classify"]}, headers=OPERATOR)
        key = bearer(made.json()["key"])
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


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["a", "a"]}, "labels[1]"),
        ({"labels": [" "]}, "labels[0]"),
        ({"labels": ["a", {"label": "b", "hypothesis": "a"}]}, "labels[1]"),
        ({"labels": ["a" * 1_025]}, "labels[0]"),
        ({"hypothesis_template": "none"}, "hypothesis_template"),
        ({"hypothesis_template": "{}{}"}, "hypothesis_template"),
        ({"max_tokens": 4}, "max_tokens"),
        ({"threshold": 1.0}, "threshold"),
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


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "x", "label_set": "tickets", "labels": ["a"]}, "label_set"),
        ({"text": "x", "label_set": "tickets", "multi_label": True}, "multi_label"),
        ({"text": "x", "label_set": "tickets", "hypothesis_template": "這{}"}, "hypothesis_template"),
        ({"text": "x", "label_set": "tickets", "max_tokens": 64}, "max_tokens"),
        ({"text": "x"}, "labels"),
    ],
)
async def test_what_a_set_says_is_not_said_twice(body: dict[str, Any], field: str) -> None:
    async with local() as client:
        await put(client)
        problem = assert_problem(await client.post("/v1/classify", json=body), 422, "invalid_request")
    assert problem["field"] == field


async def test_a_new_version_never_meets_an_old_score() -> None:
    """The same label with another hypothesis is another pair."""
    async with local() as client:
        await put(client, {"labels": ["投诉", {"label": "别的", "hypothesis": "天"}]})
        text = {"text": "天天投诉", "label_set": "tickets"}
        old = (await client.post("/v1/classify", json=text)).json()
        await put(client, {"labels": ["投诉", {"label": "别的", "hypothesis": "投诉天天投诉天天"}]}, '"1"')
        new = (await client.post("/v1/classify", json=text)).json()
    assert (old["labels"][0], new["labels"][0]) == ("投诉", "别的")
    assert new["pairs"] == {"computed": 1, "cached": 1}
