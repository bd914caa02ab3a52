"""The Python client: a few lines from a text to its labels, sync or async. Knows one path of the gateway.

with Client("http://127.0.0.1:8080", key) as client:
    print(client.classify("要求退款", ["投诉", "咨询"]).best)
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from wanneng.errors import RequestError

PATH = "/v1/classify"
TIMEOUT_S = 30.0
ATTEMPTS = 5
RETRIED = frozenset({429, 502, 503, 504})
"""Statuses that a later attempt may not meet."""
LONGEST_WAIT_S = 60.0
"""A `Retry-After` beyond it is not waited for."""
FIRST_PAUSE_S = 0.25
TEXTS_PER_CALL = 16
AT_ONCE = 4
"""Calls that `AsyncClient.stream` has under way."""


@dataclass(frozen=True, slots=True)
class Classification:
    """One text's labels by score, best first."""

    text: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    truncated: bool
    """Whether the token limit cut the text or a label."""
    none_of_these: bool | None = None
    """Whether no label reaches the label set's threshold; None without one."""
    model_version: str = ""

    @property
    def best(self) -> str:
        return self.labels[0]

    def score(self, label: str) -> float:
        """`ValueError` for a label that was not asked for."""
        return self.scores[self.labels.index(label)]


class GatewayRefused(RequestError):
    """The gateway's own words, with its code and status; nothing else of the problem is lost in `problem`."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail", f"status {status}")))
        self.status = status
        self.code: str = str(problem.get("code", "http_error"))
        self.problem = problem


class Client:
    """Blocking; one connection pool, for any number of threads."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._attempts = attempts
        self._sleep = sleep
        # No proxy of the environment: a key must not pass through one that nobody named here.
        self._http = httpx.Client(
            base_url=url, headers=_headers(key), timeout=timeout_s, transport=transport, trust_env=False
        )

    def classify(self, text: str, labels: Sequence[str] | None = None, **options: Any) -> Classification:
        """One text; `options` are the body's fields, such as `label_set`, `multi_label`, `hypothesis_template`."""
        return self.classify_all([text], labels, **options)[0]

    def classify_all(
        self, texts: Sequence[str], labels: Sequence[str] | None = None, **options: Any
    ) -> list[Classification]:
        """Up to 64 texts in one call."""
        return _results(texts, self._post(_body(texts, labels, options)))

    def stream(
        self, texts: Iterable[str], labels: Sequence[str] | None = None, **options: Any
    ) -> Iterator[Classification]:
        """Any number of texts, read as they are needed, answered in their order."""
        reading = iter(texts)
        while group := list(itertools.islice(reading, TEXTS_PER_CALL)):
            yield from self.classify_all(group, labels, **options)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(1, self._attempts + 1):
            try:
                response: httpx.Response | httpx.TransportError = self._http.post(PATH, json=body)
            except httpx.TransportError as error:
                response = error
            pause_s = _pause_s(response, attempt, self._attempts)
            if pause_s is None:
                return _answer(response)
            self._sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


class AsyncClient:
    """The same for asyncio."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._attempts = attempts
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(key), timeout=timeout_s, transport=transport, trust_env=False
        )

    async def classify(self, text: str, labels: Sequence[str] | None = None, **options: Any) -> Classification:
        """As `Client.classify`."""
        return (await self.classify_all([text], labels, **options))[0]

    async def classify_all(
        self, texts: Sequence[str], labels: Sequence[str] | None = None, **options: Any
    ) -> list[Classification]:
        """As `Client.classify_all`."""
        return _results(texts, await self._post(_body(texts, labels, options)))

    async def stream(
        self, texts: Iterable[str] | AsyncIterable[str], labels: Sequence[str] | None = None, **options: Any
    ) -> AsyncIterator[Classification]:
        """As `Client.stream`, with up to `AT_ONCE` calls under way."""
        under_way: list[asyncio.Task[list[Classification]]] = []
        try:
            async for group in _groups(texts):
                under_way.append(asyncio.create_task(self.classify_all(group, labels, **options)))
                if len(under_way) == AT_ONCE:
                    for one in await under_way.pop(0):
                        yield one
            while under_way:
                for one in await under_way.pop(0):
                    yield one
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        for attempt in range(1, self._attempts + 1):
            try:
                response: httpx.Response | httpx.TransportError = await self._http.post(PATH, json=body)
            except httpx.TransportError as error:
                response = error
            pause_s = _pause_s(response, attempt, self._attempts)
            if pause_s is None:
                return _answer(response)
            await asyncio.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _body(texts: Sequence[str], labels: Sequence[str] | None, options: dict[str, Any]) -> dict[str, Any]:
    if isinstance(texts, str):
        raise TypeError("a sequence of texts is needed; classify() takes one")
    body: dict[str, Any] = {"texts": list(texts)} | options
    if labels is not None:
        body["labels"] = labels if isinstance(labels, str) else list(labels)
    return body


def _pause_s(response: httpx.Response | httpx.TransportError, attempt: int, attempts: int) -> float | None:
    """How long to wait before the next attempt; None: this was the last, or it needs no other.

    As long as `Retry-After` says; without it twice as long each time, spread over half of that at random.
    """
    if attempt >= attempts:
        return None
    if isinstance(response, httpx.Response):
        if response.status_code not in RETRIED:
            return None
        told = response.headers.get("Retry-After", "")
        if told.isascii() and told.isdigit():
            return float(told) if float(told) <= LONGEST_WAIT_S else None
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            # More than the quota ever holds: no waiting will help.
            return None
    pause_s: float = FIRST_PAUSE_S * 2 ** (attempt - 1)
    return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


def _answer(response: httpx.Response | httpx.TransportError) -> dict[str, Any]:
    if isinstance(response, httpx.TransportError):
        raise RequestError(f"the gateway does not answer ({type(response).__name__})") from response
    try:
        answer = response.json()
    except ValueError:
        answer = {}
    if not response.is_success or not isinstance(answer, dict):
        raise GatewayRefused(response.status_code, answer if isinstance(answer, dict) else {})
    return answer


def _results(texts: Sequence[str], answer: dict[str, Any]) -> list[Classification]:
    return [
        Classification(
            text,
            tuple(one["labels"]),
            tuple(one["scores"]),
            one["truncated"],
            one.get("none_of_these"),
            answer["model_version"],
        )
        for text, one in zip(texts, answer["results"], strict=True)
    ]


async def _groups(texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[list[str]]:
    group: list[str] = []
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            group.append(text)
            if len(group) == TEXTS_PER_CALL:
                yield group
                group = []
    else:
        reading = iter(texts)
        while group := list(itertools.islice(reading, TEXTS_PER_CALL)):
            yield group
    if group:
        yield group
