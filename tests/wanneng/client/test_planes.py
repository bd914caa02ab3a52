"""The client against the applications of both planes themselves: what it reads is what they write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from control_plane.bootstrap import create_app
from control_plane.settings import Settings
from stores.tenants import LOCAL_TENANT_ID
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import add_key, add_tenant, gateway_app
from tests.fakes.stores import Memory, fake_stores
from wanneng import AsyncClient, GatewayRefused, RequestError, SetLabel
from wanneng.client.clients import MAX_CONCURRENT_CALLS
from wanneng.client.streams import TEXTS_PER_CALL
from web.access_log import AccessLog
from web.middleware import Middleware

ADMIN = "a" * 64
LABELS = ["投诉", "咨询"]


@asynccontextmanager
async def client_of(app: Middleware, key: str | None = None) -> AsyncIterator[AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        AsyncClient("http://127.0.0.1", key, transport=transport) as client,
    ):
        yield client


@asynccontextmanager
async def control_plane(memory: Memory, key: str | None = None) -> AsyncIterator[AsyncClient]:
    lines: list[bytes] = []
    app = create_app(
        Settings(admin_key=ADMIN), stores=fake_stores(memory), clock=FakeClock(), log=AccessLog(lines.append)
    )
    async with client_of(app, key) as client:
        yield client


def local_key(memory: Memory) -> str:
    return add_key(memory, memory.tenants[LOCAL_TENANT_ID])["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    add_tenant(memory, LOCAL_TENANT_ID)
    return memory


async def test_a_stream_is_answered_in_its_order_and_read_as_it_is_needed() -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number in range(200):
            read.append(number)
            yield f"投诉 {number}" if number % 2 else f"咨询 {number}"

    async with client_of(gateway_app()) as client:
        found = []
        async for one in client.stream(texts(), LABELS):
            found.append(one)
            assert len(read) <= len(found) + (MAX_CONCURRENT_CALLS + 1) * TEXTS_PER_CALL
    assert [one.text for one in found] == list(texts())
    assert [one.best for one in found[:2]] == ["咨询", "投诉"]


async def test_what_is_asked_besides_is_in_the_answer() -> None:
    async with client_of(gateway_app()) as client:
        answer = await client.classify("投诉", LABELS, entailment=True)
        assert answer.entailment is not None
        assert answer.entailment[0] > answer.entailment[1]
        assert (answer.none_of_these, answer.truncated, answer.model_version) == (None, False, "engine-1")
        with pytest.raises(GatewayRefused) as refusal:
            await client.classify("投诉", [])
    assert (refusal.value.status, refusal.value.code) == (422, "invalid_request")


async def test_tokens_are_counted() -> None:
    async with client_of(gateway_app()) as client:
        counted = await client.tokenize("我要投诉", LABELS, max_tokens=64)
        assert (counted.max_tokens, counted.truncated) == (64, False)
        assert [label.label for label in counted.labels] == LABELS
        assert counted.text_tokens > 0
        assert (await client.tokenize("我要投诉")).labels == ()


async def test_a_stream_has_the_error_of_each_refused_text_and_the_answers_of_the_others() -> None:
    texts = ["投诉", "", "\ud800", "长" * 100_001, "咨询"]
    async with client_of(gateway_app()) as client:
        found = [one async for one in client.stream(texts, LABELS, fresh=True, timeout_s=5)]
        assert [one.text for one in found] == texts
        assert [one.error is None for one in found] == [True, False, False, False, True]
        assert str(found[1].error) == "empty"
        with pytest.raises(GatewayRefused, match="duplicate label"):
            _ = [one async for one in client.stream(texts, ["投诉", "投诉"])]


async def test_tenants_and_keys_are_managed_with_the_admin_key(memory: Memory) -> None:
    async with control_plane(memory, ADMIN) as admin:
        tenant = await admin.tenants.create("acme")
        assert await admin.tenants.find("acme") == await admin.tenants.get(tenant.id) == tenant
        assert (await admin.tenants.rename(tenant.id, "other")).name == "other"
        assert (await admin.tenants.suspend(tenant.id)).status == "suspended"
        assert (await admin.tenants.resume(tenant.id)).status == "active"
        assert (await admin.tenants.set_quota(tenant.id, pairs_in_flight=9)).pairs_in_flight == 9
        assert (await admin.tenants.set_special_tokens(tenant.id, "text")).special_tokens == "text"
        key = await admin.tenants.keys.create(
            tenant.id, scopes=["classify"], expires_at=FakeClock().now().replace(year=2099)
        )
        new = await admin.tenants.keys.rotate(tenant.id, key.id, overlap_s=60)
        listed = await admin.tenants.keys.list(tenant.id)
        assert {one.id: one.scopes for one in listed} == {key.id: ("classify",), new.id: ("classify",)}
        await admin.tenants.keys.revoke(tenant.id, key.id)
        assert [one.id for one in await admin.tenants.keys.list(tenant.id)] == [new.id]
        assert (await admin.tenants.usage(tenant.id)).days == []
        await admin.tenants.delete(tenant.id)
        with pytest.raises(RequestError, match="there is no tenant"):
            await admin.tenants.find(tenant.id)


async def test_label_sets_have_versions(memory: Memory) -> None:
    async with control_plane(memory, local_key(memory)) as client:
        first = await client.label_sets.put("tickets", [SetLabel("投诉", "用户在投诉"), "咨询"], threshold=0.3)
        second = await client.label_sets.put("tickets", LABELS, max_tokens=64, special_tokens="text", replaces=1)
        third = await client.label_sets.rollback("tickets", 1, replaces=2)
        assert (third.labels, third.threshold) == (first.labels, 0.3)
        assert (first.special_tokens, second.special_tokens) == (None, "text")
        assert list(await client.label_sets.versions("tickets")) == [third, second, first]
        assert await client.label_sets.get("tickets@2") == second
        assert await client.label_sets.list() == [third]
        with pytest.raises(GatewayRefused) as refusal:
            await client.label_sets.put("tickets", LABELS, replaces=1)
        assert (refusal.value.status, refusal.value.code) == (412, "precondition_failed")
        await client.label_sets.delete("tickets")
        assert await client.label_sets.list() == []


async def test_a_batch_is_uploaded_created_and_cancelled(memory: Memory) -> None:
    async with control_plane(memory, local_key(memory)) as client:
        file_id = await client.batches.upload(b'{"custom_id": "1"}\n')
        batch = await client.batches.create(file_id, idempotency_key="once", metadata={"a": "b"})
        assert batch.metadata == {"a": "b"}
        assert (batch.input_file_id, batch.done, batch.total, batch.errors) == (file_id, False, 0, ())
        again = await client.batches.create(file_id, idempotency_key="once", metadata={"a": "b"})
        assert again == batch
        assert await client.batches.get(batch.id) == batch
        assert await client.batches.content(file_id) == b'{"custom_id": "1"}\n'
        assert [file.id for file in await client.batches.files()] == [file_id]
        assert (await client.batches.file(file_id)).size_bytes == 19
        assert await client.batches.list() == [batch]
        assert (await client.batches.cancel(batch.id)).status in ("cancelling", "cancelled")
        unused = await client.batches.upload(b"{}\n")
        await client.batches.delete_file(unused)
        assert [file.id for file in await client.batches.files()] == [file_id]
        assert (await client.usage()).days == []
