"""Keys at every endpoint of the gateway, and what callers without one may do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.gateway import COMPLAINT, add_key, add_tenant, bearer, gateway, gateway_app
from tests.fakes.stores import Memory
from tests.problems import assert_problem

TEXT, LABELS = COMPLAINT["text"], COMPLAINT["labels"]
HUGGING_FACE = {"inputs": TEXT, "parameters": {"candidate_labels": LABELS}}
KSERVE = {
    "inputs": [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": [TEXT]},
        {"name": "labels", "datatype": "BYTES", "shape": [2], "data": LABELS},
    ]
}
CLASSIFICATIONS: list[tuple[str, Any]] = [
    ("/v1/classify", COMPLAINT),
    ("/hf/inference", HUGGING_FACE),
    ("/hf/pipeline", HUGGING_FACE),
    ("/predict", {"inputs": [["a", "b"], ["c", "b"]]}),
    ("/rerank", {"query": "b", "texts": ["a", "c"]}),
    ("/rerank", {"query": "b", "documents": ["a", "c"]}),
    ("/v1/rerank", {"query": "b", "documents": ["a", "c"]}),
    ("/v2/rerank", {"query": "b", "documents": ["a", "c"]}),
    ("/score", {"text_1": "a", "text_2": ["b", "c"]}),
    ("/v1/score", {"text_1": "a", "text_2": ["b", "c"]}),
    ("/classify", {"input": TEXT, "labels": LABELS}),
    ("/v1/moderations", {"input": TEXT, "labels": LABELS}),
    ("/v1/flexible/infers", {"args": [TEXT, LABELS]}),
    ("/v2/models/zero_shot/infer", KSERVE),
    ("/v2/models/zero_shot/versions/1/infer", KSERVE),
]
"""Of two pairs each."""
READS = ("/v1/models", "/v1/models/x")
ANYBODYS = {
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/cluster/auth",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{model}",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/versions/{version}/ready",
}


@pytest.mark.parametrize(("path", "body"), CLASSIFICATIONS)
async def test_every_classification_needs_a_key_and_takes_from_the_quota(path: str, body: Any) -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory, pairs_per_minute=2))
    async with gateway(memory=memory, require_key=True) as client:
        assert_problem(await client.post(path, json=body), 401, "unauthorized")
        answer = await client.post(path, json=body, headers=key)
        assert answer.headers["ratelimit"].startswith('"pairs";r=0;'), answer.text


@pytest.mark.parametrize(("path", "body"), [*CLASSIFICATIONS, ("/v1/tokenize", COMPLAINT)])
async def test_every_classification_needs_the_scope(path: str, body: Any) -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory), scopes=["label_sets:read"])
    async with gateway(memory=memory, require_key=True) as client:
        assert_problem(await client.post(path, json=body, headers=key), 403, "missing_scope")


def test_no_other_path_is_open_to_anybody() -> None:
    """An endpoint that nobody put on one of the lists fails here."""
    routes = gateway_app().router.routes
    own = {route.path for route in routes if type(route.app).__module__ == "web.operations"}  # type: ignore[attr-defined]
    tested = {path for path, _ in CLASSIFICATIONS} | {"/v1/tokenize", *READS}
    assert {path.format(model="zero_shot", version="1", model_id="x") for path in own - ANYBODYS} == tested


@pytest.mark.parametrize("path", READS)
async def test_the_list_of_models_needs_a_key_too(path: str) -> None:
    async with gateway(memory=Memory(), require_key=True) as client:
        assert_problem(await client.get(path), 401, "unauthorized")


async def test_a_refused_key_is_a_401_problem_that_says_how_to_give_one() -> None:
    async with gateway(require_key=True) as client:
        for headers in ({}, bearer("wn_wrong"), bearer("operator")):
            refused = await client.post("/v1/classify", json=COMPLAINT, headers=headers)
            problem = assert_problem(refused, 401, "unauthorized")
            assert refused.headers["www-authenticate"] == 'Bearer realm="wanneng"'
            assert problem["detail"] == "a valid key is needed: Authorization: Bearer wn_…"


async def test_a_database_that_is_gone_refuses_strangers_and_keeps_its_callers() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    async with gateway(memory=memory, require_key=True) as client:
        assert (await client.post("/v1/classify", json=COMPLAINT, headers=key)).status_code == 200
        memory.down = True
        assert (await client.post("/v1/classify", json=COMPLAINT, headers=key)).status_code == 200
        stranger = bearer(f"wn_{'0' * 12}_{'0' * 48}")
        refused = await client.post("/v1/classify", json=COMPLAINT, headers=stranger)
        assert_problem(refused, 503, "store_unavailable")
        assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("localhost", 200), ("0.0.0.0", 401), ("10.1.2.3", 401), ("gateway", 401)],
)
async def test_on_loopback_alone_no_key_is_needed(host: str, status: int) -> None:
    async with gateway(host=host) as client:
        assert (await client.post("/v1/classify", json=COMPLAINT)).status_code == status


async def test_no_key_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    memory, lines = Memory(), list[bytes]()
    key = add_key(memory, add_tenant(memory))
    secret = key["Authorization"].removeprefix("Bearer ")
    worker = bearer("w" * 32) | {"X-Wanneng-Tenant": "acme"}
    with caplog.at_level("DEBUG"):
        async with gateway(memory=memory, lines=lines, require_key=True, internal_key="w" * 32) as client:
            for headers in (key, bearer(secret + "0"), worker, worker | bearer("w" * 33)):
                await client.post("/v1/classify", json=COMPLAINT, headers=headers)
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("gateway", "web"))]
    ours = "\n".join([*said, *(line.decode() for line in lines)])
    assert "acme" in ours
    assert secret not in ours
    assert "w" * 32 not in ours


async def test_the_end_of_a_gateway_keeps_when_its_keys_were_used() -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    async with gateway(memory=memory, require_key=True) as client:
        await client.post("/v1/classify", json=COMPLAINT, headers=key)
    assert [stored.last_used_at is not None for stored in memory.keys.values()] == [True]
