"""What every entrance promises; each is a check that one entrance passes or fails."""

from __future__ import annotations

import asyncio
import gzip
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from stores.budgets import Budget
from stores.tenants import READ_LABEL_SETS
from tests.fakes.backend import INVISIBLE, FakeBackend
from tests.fakes.gateway import JSON, add_key, add_tenant, gateway, gateway_app
from tests.fakes.stores import Memory
from tests.gateway.api.entrances import Entrance
from tests.problems import assert_problem
from web.kserve import HEADER_LENGTH

TEXT, OTHER_TEXT = "投诉一下", "诉说一下"
LONG_TEXT = "投" * 600
SLOW = 60.0


@dataclass(frozen=True)
class Promise:
    """A row of the table, in both languages, and its check."""

    english: str
    chinese: str
    check: Callable[[Entrance], Awaitable[None]]


async def ask(
    client: httpx.AsyncClient,
    entrance: Entrance,
    *texts: str,
    truncate: bool = True,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    content, own = entrance.body(texts or (TEXT,), truncate)
    return await client.post(entrance.path, content=content, headers=JSON | own | (headers or {}))


async def _authentication(entrance: Entrance) -> None:
    memory = Memory()
    tenant = add_tenant(memory)
    async with gateway(memory=memory, require_key=True) as client:
        assert_problem(await ask(client, entrance), 401, "unauthorized")
        narrow = add_key(memory, tenant, [READ_LABEL_SETS])
        assert_problem(await ask(client, entrance, headers=narrow), 403, "missing_scope")
        assert (await ask(client, entrance, headers=add_key(memory, tenant))).status_code == 200


async def _isolation(entrance: Entrance) -> None:
    memory, backend = Memory(), FakeBackend()
    keys = [add_key(memory, add_tenant(memory, name)) for name in ("acme", "other")]
    async with gateway(backend, memory=memory, require_key=True) as client:
        computed = []
        for key in (*keys, *keys):
            assert (await ask(client, entrance, headers=key)).status_code == 200
            computed.append(sum(pair.text == TEXT for call in backend.calls for pair in call.pairs))
    first = entrance.pairs_per_text
    assert computed == [first, 2 * first, 2 * first, 2 * first], "what one tenant has asked is no other's answer"


async def _request_quota(entrance: Entrance) -> None:
    async with _tenant(requests_per_minute=1) as (client, key):
        texts = [f"{TEXT}{number}" for number in range(min(16, entrance.max_texts))]
        assert (await ask(client, entrance, *texts, headers=key)).status_code == 200
        assert_problem(await ask(client, entrance, headers=key), 429, "quota_exceeded")


async def _pair_quota(entrance: Entrance) -> None:
    async with _tenant(pairs_per_minute=entrance.pairs_per_text) as (client, key):
        answer = await ask(client, entrance, headers=key)
        assert (answer.status_code, answer.headers["RateLimit"].split(";")[1]) == (200, "r=0")
        refused = await ask(client, entrance, OTHER_TEXT, headers=key)
        assert_problem(refused, 429, "quota_exceeded")
        assert int(refused.headers["Retry-After"]) > 0


async def _token_quota(entrance: Entrance) -> None:
    async with _tenant(tokens_per_minute=100) as (client, key):
        assert (await ask(client, entrance, headers=key)).status_code == 200
        assert_problem(await ask(client, entrance, LONG_TEXT, headers=key), 429, "quota_exceeded")


async def _budget(entrance: Entrance) -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory, budget=Budget(entrance.pairs_per_text)))
    async with gateway(memory=memory, require_key=True) as client:
        answer = await ask(client, entrance, headers=key)
        used = entrance.pairs_per_text
        assert answer.status_code == 200
        assert answer.headers["X-Wanneng-Budget"].startswith(f"tenant-pairs;limit={used};used={used};")
        refused = await ask(client, entrance, OTHER_TEXT, headers=key)
        assert_problem(refused, 429, "budget_exceeded")
        assert int(refused.headers["Retry-After"]) == 31 * 86_400


async def _retry_after(entrance: Entrance) -> None:
    async with _tenant(requests_per_minute=60) as (client, key):
        for _ in range(70):
            answer = await ask(client, entrance, headers=key)
            if answer.status_code != 200:
                break
        assert_problem(answer, 429, "quota_exceeded")
        await asyncio.sleep(int(answer.headers["Retry-After"]))
        assert (await ask(client, entrance, headers=key)).status_code == 200


async def _deadline(entrance: Entrance) -> None:
    backend = FakeBackend(delay_s=SLOW)
    async with gateway(backend) as client:
        texts = [f"{TEXT}{number}" for number in range(min(16, entrance.max_texts))]
        async with asyncio.timeout(SLOW / 2):
            late = await ask(client, entrance, *texts, headers={"X-Request-Timeout": "0.1"})
    assert_problem(late, 504, "deadline_exceeded")


async def _cancellation(entrance: Entrance) -> None:
    backend, gone = FakeBackend(delay_s=SLOW), asyncio.Event()
    content, own = entrance.body((TEXT,), True)
    app = gateway_app(backend)
    headers = [(b"host", b"127.0.0.1:8080"), (b"content-type", b"application/json")]
    headers += [(name.lower().encode(), value.encode()) for name, value in own.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": entrance.path,
        "headers": headers,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
    }
    messages = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        """Nobody receives it."""

    async with asyncio.timeout(SLOW / 2):
        asking = asyncio.create_task(app(scope, receive, send))
        while backend.under_way == 0:
            await asyncio.sleep(0.01)
        gone.set()
        await asking


async def _usage(entrance: Entrance) -> None:
    memory = Memory()
    key = add_key(memory, add_tenant(memory))
    async with gateway(memory=memory, require_key=True) as client:
        answer = await ask(client, entrance, headers=key)
    told = entrance.told(answer)
    (day,) = memory.usage.values()
    assert (day.requests, day.pairs_computed, day.pairs_cached) == (1, entrance.pairs_per_text, 0)
    assert day.tokens == told.tokens == entrance.pairs_per_text * len(TEXT)


async def _fresh(entrance: Entrance) -> None:
    backend = FakeBackend()
    async with gateway(backend) as client:
        for headers in ({}, {}, {"Cache-Control": "no-cache"}):
            assert (await ask(client, entrance, headers=headers)).status_code == 200
    assert sum(pair.text == TEXT for call in backend.calls for pair in call.pairs) == 2 * entrance.pairs_per_text


async def _request_id(entrance: Entrance) -> None:
    async with gateway() as client:
        for text in (TEXT, ""):
            answer = await ask(client, entrance, text, headers={"X-Request-Id": "mine-1"})
            assert answer.headers["X-Request-Id"] == "mine-1"
        forged = await ask(client, entrance, headers={"X-Request-Id": "a b"})
        assert len(forged.headers["X-Request-Id"]) == 32


async def _errors(entrance: Entrance) -> None:
    async with gateway() as client:
        document = assert_problem(await ask(client, entrance, " "), 422, "invalid_request")
    assert entrance.error(document) == document["detail"]
    assert document["field"].startswith(("text", "inputs", "input", "documents", "data_1", "queries", "sentences"))


async def _truncation(entrance: Entrance) -> None:
    async with gateway() as client:
        assert entrance.told(await ask(client, entrance, LONG_TEXT)).truncated
        assert not entrance.told(await ask(client, entrance)).truncated


async def _no_truncation(entrance: Entrance) -> None:
    async with gateway() as client:
        assert_problem(await ask(client, entrance, LONG_TEXT, truncate=False), 422, "invalid_request")
        assert (await ask(client, entrance, truncate=False)).status_code == 200


async def _unreadable(entrance: Entrance) -> None:
    async with gateway() as client:
        assert_problem(await ask(client, entrance, INVISIBLE), 422, "nothing_to_read")


async def _unknown(entrance: Entrance) -> None:
    async with gateway() as client:
        assert entrance.told(await ask(client, entrance, "投?")).unknown
        assert not entrance.told(await ask(client, entrance)).unknown


async def _model(entrance: Entrance) -> None:
    async with gateway() as client:
        assert entrance.told(await ask(client, entrance)).model == "fake@engine-1"


async def _size(entrance: Entrance) -> None:
    async with gateway(max_body_bytes=1_000) as client:
        assert_problem(await ask(client, entrance, LONG_TEXT), 413, "body_too_large")
        assert (await ask(client, entrance)).status_code == 200


async def _count(entrance: Entrance) -> None:
    texts = [f"{TEXT}{number}" for number in range(entrance.max_texts + 1)]
    async with gateway() as client:
        assert_problem(await ask(client, entrance, *texts), 422, "invalid_request")
        assert (await ask(client, entrance, *texts[1:])).status_code == 200


async def _compressed(entrance: Entrance) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    async with gateway(max_body_bytes=1_000) as client:
        for text, status in ((TEXT, 200), (LONG_TEXT, 413)):
            content, own = entrance.body((text,), True)
            packed = gzip.compress(content)
            assert len(packed) < 1_000
            answer = await client.post(entrance.path, content=packed, headers=headers | own)
            assert answer.status_code == status


async def _byte_order_mark(entrance: Entrance) -> None:
    content, own = entrance.body((TEXT,), True)
    if HEADER_LENGTH in own:
        own[HEADER_LENGTH] = str(int(own[HEADER_LENGTH]) + len(BOM_UTF8))
    async with gateway() as client:
        answer = await client.post(entrance.path, content=BOM_UTF8 + content, headers=JSON | own)
    assert answer.status_code == 200


@asynccontextmanager
async def _tenant(**quota: Any) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """A gateway with one tenant of this quota, and the header of its key."""
    memory = Memory()
    key = add_key(memory, add_tenant(memory, **quota))
    async with gateway(memory=memory, require_key=True) as client:
        yield client, key


PROMISES = (
    Promise("keys and scopes", "密钥与权限", _authentication),
    Promise("cache isolated by tenant", "租户之间不共享缓存", _isolation),
    Promise(
        "one HTTP request counts as one request of the quota", "每个 HTTP 请求只计一次请求配额", _request_quota
    ),
    Promise("pair quota", "句对配额", _pair_quota),
    Promise("token quota", "token 配额", _token_quota),
    Promise("monthly budget", "月度预算", _budget),
    Promise("a retry after `Retry-After` succeeds", "按 `Retry-After` 等待后即可成功", _retry_after),
    Promise("one deadline (`X-Request-Timeout`)", "统一的期限（`X-Request-Timeout`）", _deadline),
    Promise("a request ends when its client disconnects", "客户端断开后请求随即结束", _cancellation),
    Promise("usage recorded, tokens reported", "计入用量并告知 token 数", _usage),
    Promise("`Cache-Control: no-cache`", "`Cache-Control: no-cache`", _fresh),
    Promise("`X-Request-Id`", "`X-Request-Id`", _request_id),
    Promise("errors in the format of the API", "错误格式符合该 API 客户端的预期", _errors),
    Promise("truncation reported", "告知截断", _truncation),
    Promise("`truncate: false`", "`truncate: false`", _no_truncation),
    Promise("`nothing_to_read`", "`nothing_to_read`", _unreadable),
    Promise("unknown tokens reported", "告知未知 token", _unknown),
    Promise("model and version reported", "告知模型及版本", _model),
    Promise("limit on the body size", "请求体大小受限", _size),
    Promise("limit on the number of texts", "文本数量受限", _count),
    Promise("compressed bodies, within the same limit", "压缩请求体，解压后同样受限", _compressed),
    Promise("byte order mark accepted", "接受 BOM", _byte_order_mark),
)
