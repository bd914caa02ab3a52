"""OpenAI's models and moderations, and what Xinference's clients ask for."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.errors import TritonUnavailable
from stores.errors import ServiceError
from stores.tenants import READ_BATCHES
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import COMPLAINT, add_key, add_label_set, add_tenant, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem

LABELS = ["咨询", "投诉"]
TEXT = COMPLAINT["text"]


def memory_with(**content: Any) -> Memory:
    memory = Memory()
    add_label_set(memory, LABELS, **content)
    return memory


async def until_ready(client: httpx.AsyncClient) -> None:
    """Until Triton has answered, and told which model it has."""
    async with asyncio.timeout(5):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)


async def test_the_models_are_ours_and_each_label_set_is_one() -> None:
    async with gateway(memory=memory_with()) as client:
        await until_ready(client)
        listed = (await client.get("/v1/models")).json()
        assert listed["object"] == "list"
        assert [(each["id"], each["model_type"]) for each in listed["data"]] == [
            ("fake", "flexible"),
            ("zero_shot", "flexible"),
            ("rerank", "rerank"),
        ]
        for model in listed["data"]:
            assert model["contract"] == {"max_tokens": 512}
            assert (await client.get(f"/v1/models/{model['id']}")).json() == model
        for reference in ("tickets", "tickets@1"):
            found = (await client.get(f"/v1/models/{reference}")).json()
            assert (found["id"], found["object"], found["owned_by"]) == (reference, "model", "wanneng")
            assert found["created"] > 0
        for unknown in ("tickets@2", "other", "%00"):
            assert_problem(await client.get(f"/v1/models/{unknown}"), 404, "not_found")


async def test_models_need_a_key_of_their_tenant() -> None:
    memory = memory_with()
    acme = add_tenant(memory)
    key, other = add_key(memory, acme), add_key(memory, acme, scopes=[READ_BATCHES])
    async with gateway(memory=memory, require_key=True) as client:
        await until_ready(client)
        assert_problem(await client.get("/v1/models"), 401, "unauthorized")
        assert_problem(await client.get("/v1/models", headers=other), 403, "missing_scope")
        assert (await client.get("/v1/models", headers=key)).status_code == 200
        assert_problem(await client.get("/v1/models/tickets", headers=key), 404, "not_found")


async def test_there_is_no_model_while_no_triton_answers() -> None:
    failure: ServiceError = TritonUnavailable("down")
    async with gateway(FakeBackend(failure=failure)) as client:
        error = assert_problem(await client.get("/v1/models"), 503, "triton_unavailable")
    assert error["error"]["type"] == "server_error"


@pytest.mark.parametrize(("threshold", "flagged"), [(None, [True, False]), (0.8, [False, False])])
async def test_the_labels_of_a_set_are_the_categories(threshold: float | None, flagged: list[bool]) -> None:
    texts = [TEXT, "你好"]
    async with gateway(memory=memory_with(threshold=threshold)) as client:
        answer = (await client.post("/v1/moderations", json={"model": "tickets", "input": texts})).json()
        body = {"texts": texts, "labels": LABELS, "entailment": True}
        ours = (await client.post("/v1/classify", json=body)).json()["results"]
    assert [each["flagged"] for each in answer["results"]] == flagged
    for result, own in zip(answer["results"], ours, strict=True):
        assert list(result["category_scores"]) == LABELS
        assert result["category_scores"] == pytest.approx(dict(zip(own["labels"], own["entailment"], strict=True)))
        assert result["categories"] == {
            label: score >= (threshold or 0.5) for label, score in result["category_scores"].items()
        }
        assert result["category_applied_input_types"] == {label: ["text"] for label in LABELS}
    assert answer["model"] == "tickets@1"
    assert answer["id"].startswith("modr-")
    assert answer["usage"]["total_tokens"] == 2 * (len(TEXT) + len("你好"))


async def test_an_input_is_a_text_or_texts_or_the_parts_of_one() -> None:
    parts = [{"type": "text", "text": "我要"}, {"type": "text", "text": "投诉"}]
    async with gateway(memory=memory_with()) as client:
        counts = [
            len(
                (await client.post("/v1/moderations", json={"model": "tickets", "input": given})).json()["results"]
            )
            for given in (TEXT, [TEXT], [TEXT, "你好"], parts)
        ]
        assert counts == [1, 1, 2, 1]
        cut = (await client.post("/v1/moderations", json={"model": "tickets", "input": "长" * 600})).json()
        assert cut["results"][0]["truncated"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"input": TEXT}, 422, "model"),
        ({"input": TEXT, "model": "omni-moderation-latest"}, 404, "label set"),
        ({"model": "tickets"}, 422, "input"),
        ({"model": "tickets", "input": []}, 422, "empty"),
        ({"model": "tickets", "input": [TEXT, {"type": "text", "text": "a"}]}, 422, "input"),
        ({"model": "tickets", "input": [{"type": "image_url", "image_url": {"url": "x"}}]}, 422, "image_url"),
    ],
)
async def test_what_cannot_be_moderated_is_refused(body: dict[str, Any], status: int, word: str) -> None:
    async with gateway(memory=memory_with()) as client:
        refused = await client.post("/v1/moderations", json=body)
    code = "not_found" if status == 404 else "invalid_request"
    assert word in assert_problem(refused, status, code)["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"args": [TEXT], "candidate_labels": LABELS},
        {"args": [TEXT, LABELS]},
        {"args": [], "sequences": TEXT, "candidate_labels": "咨询,投诉"},
        {"args": [TEXT], "model": "tickets"},
    ],
)
async def test_a_flexible_model_answers_as_the_pipeline(body: dict[str, Any]) -> None:
    async with gateway(memory=memory_with()) as client:
        ours = (await client.post("/v1/classify", json={"text": TEXT, "labels": LABELS})).json()
        answer = (await client.post("/v1/flexible/infers", json={"model": "fake", "device": 0} | body)).json()
    assert answer == {"sequence": TEXT, "labels": ours["labels"], "scores": ours["scores"]}


async def test_a_flexible_model_does_what_its_options_say() -> None:
    body = {"model": "fake", "args": [[TEXT, "你好"], LABELS], "multi_label": True}
    async with gateway() as client:
        answers = (await client.post("/v1/flexible/infers", json=body)).json()
        assert [each["sequence"] for each in answers] == [TEXT, "你好"]
        assert sum(answers[0]["scores"]) > 1.2
        wrong = body | {"hypothesis_template": "none"}
        assert_problem(await client.post("/v1/flexible/infers", json=wrong), 422, "invalid_request")
        for args in ([], ["a", "b", "c"]):
            refused = await client.post("/v1/flexible/infers", json={"model": "fake", "args": args})
            assert assert_problem(refused, 422, "invalid_request")["field"] == "args"


async def test_xinferences_clients_learn_that_a_key_may_be_sent() -> None:
    """Also where none is needed: the key says whose request it is."""
    for require_key in (True, False):
        async with gateway(require_key=require_key) as client:
            assert (await client.get("/v1/cluster/auth")).json() == {"auth": True}
