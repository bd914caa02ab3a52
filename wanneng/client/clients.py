"""The clients: what the gateway offers, blocking and for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import date
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from wanneng.client.audit import AsyncAudit, Audit
from wanneng.client.batches import AsyncBatches, Batches
from wanneng.client.budgets import Budgets, own_budgets
from wanneng.client.classify import (
    Classification,
    Options,
    TokenizeOptions,
    Tokens,
    classify_request,
    tokenize_request,
)
from wanneng.client.keys import AsyncKeys, Keys
from wanneng.client.label_sets import AsyncLabelSets, LabelSets
from wanneng.client.me import Me, me_request
from wanneng.client.status import Status, status_request
from wanneng.client.streams import TextGroup, async_groups, groups
from wanneng.client.tenants import AsyncTenants, Tenants
from wanneng.client.transport import (
    ATTEMPTS,
    TIMEOUT_S,
    WAIT_S,
    AsyncTransport,
    Request,
    Transport,
    json_object,
)
from wanneng.client.usage import PATH as USAGE
from wanneng.client.usage import Usage, usage_request
from wanneng.errors import GatewayRefused

URL = "http://127.0.0.1:8080"
MAX_CONCURRENT_CALLS = 4
"""Concurrent calls of `AsyncClient.stream`."""


class Client:
    """Blocking, for any number of threads. `key` is a tenant's key, or the admin key for `tenants` and `audit`.

    `proxy` is the proxy to use, such as `http://proxy:3128`; the environment's proxy is ignored. Certificates are
    verified against the system's authorities and those in SSL_CERT_FILE.
    A call waits as `Retry-After` says, for at most `wait_s` in total, and makes up to `attempts` attempts after
    other transient failures.
    """

    def __init__(
        self,
        url: str = URL,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        wait_s: float = WAIT_S,
        proxy: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(
            url,
            key,
            timeout_s=timeout_s,
            attempts=attempts,
            wait_s=wait_s,
            proxy=proxy,
            transport=transport,
            sleep=sleep,
        )
        self.label_sets = LabelSets(self._transport)
        self.batches = Batches(self._transport)
        self.keys = Keys(self._transport)
        self.tenants = Tenants(self._transport)
        self.audit = Audit(self._transport)

    def classify(
        self, text: str, labels: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> Classification:
        """One text; `labels` may be one string with commas."""
        return self.classify_all([text], labels, **options)[0]

    def classify_all(
        self, texts: Sequence[str], labels: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> list[Classification]:
        """Up to 64 texts in one call."""
        return self._transport.send(classify_request(texts, labels, options))

    def stream(
        self, texts: Iterable[str], labels: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> Iterator[Classification]:
        """Any number of texts, read as they are needed, answered in their order.

        A refused text has an `error`. A refusal that concerns no text is raised.
        """
        for texts_of_call in groups(texts):
            group = TextGroup(texts_of_call)
            while group.pending:
                try:
                    group.answered(self.classify_all(group.pending, labels, **options))
                except GatewayRefused as refusal:
                    group.refused(refusal)
            yield from group.answers

    def tokenize(
        self, text: str, labels: Sequence[str] | None = None, **options: Unpack[TokenizeOptions]
    ) -> Tokens:
        """Count the tokens of a text, alone or with each label; counts as one request and no pairs."""
        return self._transport.send(tokenize_request(text, labels, options))

    def me(self) -> Me:
        """The tenant of the key, and what the key allows."""
        return self._transport.send(me_request())

    def budgets(self) -> Budgets:
        """Those of the tenant and of the key, with what is used of them."""
        return self._transport.send(own_budgets())

    def usage(self, first: date | None = None, last: date | None = None, *, label_set: str | None = None) -> Usage:
        """The tenant's own usage by day, by default for the last 30 days; `label_set`: with this one alone."""
        return self._transport.send(usage_request(USAGE, first, last, label_set))

    def status(self) -> Status:
        """What the gateways do at present, with the admin key; those that do not answer say so."""
        return self._transport.send(status_request())

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        changes: bool = True,
    ) -> dict[str, Any]:
        """Any call of the API: the JSON object of its answer.

        `changes`: False if the request is safe to repeat; it is then retried even if the outcome of an attempt
        is unknown.
        """
        return self._transport.send(
            Request(method, path, json_object, {"json": json, "headers": headers}, changes)
        )

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio."""

    def __init__(
        self,
        url: str = URL,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        wait_s: float = WAIT_S,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = AsyncTransport(
            url,
            key,
            timeout_s=timeout_s,
            attempts=attempts,
            wait_s=wait_s,
            proxy=proxy,
            transport=transport,
            sleep=sleep,
        )
        self.label_sets = AsyncLabelSets(self._transport)
        self.batches = AsyncBatches(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.tenants = AsyncTenants(self._transport)
        self.audit = AsyncAudit(self._transport)

    async def classify(
        self, text: str, labels: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> Classification:
        """As `Client.classify`."""
        return (await self.classify_all([text], labels, **options))[0]

    async def classify_all(
        self, texts: Sequence[str], labels: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> list[Classification]:
        """As `Client.classify_all`."""
        return await self._transport.send(classify_request(texts, labels, options))

    async def stream(
        self,
        texts: Iterable[str] | AsyncIterable[str],
        labels: Sequence[str] | None = None,
        **options: Unpack[Options],
    ) -> AsyncIterator[Classification]:
        """As `Client.stream`, with up to `MAX_CONCURRENT_CALLS` calls in flight."""
        calls: list[asyncio.Task[list[Classification]]] = []
        try:
            async for group in async_groups(texts):
                calls.append(asyncio.create_task(self._classify_group(TextGroup(group), labels, options)))
                if len(calls) == MAX_CONCURRENT_CALLS:
                    for classification in await calls.pop(0):
                        yield classification
            while calls:
                for classification in await calls.pop(0):
                    yield classification
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def _classify_group(
        self, group: TextGroup, labels: Sequence[str] | None, options: Options
    ) -> list[Classification]:
        while group.pending:
            try:
                group.answered(await self.classify_all(group.pending, labels, **options))
            except GatewayRefused as refusal:
                group.refused(refusal)
        return group.answers

    async def tokenize(
        self, text: str, labels: Sequence[str] | None = None, **options: Unpack[TokenizeOptions]
    ) -> Tokens:
        """As `Client.tokenize`."""
        return await self._transport.send(tokenize_request(text, labels, options))

    async def me(self) -> Me:
        """As `Client.me`."""
        return await self._transport.send(me_request())

    async def budgets(self) -> Budgets:
        """As `Client.budgets`."""
        return await self._transport.send(own_budgets())

    async def usage(
        self, first: date | None = None, last: date | None = None, *, label_set: str | None = None
    ) -> Usage:
        """As `Client.usage`."""
        return await self._transport.send(usage_request(USAGE, first, last, label_set))

    async def status(self) -> Status:
        """As `Client.status`."""
        return await self._transport.send(status_request())

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        changes: bool = True,
    ) -> dict[str, Any]:
        """As `Client.request`."""
        return await self._transport.send(
            Request(method, path, json_object, {"json": json, "headers": headers}, changes)
        )

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
