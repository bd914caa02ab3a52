"""What is known is not computed again, counted where it would be computed: at the real Triton."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from tests.e2e.server import Server

LABELS = [f"标签{i}" for i in range(20)]


async def ask(server: Server, body: dict[str, Any], key: str | None = None, **headers: str) -> dict[str, Any]:
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        answer: dict[str, Any] = (await client.post("/v1/classify", json=body, headers=headers)).json()
    assert "labels" in answer, answer
    return answer


class Computed:
    """Pairs that Triton's engine computed since this was made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before, _ = server.pairs_and_executions()

    @property
    def pairs(self) -> int:
        return self._server.pairs_and_executions()[0] - self._before


@pytest.fixture(scope="module", autouse=True)
def settled(server: Server) -> None:
    """A gateway that has just started has a few pairs computed, to see that Triton is there."""
    deadline = time.monotonic() + 30
    before, since = server.pairs_and_executions(), time.monotonic()
    while time.monotonic() - since < 2:
        assert time.monotonic() < deadline, "somebody else is asking"
        time.sleep(0.1)
        if (now := server.pairs_and_executions()) != before:
            before, since = now, time.monotonic()


@pytest.fixture
def keys(server: Server) -> list[str]:
    """Keys of two tenants of this server."""
    operator = {"Authorization": f"Bearer {(server.state_dir / 'admin.key').read_text(encoding='utf-8').strip()}"}
    made = []
    with httpx.Client(base_url=server.url, headers=operator, trust_env=False) as client:
        known = {tenant["name"]: tenant["id"] for tenant in client.get("/v1/tenants?limit=100").json()["tenants"]}
        for name in ("one", "other"):
            tenant = known.get(name) or client.post("/v1/tenants", json={"name": name}).json()["id"]
            made.append(str(client.post(f"/v1/tenants/{tenant}/keys", json={}).json()["key"]))
    return made


async def test_five_new_labels_of_twenty_are_five_pairs(server: Server) -> None:
    body = {"text": "二十个标签里换掉五个", "labels": LABELS}
    first = await ask(server, body)
    assert first["pairs"] == {"computed": 20, "cached": 0}
    computed = Computed(server)
    second = await ask(server, body | {"labels": [*LABELS[5:], *(f"新标签{i}" for i in range(5))]})
    assert second["pairs"] == {"computed": 5, "cached": 15}
    assert computed.pairs == 5


async def test_a_cached_answer_is_the_computed_one(server: Server) -> None:
    body = {"text": "屏幕碎了" * 200, "labels": LABELS[:6], "max_tokens": 64}
    first = await ask(server, body)
    computed = Computed(server)
    cached = await ask(server, body)
    assert computed.pairs == 0
    assert cached["pairs"] == {"computed": 0, "cached": 6}
    for name in ("labels", "scores", "truncated", "cut", "model", "model_version"):
        assert cached[name] == first[name]


async def test_a_hundred_at_once_compute_each_pair_once(server: Server) -> None:
    body = {"text": "一百个请求同时到达", "labels": LABELS[:8]}
    computed = Computed(server)
    answers = await asyncio.gather(*(ask(server, body) for _ in range(100)))
    assert computed.pairs == 8
    assert sum(answer["pairs"]["computed"] for answer in answers) == 8
    assert all(answer["scores"] == answers[0]["scores"] for answer in answers)


async def test_a_second_tenant_computes_all_its_pairs(server: Server, keys: list[str]) -> None:
    body = {"text": "两个租户问同样的问题", "labels": LABELS[:7]}
    for key in keys:
        computed = Computed(server)
        assert (await ask(server, body, key))["pairs"] == {"computed": 7, "cached": 0}
        assert computed.pairs == 7
    assert (await ask(server, body, keys[0]))["pairs"] == {"computed": 0, "cached": 7}


async def test_two_tenants_at_once_share_nothing(server: Server, keys: list[str]) -> None:
    body = {"text": "两个租户同时问", "labels": LABELS[:7]}
    computed = Computed(server)
    answers = await asyncio.gather(*(ask(server, body, keys[i % 2]) for i in range(20)))
    assert computed.pairs == 14
    assert sum(answer["pairs"]["computed"] for answer in answers) == 14


async def test_no_cache_asks_for_a_fresh_computation(server: Server) -> None:
    body = {"text": "请重新计算", "labels": LABELS[:3]}
    await ask(server, body)
    computed = Computed(server)
    assert (await ask(server, body, **{"Cache-Control": "no-cache"}))["pairs"] == {"computed": 3, "cached": 0}
    assert computed.pairs == 3
