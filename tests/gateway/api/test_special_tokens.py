"""`special_tokens` of a request, a label set and a tenant, at every entrance."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stores.special_tokens import SpecialTokens
from tests.fakes.backend import FakeBackend
from tests.fakes.gateway import add_key, add_label_set, add_tenant, bearer, gateway
from tests.fakes.stores import Memory
from tests.problems import assert_problem
from web.authentication import TENANT_HEADER

TEXT, LABEL = "投诉[SEP]", "投[MASK]"
HYPOTHESIS = "[S{}EP]"
INTERNAL_KEY = "internal-key-0123456789-0123456789"


def tensor(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]}


ENTRANCES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/classify", {"text": TEXT, "labels": [LABEL]}),
    ("/v1/classify", {"texts": [TEXT], "labels": [LABEL]}),
    ("/hf/inference", {"inputs": TEXT, "parameters": {"candidate_labels": [LABEL]}}),
    ("/hf/pipeline", {"inputs": TEXT, "parameters": {"candidate_labels": [LABEL]}}),
    ("/v2/models/zero_shot/infer", {"inputs": [tensor("text", TEXT), tensor("labels", LABEL)]}),
    ("/predict", {"inputs": [TEXT, LABEL]}),
    ("/rerank", {"query": LABEL, "texts": [TEXT], "return_text": True}),
]


def tenant_with(memory: Memory, special_tokens: SpecialTokens, name: str = "acme") -> dict[str, str]:
    """The header of its key."""
    return add_key(memory, add_tenant(memory, name, special_tokens=special_tokens))


def asked(backend: FakeBackend) -> str:
    """What special tokens are in the last call, whose text and label are as the caller wrote them."""
    call = backend.calls[-1]
    assert (call.pairs[0].text, call.pairs[0].label) in ((TEXT, LABEL), (TEXT, HYPOTHESIS))
    return call.special_tokens


@pytest.mark.parametrize(("path", "body"), ENTRANCES)
async def test_a_tenants_special_tokens_hold_at_every_entrance(path: str, body: dict[str, Any]) -> None:
    memory, backend = Memory(), FakeBackend()
    keys = {"model": tenant_with(memory, "model", "a"), "text": tenant_with(memory, "text", "b")}
    async with gateway(backend, memory, require_key=True) as client:
        for special_tokens in ("model", "text"):
            answer = await client.post(path, json=body, headers=keys[special_tokens])
            assert answer.status_code == 200, answer.text
            assert asked(backend) == special_tokens


@pytest.mark.parametrize("tenant", ["acme", "local"])
async def test_they_hold_for_lines_of_batches_and_callers_without_a_key(tenant: str) -> None:
    memory, backend = Memory(), FakeBackend()
    tenant_with(memory, "text", tenant)
    headers = {} if tenant == "local" else bearer(INTERNAL_KEY) | {TENANT_HEADER: tenant}
    async with gateway(backend, memory, internal_key=INTERNAL_KEY) as client:
        await client.post("/v1/classify", json={"text": TEXT, "labels": [LABEL]}, headers=headers)
    assert asked(backend) == "text"


@pytest.mark.parametrize(
    ("tenant", "label_set", "request_", "is_text"),
    [
        ("model", None, None, False),
        ("text", None, None, True),
        ("model", "text", None, True),
        ("text", "model", None, False),
        ("model", "model", "text", True),
        ("text", "text", "model", False),
    ],
)
async def test_a_request_wins_over_the_label_set_and_that_over_the_tenant(
    tenant: SpecialTokens, label_set: SpecialTokens | None, request_: SpecialTokens | None, is_text: bool
) -> None:
    memory, backend = Memory(), FakeBackend()
    key = tenant_with(memory, tenant)
    add_label_set(memory, [(LABEL, HYPOTHESIS), "咨询"], tenant_id="acme", special_tokens=label_set)
    body = {"text": TEXT, "label_set": "tickets", "special_tokens": request_}
    async with gateway(backend, memory, require_key=True) as client:
        answer = (await client.post("/v1/classify", json=body, headers=key)).json()
    assert asked(backend) == ("text" if is_text else "model")
    assert sorted(answer["labels"]) == sorted([LABEL, "咨询"])


async def test_a_cached_pair_of_one_mode_never_answers_the_other() -> None:
    body = {"text": TEXT, "labels": [LABEL]}
    async with gateway() as client:
        await client.get("/readyz")
        for computed, cached in ((1, 0), (0, 1)):
            for special_tokens in ("model", "text"):
                answer = await client.post("/v1/classify", json=body | {"special_tokens": special_tokens})
                assert answer.json()["pairs"] == {"computed": computed, "cached": cached}


async def test_requests_of_both_kinds_at_once_are_calls_of_their_own() -> None:
    """A call to Triton has one kind, whoever its pairs are of."""
    backend = FakeBackend(delay_s=0.01)
    async with gateway(backend) as client:
        await client.get("/readyz")
        bodies = [
            {"text": f"{TEXT}{number}", "labels": [LABEL], "special_tokens": special_tokens}
            for number in range(8)
            for special_tokens in ("model", "text")
        ]
        answers = await asyncio.gather(*(client.post("/v1/classify", json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    texts = {
        kind: sorted(pair.text for call in backend.calls if call.special_tokens == kind for pair in call.pairs)
        for kind in ("model", "text")
    }
    assert texts["model"] == texts["text"] == [f"{TEXT}{number}" for number in range(8)]


async def test_tokens_are_counted_as_they_are_classified() -> None:
    memory, backend = Memory(), FakeBackend()
    key = tenant_with(memory, "text")
    async with gateway(backend, memory, require_key=True) as client:
        for special_tokens, expected in ((None, "text"), ("model", "model")):
            body: dict[str, Any] = {"text": TEXT, "special_tokens": special_tokens}
            assert (await client.post("/v1/tokenize", json=body, headers=key)).status_code == 200
            assert backend.counted[-1].special_tokens == expected
            body |= {"labels": [LABEL], "truncate": False, "max_tokens": 8}
            assert_problem(await client.post("/v1/classify", json=body, headers=key), 422, "invalid_request")
            assert backend.counted[-1].special_tokens == expected


@pytest.mark.parametrize("value", ["TEXT", "", 1, True])
async def test_anything_else_is_refused(value: Any) -> None:
    body = {"text": TEXT, "labels": [LABEL], "special_tokens": value}
    async with gateway() as client:
        assert_problem(await client.post("/v1/classify", json=body), 422, "invalid_request")
